"""What a keyring needs of a key service."""

from __future__ import annotations

from typing import Final, Protocol

from sovbroker.errors import InvalidArgument

__all__ = ["SECRET_MAX", "Service", "check_secret"]

SECRET_MAX: Final = 256
"""The longest secret that a key service wraps, in bytes."""


def check_secret(secret: bytes) -> None:
    """Raise InvalidArgument for what no key service wraps: nothing, or more than `SECRET_MAX` bytes."""
    if not 0 < len(secret) <= SECRET_MAX:
        raise InvalidArgument(f"a key service wraps 1 to {SECRET_MAX} bytes, not {len(secret)}")


class Service(Protocol):
    """Something that wraps keys under a key of its own: `sovbroker.ports.KeyService` tells what it promises."""

    @property
    def name(self) -> str:
        """The name under which a keyring knows this recipient."""
        ...

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Return `secret` wrapped, bound to `context`."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return what was wrapped for `context`."""
        ...
