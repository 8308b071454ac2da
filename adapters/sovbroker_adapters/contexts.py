"""What a key service is handed: a secret together with the digest of what it is bound to.

A service that binds by itself is told the digest, too. One that only says so, or cannot, changes nothing: the digest
comes back with the secret, and is compared here. The context itself tells names; no service learns it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from sovbroker.errors import InvalidArgument, Tampered

__all__ = ["SECRET_MAX", "bound", "digest", "unbound"]

SECRET_MAX: Final = 256
"""The longest secret that a key service wraps, in bytes."""

SIZE: Final = 32


def digest(context: bytes) -> str:
    """Return the digest of a context, in base64: what a service may see of it."""
    return base64.b64encode(hashlib.sha256(context).digest()).decode("ascii")


def bound(secret: bytes, context: bytes) -> bytes:
    """Return what is to be encrypted for a secret. Raises InvalidArgument for one that is empty or too long."""
    if not 0 < len(secret) <= SECRET_MAX:
        raise InvalidArgument(f"a key service wraps 1 to {SECRET_MAX} bytes, not {len(secret)}")
    return hashlib.sha256(context).digest() + secret


def unbound(plain: bytes, context: bytes) -> bytes:
    """Return the secret in what was decrypted. Raises Tampered when it belongs to another context."""
    if len(plain) <= SIZE or not hmac.compare_digest(plain[:SIZE], hashlib.sha256(context).digest()):
        raise Tampered
    return plain[SIZE:]
