"""Retaining an object until a moment, and seeing that the service holds both: the lock, and the object as it was.

Services that do not know the request take it for a `put`, so that the object becomes the XML that was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sovbroker.errors import NotSupported, PermissionDenied, StoreError
from sovbroker_adapters.s3.client import Answer, Connection
from sovbroker_adapters.s3.settings import Settings
from sovbroker_adapters.s3.upload import Verification

__all__ = ["Retention"]

STRONGEST: Final = "COMPLIANCE"


@dataclass(frozen=True, slots=True)
class _Lock:
    """A retention: its mode, in capital letters, and its end."""

    mode: str
    end: datetime


@dataclass(frozen=True, slots=True)
class _State:
    """What a store tells of one version of an object."""

    size: int
    etag: str | None
    version: str | None
    lock: _Lock | None


@dataclass(frozen=True, slots=True)
class Retention:
    """Retains objects of one bucket."""

    connection: Connection
    settings: Settings

    def retain(self, key: str, until: datetime) -> None:
        """See `Store.retain`. The end is a whole second, the next one. Raises NotSupported where it is not held."""
        lock = _Lock(self.settings.retention_mode.upper(), _whole(until))
        before = self._look(key)
        if before.lock is not None and before.lock.end > lock.end:
            message = f"`{key}` is retained until {before.lock.end.isoformat()}; a retention is not shortened"
            raise PermissionDenied(message, target=self.connection.target, key=key)
        named: dict[str, Any] = {"Key": key} if before.version is None else {"Key": key, "VersionId": before.version}
        wanted = {"Mode": lock.mode, "RetainUntilDate": lock.end}
        self.connection.ask("put_object_retention", named | {"Retention": wanted}, key=key)
        after = self._look(key, before.version)
        if (after.size, after.etag, after.version) != (before.size, before.etag, before.version):
            raise self._not_held(key, "the object is another one since: it may have replaced the body")
        self._check(key, lock, after.lock or self._ask(named))

    def check_free(self, key: str, answer: Answer) -> None:
        """Raise PermissionDenied where the answer to `head_object` tells that an object is retained or held.

        A copy would be another version, which nothing retains, beside the one that stays. Services tell it to those who
        may ask for it: s3:GetObjectRetention.
        """
        lock = _lock(answer.get("ObjectLockMode"), answer.get("ObjectLockRetainUntilDate"))
        if answer.get("ObjectLockLegalHoldStatus") == "ON":
            raise PermissionDenied(f"`{key}` is held by a legal hold", target=self.connection.target, key=key)
        if lock is not None and lock.end > datetime.now(UTC):
            message = f"`{key}` is retained until {lock.end.isoformat()}"
            raise PermissionDenied(message, target=self.connection.target, key=key)

    def _look(self, key: str, version: str | None = None) -> _State:
        verification = Verification(self.connection, self.settings)
        answer = verification.answer(key, version)
        info = verification.info(answer, key)
        lock = _lock(answer.get("ObjectLockMode"), answer.get("ObjectLockRetainUntilDate"))
        return _State(info.size, info.etag, answer.get("VersionId"), lock)

    def _ask(self, named: Answer) -> _Lock | None:
        """Ask for a retention that the store does not tell with the object."""
        key = str(named["Key"])
        try:
            answer = self.connection.ask("get_object_retention", named, key=key)
        except (PermissionDenied, NotSupported) as error:
            message = (
                f"the retention of `{key}` cannot be seen: allow s3:GetObjectRetention, or set `retention: unsafe`"
            )
            raise type(error)(message, target=self.connection.target, key=key) from error
        found = answer.get("Retention", {})
        return _lock(found.get("Mode"), found.get("RetainUntilDate"))

    def _check(self, key: str, wanted: _Lock, held: _Lock | None) -> None:
        if held is None or held.end < wanted.end:
            said = "no end" if held is None else held.end.isoformat()
            raise self._not_held(key, f"it was told {wanted.end.isoformat()} and holds {said}")
        if held.mode not in {wanted.mode, STRONGEST}:
            raise self._not_held(key, f"it was told {wanted.mode} and holds {held.mode}")

    def _not_held(self, key: str, why: str) -> StoreError:
        message = f"the store accepted the retention of `{key}` and does not honour it, {why}; set `retention: unsafe`"
        return NotSupported(message, target=self.connection.target, key=key)


def _whole(moment: datetime) -> datetime:
    """Return the whole second that is not before a moment: not every service reads fractions."""
    down = moment.replace(microsecond=0)
    return down if down == moment else down + timedelta(seconds=1)


def _lock(mode: object, end: object) -> _Lock | None:
    return _Lock(str(mode), end.astimezone(UTC)) if isinstance(end, datetime) else None
