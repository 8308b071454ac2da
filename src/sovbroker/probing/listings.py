"""The checks of listings: all names, in order, in pages, folded."""

from __future__ import annotations

from sovbroker.probing.run import AbsentError, Run, UnsafeError
from sovbroker.specimens import LISTED

__all__ = ["PAGE", "check_delimiter", "check_listing", "check_order", "check_pages", "fill"]

PAGE = 3
"""How many names a page is asked to hold, where an adapter lets that be said."""


def fill(run: Run) -> None:
    """Store what the listings are to show; the last name first."""
    for name in reversed(LISTED):
        run.put(name, 5)


def check_listing(run: Run) -> str:
    """List: every name once, and no other."""
    found = names(run)
    if sorted(found) != sorted(LISTED):
        raise UnsafeError(f"of {len(LISTED)} names {len(set(found) & set(LISTED))} are listed, in {len(found)} entries")
    run.remove(LISTED[0])
    after = names(run)
    run.put(LISTED[0], 5)
    if LISTED[0] in after:
        raise UnsafeError("a removed object is still listed")
    return "every name once, and none that was removed"


def check_order(run: Run) -> str:
    """List in byte order, and from any name on."""
    if names(run) != list(LISTED):
        raise AbsentError("names are not listed in byte order")
    for index in (0, 4, len(LISTED) - 1):
        if names(run, after=LISTED[index]) != list(LISTED[index + 1 :]):
            raise UnsafeError("a listing that starts after a name does not go on where it should")
    return "in byte order, from any name on"


def check_pages(run: Run) -> str:
    """List in small pages: no name is lost or doubled between two."""
    if sorted(names(run)) != sorted(LISTED):
        raise UnsafeError("names are lost or doubled between pages")
    return f"{len(LISTED)} names, asked for {PAGE} at a time, come once each"


def check_delimiter(run: Run) -> str:
    """Fold the names that hold the delimiter, once each."""
    start = run.prefix + "list/"
    objects: list[str] = []
    prefixes: list[str] = []
    for page in run.store.list(start, delimiter="/"):
        objects += [info.key.removeprefix(run.prefix) for info in page.objects]
        prefixes += [name.removeprefix(run.prefix) for name in page.prefixes]
    if prefixes != ["list/b/"] or sorted(objects) != sorted(n for n in LISTED if not n.startswith("list/b/")):
        raise UnsafeError("names are not folded at the delimiter, or folded wrongly")
    return "names below a delimiter are folded"


def names(run: Run, *, after: str = "") -> list[str]:
    """Return the names that are listed, as they come."""
    start = run.prefix + after if after else ""
    found = run.store.list(f"{run.prefix}list/", start_after=start)
    return [info.key.removeprefix(run.prefix) for page in found for info in page.objects]
