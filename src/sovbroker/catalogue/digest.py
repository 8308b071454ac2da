"""The digest of facts: the same for the same facts, in any order, on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sovbroker.catalogue.facts import KeyHolder, Target

__all__ = ["digest_of"]


def digest_of(targets: Iterable[Target], keys: Iterable[KeyHolder], *, overlay: str = "") -> str:
    """Return the SHA-256, in hexadecimal digits, of the facts of targets and key services.

    `overlay` is the digest of the operator's overlay, "" where there is none: it also says where targets are reached.
    """
    texts = [_canonical(thing) for thing in targets] + [f"{key.id} {_canonical(key.facts)}" for key in keys]
    beside = [f"overlay {overlay}"] if overlay else []
    return hashlib.sha256("\n".join([*sorted(texts), *beside]).encode()).hexdigest()


def _canonical(value: object) -> str:
    """Spell a value of facts, sets in a fixed order."""
    if isinstance(value, frozenset):
        return f"{{{','.join(sorted(map(repr, value)))}}}"  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]  # a set of anything has a repr
    if isinstance(value, tuple):
        return f"({','.join(map(_canonical, value))})"  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]  # a tuple of anything
    names: Iterable[str] = getattr(type(value), "__dataclass_fields__", ())
    if names:
        told = [(name, getattr(value, name)) for name in names]
        # A fact that only some things have is not told of the others, so that their digest stays what it was.
        return f"<{','.join(f'{name}={_canonical(one)}' for name, one in told if (name, one) != ('alone', None))}>"
    return repr(str(value))
