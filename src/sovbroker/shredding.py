"""The destruction of an object: every version, every copy, every row, and a look whether that is so.

What opens an object is its data key, wrapped in its row and beside its copies. Copies of the state database that were
made before still hold it, and a provider may keep what it says is gone; who has to be sure of those, too, shreds the
domain (`Keyring.shred`), after which no wrapped key opens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sovbroker.errors import Conflict, NotFound, StoreError, Unavailable
from sovbroker.guard import Permit
from sovbroker.placements import Leftover, Placement, Precondition
from sovbroker.transfer.outgoing import attempt
from sovbroker.writing import Flow, remove_leftovers

__all__ = ["Shredded", "shred"]


@dataclass(frozen=True, slots=True)
class Shredded:
    """What is gone: the versions of an object, and what each target held of it, by target, and no longer has."""

    key: str
    versions: tuple[str, ...]
    gone: Mapping[str, tuple[str, ...]]

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "key": self.key,
            "versions": list(self.versions),
            "gone": {target: list(names) for target, names in self.gone.items()},
        }


def shred(flow: Flow, key: str) -> Shredded:
    """Destroy an object. Nobody reads it from the first moment on, whatever fails then; called again, it goes on.

    Raises Conflict, and destroys nothing, while the policy retains a version; NotFound when there is nothing of it;
    Unavailable when something is left at a provider, or cannot be seen to be gone.
    """
    now = flow.clock()
    flow.index.expire(now)
    versions = flow.index.versions(key)
    _check_retention(key, versions, flow)
    for row in versions[:1]:
        flow.index.remove(key, condition=Precondition(if_version=row.version), now=now)
    doomed = [item for item in flow.index.leftovers(limit=1_000_000) if item.key == key and item.kind != "intent"]
    if not doomed and not versions:
        # An earlier call may have come as far as this.
        flow.index.scour()
        raise NotFound(f"there is no object `{key}`", key=key)
    remove_leftovers(flow, doomed)
    gone: dict[str, tuple[str, ...]] = {}
    for item in doomed:
        names = tuple(name for name in (item.physical, item.sidecar) if name)
        for name in names:
            _check_gone(flow, item, name)
        gone[item.target] = (*gone.get(item.target, ()), *names)
    flow.index.scour()
    return Shredded(key, tuple(dict.fromkeys(item.version for item in doomed)), gone)


def _check_retention(key: str, versions: Sequence[Placement], flow: Flow) -> None:
    held = [row.retain_until for row in versions if row.retain_until is not None and row.retain_until > flow.clock()]
    if held:
        raise Conflict(
            f"`{key}` is retained by the policy until {max(held).isoformat()}; nothing was destroyed", key=key
        )


def _check_gone(flow: Flow, item: Leftover, name: str) -> None:
    """Ask the provider. Raises Unavailable unless it says that there is no such object."""
    where = {"target": item.target, "key": item.key}
    if item.target not in flow.stores.places:
        raise Unavailable(f"`{item.key}`: a copy is at `{item.target}`, which is not configured any more", **where)
    store = flow.stores.guarded(item.target, Permit.READ)
    try:
        attempt(partial(store.head, name), deadline=None)
    except NotFound as error:
        if error.key is not None:
            return
        raise Unavailable(f"`{item.key}`: {error}", **where) from error
    except StoreError as error:
        raise Unavailable(f"`{item.key}`: whether the copy is gone cannot be seen: {error}", **where) from error
    raise Unavailable(f"`{item.key}`: a copy is still there; shred it again when that can be removed", **where)
