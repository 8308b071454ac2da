"""What tests of sovbroker, of its adapters and of programs on top of it need. Needs the extra `test`.

- `conformance`: the suites that an adapter must pass; `StoreSuite` is subclassed in ten lines.
- `servers`: real S3 servers on this machine.
- `chaos`: a proxy that breaks connections and answers as scripted.
- `fakes`: every target of an application's real configuration, faked; `plugin` has the fixtures for pytest.
- `recorder`: a proxy that keeps what passes, to prove that a secret never did.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sovbroker.testing.fakes import FakeCloud, FakeClouds, fake_clouds

__all__ = ["FakeCloud", "FakeClouds", "fake_clouds"]

# So that pytest explains the suites' assertions; it must be told before they are imported. The servers and proxies
# work without pytest.
with suppress(ModuleNotFoundError):
    import pytest

    pytest.register_assert_rewrite("sovbroker.testing.conformance")


def __getattr__(name: str) -> object:
    """Import the fakes when they are asked for: they bring the whole broker."""
    if name in __all__:
        from sovbroker.testing import fakes  # noqa: PLC0415  # as said

        return getattr(fakes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
