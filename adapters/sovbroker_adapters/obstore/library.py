"""The library in this process: loaded late, never in a child of a process that had it, and told what it must not read.

Its threads and its event queue are the process's own. A child that used them would wait for ever, and take answers of
its parent's; so a child whose parent had loaded it does without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from sovbroker.errors import ConfigError

__all__ = ["check_environment", "inherited", "load"]

READ: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "s3": frozenset(
            {
                "AWS_CHECKSUM_ALGORITHM",
                "AWS_COPY_IF_NOT_EXISTS",
                "AWS_SERVER_SIDE_ENCRYPTION",
                "AWS_SSE_BUCKET_KEY_ENABLED",
                "AWS_SSE_CUSTOMER_KEY_BASE64",
                "AWS_SSE_KMS_KEY_ID",
            }
        ),
        "azure": frozenset({"AZURE_ENCRYPTION_KEY"}),
    }
)
"""Variables that change what is sent, and that no setting overrides."""

_inherited = False


def _look() -> None:
    """Note in a child whether its parent had loaded the library, whoever of the application it was."""
    global _inherited  # noqa: PLW0603 - a fact of the process
    _inherited = _inherited or "obstore" in sys.modules


os.register_at_fork(after_in_child=_look)


def inherited() -> bool:
    """Whether this process has the library from its parent, and so must not use it."""
    return _inherited


def load() -> Any:  # noqa: ANN401 - a module of another language
    """Return the library."""
    return import_module("obstore")


def check_environment(protocol: str, *, target: str) -> None:
    """Raise ConfigError for a variable of the environment that would change what is sent."""
    for name in sorted(READ[protocol] & os.environ.keys()):
        raise ConfigError(
            f"{target}: `fast: true` cannot be kept from reading the environment variable `{name}`; unset it, or "
            "remove `fast: true`"
        )
