"""Which keys an S3 service holds exactly: those that URLs, XML and other people's code leave as they are."""

from __future__ import annotations

import re
from typing import Final

from sovbroker.errors import InvalidArgument
from sovbroker.ports import Limits
from sovbroker_adapters.checks import check_key

__all__ = ["check_name"]

# XML cannot carry the first ones, and turns carriage returns and newlines into others.
UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
FILE_NAME_MAX: Final = 255


def check_name(key: str, *, limits: Limits, files: bool) -> None:
    """Raise InvalidArgument for a key that the service might change; `files`: it keeps objects as files."""
    check_key(key, limits=limits)
    if UNSAFE.search(key):
        raise InvalidArgument(f"the key {key!a} has a control character; S3 services cannot list it exactly")
    segments = key.split("/")
    if not {".", ".."}.isdisjoint(segments):
        raise InvalidArgument(f"the key `{key}` has a segment `.` or `..`; it would be resolved on its way")
    if files and any(not segment or len(segment.encode()) > FILE_NAME_MAX for segment in segments):
        raise InvalidArgument(
            f"a part of the key `{key[:80]}` is empty or longer than {FILE_NAME_MAX} bytes; this store keeps files"
        )
