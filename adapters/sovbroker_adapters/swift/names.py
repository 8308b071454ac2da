"""Which keys Swift holds exactly, and where in the container the parts of large objects are."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from sovbroker.errors import InvalidArgument
from sovbroker.ports import Limits
from sovbroker_adapters.checks import check_key

__all__ = ["BEYOND", "MARKS", "SEGMENTS", "UPLOADS", "check_name", "quoted"]

UPLOADS: Final = ".sovbroker-uploads/"
"""Where the marks of unfinished uploads and the segments of large objects are."""

MARKS: Final = f"{UPLOADS}open/"
"""The marks of unfinished uploads, each by its upload's id."""

SEGMENTS: Final = f"{UPLOADS}parts/"
"""The segments, each by its upload's id and its number."""

BEYOND: Final = UPLOADS + "\U0010ffff"
"""What sorts after all of them."""

UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")


def check_name(key: str, *, limits: Limits) -> None:
    """Raise InvalidArgument for a key that the service might change, or that is ours."""
    check_key(key, limits=limits)
    if UNSAFE.search(key):
        raise InvalidArgument(f"the key {key!a} has a control character; Swift's interfaces cannot all list it exactly")
    if not {".", ".."}.isdisjoint(key.split("/")):
        raise InvalidArgument(f"the key `{key}` has a segment `.` or `..`; it would be resolved on its way")
    if key.startswith(UPLOADS):
        raise InvalidArgument(f"the key `{key}` begins with `{UPLOADS}`, where parts of objects are kept")


def quoted(name: str) -> str:
    """Return a name as it stands in a URL."""
    return quote(name, safe="/")
