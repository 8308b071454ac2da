"""Retention, by the retention of one object, and what the bucket tells of itself.

The retention is `Locked`: it can be made longer, never shorter, and nobody removes it. The bucket must be made with
object retention. Where it keeps versions too, an object that is removed stays as an older version that its retention
holds; so a removal is refused here first, and the object stays to be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from sovbroker.errors import NotFound, NotSupported, PermissionDenied, Unavailable
from sovbroker.ports import Inspection
from sovbroker_adapters.clocks import Watch
from sovbroker_adapters.gcs.bodies import read_all
from sovbroker_adapters.gcs.client import Answer, Call, Connection
from sovbroker_adapters.gcs.names import OWN

__all__ = ["Retention", "inspect"]

LOCKED: Final = "Locked"
EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})
ASKED: Final = "location,versioning,lifecycle,encryption,objectRetention,iamConfiguration"
OLDER: Final = frozenset({"daysSinceNoncurrentTime", "noncurrentTimeBefore", "numNewerVersions"})
"""Conditions that are met by older versions alone."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The retention of the objects of a bucket."""

    connection: Connection

    def hold(self, key: str, until: datetime) -> None:
        """See `Store.retain`."""
        held = self._held(key)
        if held is not None and held > until:
            raise self._denied(key, held)
        content = {"retention": {"mode": LOCKED, "retainUntilTime": until.isoformat()}}
        call = Call("PATCH", self.connection.object(key), {"fields": "retention"}, content=content, key=key)
        found = _end_of(self.connection.ask(call))
        # The service counts milliseconds.
        if found is None or found < until.replace(microsecond=until.microsecond // 1000 * 1000):
            message = f"the store took the retention of `{key}` and does not hold it"
            raise NotSupported(message, target=self.connection.target, key=key)

    def check_free(self, key: str) -> None:
        """Raise PermissionDenied for an object that is retained; what is not there is free."""
        try:
            held = self._held(key)
        except NotFound as error:
            if error.key is None:
                raise
            return
        if held is not None and held > datetime.now(UTC):
            raise self._denied(key, held)

    def _held(self, key: str) -> datetime | None:
        """Return the end of an object's locked retention; None where there is none. Raises NotFound."""
        call = Call("GET", self.connection.object(key), {"fields": "retention"}, key=key)
        return _end_of(self.connection.ask(call))

    def _denied(self, key: str, until: datetime) -> PermissionDenied:
        message = f"`{key}` is retained until {until.isoformat()}"
        return PermissionDenied(message, target=self.connection.target, key=key)


def _end_of(answer: Answer) -> datetime | None:
    retention = _map(answer.get("retention"))
    if retention.get("mode") != LOCKED:
        return None
    try:
        found = datetime.fromisoformat(str(retention.get("retainUntilTime")))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def inspect(connection: Connection) -> Inspection:
    """Ask what the bucket is like: first by a listing, which tells the time, then for what it says of itself."""
    watch = Watch()
    with connection.open(Call("GET", connection.object(""), {"maxResults": 1, "fields": "kind"})) as answer:
        clock, skew = watch.read(answer.headers.get("Date"))
        read_all(answer, strict=False)
    try:
        bucket = connection.ask(Call("GET", connection.container, {"fields": ASKED}))
    except (PermissionDenied, NotSupported):
        return Inspection(clock=clock, skew=skew)
    if not bucket.get("location"):
        raise Unavailable("the store described the bucket without its location", target=connection.target)
    return Inspection(
        clock=clock,
        skew=skew,
        region=str(bucket["location"]).lower(),
        public=_public(connection, _map(bucket.get("iamConfiguration"))),
        versioned=_map(bucket.get("versioning")).get("enabled") is True,
        locks=_map(bucket.get("objectRetention")).get("mode") == "Enabled",
        encryption=str(_map(bucket.get("encryption")).get("defaultKmsKeyName") or "by keys of the provider"),
        removals=tuple(_removals(_map(bucket.get("lifecycle")))),
    )


def _public(connection: Connection, configuration: Mapping[str, Any]) -> bool | None:
    """Whether everybody is let in; None where objects may have rights of their own, or nobody tells."""
    if configuration.get("publicAccessPrevention") == "enforced":
        return False
    try:
        policy = connection.ask(Call("GET", f"{connection.container}/iam", {"fields": "bindings"}))
    except (PermissionDenied, NotSupported, NotFound):
        return None
    bindings = [_map(binding) for binding in _list(policy.get("bindings"))]
    if any(EVERYBODY & {str(member) for member in _list(binding.get("members"))} for binding in bindings):
        return True
    return False if _map(configuration.get("uniformBucketLevelAccess")).get("enabled") is True else None


def _removals(lifecycle: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each rule that removes objects, other than older versions and parts of uploads."""
    for number, entry in enumerate(_list(lifecycle.get("rule")), start=1):
        rule = _map(entry)
        condition = _map(rule.get("condition"))
        prefixes = _list(condition.get("matchesPrefix"))
        own = bool(prefixes) and all(str(prefix).startswith(OWN) for prefix in prefixes)
        older = condition.get("isLive") is False or bool(OLDER & condition.keys())
        if _map(rule.get("action")).get("type") == "Delete" and not own and not older:
            when = ", ".join(f"{name} {json.dumps(value)}" for name, value in sorted(condition.items()))
            yield f"rule {number} of its lifecycle deletes objects: {when or 'all'}"


def _map(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list) else ()
