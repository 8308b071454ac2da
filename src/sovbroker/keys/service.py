"""What a keyring needs of a key service."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Service"]


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
