"""The checks of single objects: bodies, metadata, conditions, ranges, copies, names."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from sovbroker.errors import AlreadyExists, InvalidArgument, NotFound, NotSupported, StoreError
from sovbroker.ports import Feature
from sovbroker.probing.run import AbsentError, Run, UnsafeError
from sovbroker.specimens import METADATA, ODD, body, long_name

__all__ = [
    "check_bodies",
    "check_conditions",
    "check_copies",
    "check_keys",
    "check_metadata",
    "check_nested",
    "check_ranges",
    "check_set_metadata",
]

SIZES: Final = (0, 1, 70_000)
WRITERS: Final = 8
RACES: Final = 3
SIZE: Final = 10_000


def check_bodies(run: Run) -> str:
    """Put, replace and remove: what was put comes back, and what was removed is gone."""
    for seed, size in enumerate(SIZES):
        data = run.put("whole", size, seed=seed)
        told = run.store.head(run.key("whole")).size
        if run.read("whole") != data or told != size:
            raise UnsafeError(f"an object of {size} bytes comes back as another")
    run.remove("whole")
    try:
        run.read("whole")
    except NotFound:
        return "come back byte for byte; what is removed is gone"
    raise UnsafeError("a removed object can still be read")


def check_metadata(run: Run) -> str:
    """Put names and values: they come back, and go when the object is replaced."""
    run.put("whole", 10, metadata=True)
    for told in run.metadata("whole"):
        kept = {name: told.get(name) for name in METADATA}
        if not any(kept.values()):
            raise AbsentError("metadata are taken and not kept")
        wrong = sorted(name for name, value in METADATA.items() if kept[name] != value)
        if wrong:
            raise UnsafeError(f"metadata come back changed or not at all: {', '.join(wrong)}")
    run.put("whole", 10)
    if METADATA.keys() & run.metadata("whole")[0].keys():
        raise UnsafeError("an object that is replaced keeps its old metadata")
    return "names and values come back exactly"


def check_set_metadata(run: Run) -> str:
    """Replace metadata: the new ones are there, the old ones are not, and the body is as it was."""
    data = run.put("whole", 70_000, seed=5)
    run.store.set_metadata(run.key("whole"), metadata=METADATA)
    if run.read("whole") != data:
        raise UnsafeError("an object whose metadata are set has another body")
    if any(not METADATA.items() <= told.items() for told in run.metadata("whole")):
        raise AbsentError("metadata are set, and not kept")
    run.store.set_metadata(run.key("whole"), metadata={})
    if run.read("whole") != data:
        raise UnsafeError("an object whose metadata are removed has another body")
    # A name that stays and says nothing does no harm.
    if any(run.metadata("whole")[0].get(name) for name in METADATA):
        raise UnsafeError("metadata that are replaced stay")
    return "replaced whole, and the body stays"


def check_conditions(run: Run) -> str:
    """Put twice: the second is refused and changes nothing; of several at once one wins."""
    run.remove("absent", *(f"raced-{number}" for number in range(RACES)))
    first = run.put("absent", 100, seed=1, if_absent=True)
    try:
        run.put("absent", 200, seed=2, if_absent=True)
    except AlreadyExists:
        if run.read("absent") != first:
            raise UnsafeError("a refused put has replaced the object all the same") from None
    else:
        raise UnsafeError("the condition is ignored: a second put with `if_absent` replaces the object")
    for number in range(RACES):
        _race(run, f"raced-{number}")
    return f"the second put is refused; of {WRITERS} at once one wins, {RACES} times"


def _race(run: Run, name: str) -> None:
    start = threading.Barrier(WRITERS)

    def write(seed: int) -> int | None:
        start.wait()
        try:
            run.put(name, 1000, seed=seed, if_absent=True)
        except (AlreadyExists, StoreError):
            # Who is told anything but "done" has not won.
            return None
        return seed

    with ThreadPoolExecutor(WRITERS) as pool:
        winners = [seed for seed in pool.map(write, range(1, WRITERS + 1)) if seed is not None]
    if len(winners) > 1:
        raise UnsafeError(f"of {WRITERS} writers at once {len(winners)} were told that theirs is the first")
    if not winners:
        raise AbsentError(f"of {WRITERS} writers at once none could write")
    if run.read(name) != body(1000, seed=winners[0]):
        raise UnsafeError("the object is not that of the writer who won")


def check_ranges(run: Run) -> str:
    """Read ranges: both ends count, the last one may lie beyond the end, the first may not."""
    data = run.put("span", SIZE)
    for first, last in ((0, 0), (100, 199), (SIZE - 1, SIZE - 1), (SIZE - 10, SIZE * 2)):
        with run.store.get(run.key("span"), range=(first, last)) as reader:
            if reader.read() != data[first : last + 1] or reader.info.size != SIZE:
                raise UnsafeError(f"bytes {first} to {last} come back as others")
    try:
        run.read("span", span=(SIZE, SIZE + 1))
    except InvalidArgument:
        return "exact, and refused beyond the end"
    raise UnsafeError("a range beyond the end is answered with bytes")


def check_copies(run: Run) -> str:
    """Copy: body and metadata arrive, and the source stays."""
    able = run.store.capabilities[Feature.METADATA].usable
    data = run.put("source", 70_000, seed=3, metadata=able)
    metadata = able and METADATA.items() <= run.metadata("source")[0].items()
    run.put("copied", 5, seed=4)
    run.store.copy(run.key("source"), run.key("copied"))
    if run.read("copied") != data or run.read("source") != data:
        raise UnsafeError("a copy has another body than its source")
    if metadata and not METADATA.items() <= run.metadata("copied")[0].items():
        raise UnsafeError("a copy loses the metadata of its source")
    return "body and metadata arrive" if metadata else "the body arrives; there are no metadata to copy"


def check_keys(run: Run) -> str:
    """Put under odd names: each is held exactly, beside all others, or refused."""
    room = run.store.limits.key_max - len(run.prefix)
    names = (*ODD, long_name(room))
    refused: list[str] = []
    held: dict[str, bytes] = {}
    for seed, name in enumerate(names):
        try:
            held[name] = run.put(name, 50, seed=seed)
        except (InvalidArgument, NotSupported, StoreError):
            refused.append(f"of {room + len(run.prefix)} bytes" if name == names[-1] else f"`{name}`")
    listed = {info.key for page in run.store.list(run.prefix) for info in page.objects}
    changed = [name for name, data in held.items() if run.prefix + name not in listed or _differs(run, name, data)]
    if changed:
        raise UnsafeError(f"names are taken and changed: {', '.join(f'`{name[:40]}`' for name in changed)}")
    run.remove(*held)
    if refused:
        raise AbsentError(f"refused: {', '.join(refused)}; all others are held exactly")
    return f"{len(names)} odd names are held exactly, up to {room + len(run.prefix)} bytes"


def _differs(run: Run, name: str, data: bytes) -> bool:
    try:
        return run.read(name) != data
    except NotFound:
        return True


def check_nested(run: Run) -> str:
    """Hold an object, and another below its name; or refuse the second, and leave the first as it was."""
    first = run.put("nest", 20, seed=1)
    try:
        second = run.put("nest/below", 30, seed=2)
    except (InvalidArgument, StoreError):
        if _differs(run, "nest", first):
            raise UnsafeError("a refused `a/b` has damaged `a`") from None
        raise AbsentError("`a/b` is refused where there is `a`") from None
    if _differs(run, "nest", first) or _differs(run, "nest/below", second):
        raise UnsafeError("of `a` and `a/b` one replaces the other")
    return "`a` and `a/b` are held at once"
