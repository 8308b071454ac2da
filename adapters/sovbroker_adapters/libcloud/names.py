"""Which keys a driver passes on exactly, and a service of S3 lists exactly."""

from __future__ import annotations

import re
from typing import Final

from sovbroker.errors import InvalidArgument
from sovbroker.ports import Limits
from sovbroker_adapters.checks import check_key

__all__ = ["check_name"]

UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")


def check_name(key: str, *, limits: Limits, files: bool) -> None:
    """Raise InvalidArgument for a key that the driver or the service might change; `files`: it keeps files."""
    check_key(key, limits=limits)
    if UNSAFE.search(key):
        raise InvalidArgument(f"the key {key!a} has a control character; it cannot be listed exactly")
    segments = key.split("/")
    if not {".", ".."}.isdisjoint(segments):
        raise InvalidArgument(f"the key `{key}` has a segment `.` or `..`; it would be resolved on its way")
    if key.startswith("/") or "//" in key:
        raise InvalidArgument(f"the key `{key}` has an empty segment; libcloud would remove the slash")
    if files and "" in segments:
        raise InvalidArgument(f"a part of the key `{key[:80]}` is empty; this store keeps files")
