"""What nobody needs any more, removed from the providers: copies of doomed versions, and what a crash left behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from sovbroker.errors import NotFound, StoreError
from sovbroker.placements import Leftover, PlacementIndex
from sovbroker.ports import Feature, Store
from sovbroker.transfer.outgoing import sidecar_name

__all__ = ["ABANDONED", "GRACE", "abandoned", "clear_away", "owner"]

ABANDONED: Final = timedelta(days=7)
"""After this an intent of a process on another machine, which cannot be asked, is taken for abandoned."""

GRACE: Final = timedelta(minutes=15)
"""How long a failed write may still arrive at a provider; until then its intent stays known."""

RETRY_FIRST: Final = timedelta(seconds=30)
RETRY_MOST: Final = timedelta(hours=6)


def owner() -> str:
    """Name this process so that another one on the same machine can tell whether it still runs: host/boot/pid/start."""
    return _owner(os.getpid())


@cache
def _owner(pid: int) -> str:
    return f"{socket.gethostname()}/{_boot()}/{pid}/{_started(pid)}"


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "-"


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot; "" when there is none, "-" when nobody can tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except OSError:
        return "" if Path("/proc/self/stat").exists() else "-"


def abandoned(leftover: Leftover, *, now: datetime) -> bool:
    """Whether nobody works on an intent any more: its process is gone, or cannot be asked and is long overdue."""
    host, boot, pid, started = [*leftover.owner.split("/"), "", "", "", ""][:4]
    if host != socket.gethostname() or started == "-" or not pid.isdigit():
        return leftover.created is None or now - leftover.created > ABANDONED
    return boot != _boot() or _started(int(pid)) != started


def clear_away(
    index: PlacementIndex,
    leftovers: Sequence[tuple[Leftover, Store]],
    *,
    now: datetime,
    keep_until: datetime | None = None,
) -> int:
    """Remove leftovers from their stores; return how many are gone for good.

    What cannot be removed is recorded with its error and a time for the next try. `keep_until`: an intent whose write
    may still arrive is removed now and stays known until then.
    """
    gone: list[Leftover] = []
    for leftover, store in leftovers:
        try:
            _remove(leftover, store)
        except StoreError as error:
            wait = min(RETRY_MOST, RETRY_FIRST * 2 ** min(leftover.attempts, 16))
            index.failed(leftover, error=str(error), retry_at=now + wait)
        else:
            if keep_until is None or leftover.kind != "intent":
                gone.append(leftover)
            else:
                index.failed(leftover, error="a write that failed may still arrive", retry_at=keep_until)
    if gone:
        index.removed(gone)
    return len(gone)


def _remove(leftover: Leftover, store: Store) -> None:
    if leftover.kind == "intent" and store.capabilities[Feature.MULTIPART].usable:
        ids = {leftover.upload} if leftover.upload else {u.id for u in store.uploads(leftover.physical)}
        for upload_id in ids:
            try:
                store.multipart(leftover.physical, upload_id=upload_id).abort()
            except NotFound:
                continue
    store.delete(leftover.physical)
    if leftover.sidecar or leftover.kind == "intent":
        store.delete(leftover.sidecar or sidecar_name(leftover.physical))
