"""The check of uploads in parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sovbroker.errors import NotFound, SovbrokerError, StoreError
from sovbroker.ports import Part, Upload
from sovbroker.probing.run import Run, UnsafeError
from sovbroker.specimens import body

__all__ = ["check_uploads"]

LEAST: Final = 1000
LAST: Final = 500


def check_uploads(run: Run) -> str:
    """Send parts in any order and again, drop an upload, and join what was never sent."""
    least = max(run.store.limits.part_min, LEAST)
    run.remove("joined", "dropped")
    again = _joined(run, least)
    _dropped(run, least)
    return f"parts of {least} bytes and more, in any order; {again}"


def _joined(run: Run, least: int) -> str:
    """Join two parts that are sent last first, the first of them twice with other bytes in between."""
    upload = run.store.multipart(run.key("joined"))
    try:
        one, two = body(least, seed=1), body(LAST, seed=2)
        last = upload.part(2, two)
        first = upload.part(1, one)
        other = _send_again(upload, body(least, seed=3))
        expected = one if other is None else body(least, seed=3)
        early = run_holds(run, "joined")
        listed = [(part.number, part.size) for part in upload.parts()]
        # In the wrong order on purpose.
        upload.commit([last, other or first])
    except BaseException:
        upload.abort()
        raise
    if listed != [(1, least), (2, LAST)]:
        raise UnsafeError("an upload tells of other parts than it was sent")
    if early:
        raise UnsafeError("an object can be read before its parts are joined")
    if run.read("joined") != expected + two:
        raise UnsafeError("the joined object is not its parts, by number, as they were sent last")
    return "a part may be sent again" if other is None else "a part that is sent again counts"


def _send_again(upload: Upload, data: bytes) -> Part | None:
    """Send the first part with other bytes; None where that is refused."""
    try:
        return upload.part(1, data)
    except StoreError:
        return None


def _dropped(run: Run, least: int) -> None:
    """Join what was never sent, which must fail, and drop the upload: nothing may be left of it."""
    upload = run.store.multipart(run.key("dropped"))
    try:
        sent = upload.part(1, body(least, seed=1))
        joined = _joins(upload, [sent, Part(2, LAST, "0" * 32)])
    finally:
        upload.abort()
    if joined:
        raise UnsafeError("parts that were never sent are joined without a word")
    if any(found.id == upload.id for found in run.store.uploads(run.key("dropped"))):
        raise UnsafeError("an upload that was dropped is still listed, and may be paid for")
    if run_holds(run, "dropped"):
        raise UnsafeError("an upload that was dropped left an object")


def _joins(upload: Upload, parts: Sequence[Part]) -> bool:
    try:
        upload.commit(parts)
    except SovbrokerError:
        return False
    return True


def run_holds(run: Run, name: str) -> bool:
    """Whether there is an object."""
    try:
        run.store.head(run.key(name))
    except NotFound:
        return False
    return True
