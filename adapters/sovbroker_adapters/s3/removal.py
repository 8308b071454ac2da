"""Removing objects, from buckets that keep versions too: there a plain deletion hides an object and keeps its bytes.

A version is removed by its id, the current one last. So what may not be removed stays readable, what is older never
comes back, and a removal that was interrupted can be made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any, Final

from sovbroker.errors import InvalidArgument, NotFound, NotSupported, PermissionDenied, StoreError, Unavailable
from sovbroker.ports import Feature, Support
from sovbroker_adapters.s3.client import Answer, Connection
from sovbroker_adapters.s3.settings import Settings
from sovbroker_adapters.s3.upload import Verification

__all__ = ["Removal"]

BULK: Final = 1000
SPARSE: Final = 4
GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion"})
HELP: Final = (
    "the bucket keeps versions, and they cannot be listed to remove them all: allow s3:ListBucketVersions and "
    "s3:DeleteObjectVersion, or set `versions: leave`"
)


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of an object, or None for the object as it is; a marker of a deletion is a version, too."""

    key: str
    id: str | None = None
    current: bool = True

    @property
    def named(self) -> dict[str, str]:
        """How a request names it."""
        return {"Key": self.key} if self.id is None else {"Key": self.key, "VersionId": self.id}


@dataclass(frozen=True, slots=True)
class _Removed:
    """What became of a removal: the failures by key, and what is only hidden, with the id of the marker that hides."""

    failures: dict[str, StoreError]
    hidden: dict[str, str | None]


class Removal:
    """Removes objects of one bucket. Safe for threads; it learns once whether the bucket keeps versions."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._verification = Verification(connection, settings)
        # Asked once, also where retention is declared: a probe declares everything, to see what of it is so.
        self._kept: bool | None = None

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        failures = self.delete_many([key])
        if failures:
            raise failures[key]

    def delete_many(self, keys: Sequence[str]) -> Mapping[str, StoreError]:
        """See `Store.delete_many`."""
        unique = tuple(dict.fromkeys(keys))
        if self._settings.versions == "leave":
            return self._remove([_Version(key) for key in unique]).failures
        if unique and self._keeps():
            return self._purge(unique)
        removed = self._remove([_Version(key) for key in unique])
        if not removed.hidden:
            return removed.failures
        # The bucket did not tell, or it began to keep versions a moment ago.
        self._kept = True
        failures = self._purge(tuple(removed.hidden))
        for key in failures:
            marker = removed.hidden[key]
            if marker is not None:
                # What may not be removed is not to be hidden either.
                with suppress(StoreError):
                    self._one(_Version(key, marker))
        return removed.failures | failures

    def remove_older(self, key: str) -> None:
        """Remove the versions of an object that are not the current one, where the bucket keeps them."""
        if self._settings.versions == "leave" or not self._keeps():
            return
        try:
            older = [version for version in self._versions(key) if not version.current]
        except (PermissionDenied, NotSupported) as error:
            raise type(error)(HELP, target=self._connection.target, key=key) from error
        failures = self._remove(older).failures
        if failures:
            raise failures[key]

    @property
    def _ordered(self) -> bool:
        return self._settings.capabilities[Feature.ORDERED_LIST] is Support.NATIVE

    def _keeps(self) -> bool:
        """Whether the bucket keeps versions, as far as it tells."""
        if self._kept is None:
            try:
                answer = self._connection.ask("get_bucket_versioning")
            except Unavailable:
                raise
            except (StoreError, InvalidArgument):
                # It does not tell. One that retains objects keeps versions; else a deletion that only hides will tell.
                self._kept = self._settings.capabilities[Feature.RETENTION].usable
            else:
                self._kept = answer.get("Status") in {"Enabled", "Suspended"}
        return self._kept

    def _purge(self, keys: Sequence[str]) -> dict[str, StoreError]:
        """Remove every version of the keys."""
        failures: dict[str, StoreError] = {}
        found, left = self._survey(keys)
        for key in left:
            try:
                found += self._versions(key)
            except (PermissionDenied, NotSupported) as error:
                failures[key] = type(error)(HELP, target=self._connection.target, key=key)
                failures[key].__cause__ = error
            except StoreError as error:
                if error.key is None:
                    raise
                failures[key] = error
        failures |= self._remove([version for version in found if not version.current]).failures
        last = [version for version in found if version.current and version.key not in failures]
        return failures | self._remove(last).failures

    def _survey(self, keys: Sequence[str]) -> tuple[list[_Version], Sequence[str]]:
        """Look for many keys at once: return what was found, and the keys that have to be looked for one by one.

        It reads on from the first key as long as that is cheaper than asking for each.
        """
        budget = len(keys) // SPARSE
        if not budget or not self._ordered:
            return [], keys
        wanted, last = frozenset(keys), max(keys)
        found: list[_Version] = []
        reached = ""
        try:
            for page in self._pages(commonprefix(keys), None):  # noqa: RUF071 - keys are no paths
                budget -= 1
                found += [version for version in page if version.key in wanted]
                reached = max((version.key for version in page), default=reached)
                if reached > last:
                    return found, ()
                if not budget:
                    break
            else:
                return found, ()
        except (PermissionDenied, NotSupported):
            # Each key's failure says what to allow.
            reached = ""
        # Of the last key there may be more versions on the next page.
        return [version for version in found if version.key < reached], [key for key in keys if key >= reached]

    def _versions(self, key: str) -> Iterator[_Version]:
        for page in self._pages(key, key):
            yield from (version for version in page if version.key == key)
            # The key is the first of all that begin with it.
            if self._ordered and any(version.key != key for version in page):
                return

    def _pages(self, prefix: str, key: str | None) -> Iterator[Sequence[_Version]]:
        """Yield the versions of all keys under a prefix; `key` is the one that is meant, for errors."""
        asked: dict[str, Any] = {}
        while True:
            answer = self._connection.ask("list_object_versions", {"Prefix": prefix, "MaxKeys": BULK} | asked, key=key)
            if "IsTruncated" not in answer:
                raise self._broken(key, "the store answered something that is no list of versions")
            entries = (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ()))
            if not all(entry.get("Key") and entry.get("VersionId") for entry in entries):
                raise self._broken(key, "the store listed a version without its key or id")
            yield [_Version(each["Key"], each["VersionId"], current=each.get("IsLatest", False)) for each in entries]
            if not answer["IsTruncated"]:
                return
            markers = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
            following = {name: answer[said] for name, said in markers.items() if answer.get(said)}
            if following == asked or "KeyMarker" not in following:
                raise self._broken(key, "the store's list of versions does not end")
            asked = following

    def _broken(self, key: str | None, why: str) -> Unavailable:
        return Unavailable(why if key is None else f"`{key}`: {why}", target=self._connection.target, key=key)

    def _remove(self, versions: Sequence[_Version]) -> _Removed:
        removed = _Removed({}, {})
        if len(versions) > 1 and self._settings.bulk_delete:
            for start in range(0, len(versions), BULK):
                self._bulk(versions[start : start + BULK], removed)
            return removed
        for version in versions:
            try:
                answer = self._one(version)
            except StoreError as error:
                if error.key is None:
                    raise
                removed.failures[version.key] = error
            else:
                if version.id is None and answer.get("DeleteMarker"):
                    removed.hidden[version.key] = answer.get("VersionId")
        return removed

    def _one(self, version: _Version) -> Answer:
        try:
            answer = self._connection.ask("delete_object", version.named, key=version.key)
            self._verification.check_removed(answer, version.key)
            return answer  # noqa: TRY300 - what the check raises is not looked at here
        except NotFound as error:
            self._verification.check_bucket(error)
            return {}

    def _bulk(self, versions: Sequence[_Version], removed: _Removed) -> None:
        wanted = {"Objects": [version.named for version in versions], "Quiet": False}
        answer = self._connection.ask("delete_objects", {"Delete": wanted})
        done = {(entry.get("Key"), entry.get("VersionId")): entry for entry in answer.get("Deleted", ())}
        said = {(entry.get("Key"), entry.get("VersionId")): entry for entry in answer.get("Errors", ())}
        for version in versions:
            # Some services leave the version out of what they confirm.
            names = ((version.key, version.id), (version.key, None))
            entry = next((said[name] for name in names if name in said), None)
            confirmed = next((done[name] for name in names if name in done), None)
            if entry is not None:
                if entry.get("Code") not in GONE:
                    removed.failures[version.key] = self._said(version.key, entry)
            elif confirmed is None:
                # What the store does not confirm is not deleted.
                removed.failures[version.key] = self._verification.broken(
                    version.key, "it was not deleted: the store did not confirm it"
                )
            elif version.id is None and confirmed.get("DeleteMarker"):
                removed.hidden[version.key] = confirmed.get("DeleteMarkerVersionId")

    def _said(self, key: str, entry: Answer) -> StoreError:
        from sovbroker_adapters.s3.failures import kind_of  # noqa: PLC0415 - it needs the SDK

        code = str(entry.get("Code", ""))
        message = f"`{key}` was not deleted: {code} {entry.get('Message', '')}"
        return kind_of(code)(message, target=self._connection.target, key=key)
