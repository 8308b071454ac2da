"""Which keys Azure holds exactly: those that its service, URLs and XML leave as they are."""

from __future__ import annotations

import re
from typing import Final

from sovbroker.errors import InvalidArgument
from sovbroker.ports import Limits
from sovbroker_adapters.checks import check_key

__all__ = ["UPLOADS", "check_name"]

UPLOADS: Final = ".sovbroker-uploads/"
"""Where the markers of uploads are."""

UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
SEGMENTS_MAX: Final = 254


def check_name(key: str, *, limits: Limits) -> None:
    """Raise InvalidArgument for a key that the service might change, or that is ours."""
    check_key(key, limits=limits)
    if UNSAFE.search(key):
        raise InvalidArgument(f"the key {key!a} has a control character; Azure cannot list it exactly")
    if "\\" in key:
        raise InvalidArgument(f"the key `{key}` has a backslash; Azure would make it a slash")
    segments = key.split("/")
    if any(segment.endswith(".") for segment in segments):
        raise InvalidArgument(f"a part of the key `{key}` ends with a dot; Azure would remove it")
    if len(segments) > SEGMENTS_MAX:
        raise InvalidArgument(f"the key `{key[:80]}…` has {len(segments)} parts; Azure takes at most {SEGMENTS_MAX}")
    if key.startswith(UPLOADS):
        raise InvalidArgument(f"the key `{key}` begins with `{UPLOADS}`, where unfinished uploads are kept")
