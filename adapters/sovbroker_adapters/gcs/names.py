"""Which keys a bucket holds exactly, and which are the adapter's own."""

from __future__ import annotations

import re
from typing import Final

from sovbroker.errors import InvalidArgument
from sovbroker.ports import Limits
from sovbroker_adapters.checks import check_key

__all__ = ["BEYOND", "OWN", "check_name"]

OWN: Final = ".sovbroker-parts/"
"""Below it are the parts of unfinished uploads."""

BEYOND: Final = ".sovbroker-parts0"
"""The first string after every key below `OWN`: `0` follows `/`."""

# The service refuses line ends, and errors that it writes as XML cannot carry the others.
UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
CHALLENGE: Final = ".well-known/acme-challenge/"


def check_name(key: str, *, limits: Limits) -> None:
    """Raise InvalidArgument for a key that the service might refuse or change, or that is the adapter's own."""
    check_key(key, limits=limits)
    if UNSAFE.search(key):
        raise InvalidArgument(f"the key {key!a} has a control character; this store cannot hold it exactly")
    if not {".", ".."}.isdisjoint(key.split("/")):
        raise InvalidArgument(f"the key `{key}` has a segment `.` or `..`; it would be resolved on its way")
    if key.startswith(CHALLENGE):
        raise InvalidArgument(f"the key `{key}` begins with `{CHALLENGE}`; the service refuses such names")
    if key.startswith(OWN):
        raise InvalidArgument(f"the key `{key}` begins with `{OWN}`; the parts of unfinished uploads are kept there")
