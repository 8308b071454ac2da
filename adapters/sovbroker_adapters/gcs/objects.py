"""Single calls on objects by their names, each with the proof that the service holds what it should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sovbroker.errors import InvalidArgument, NotFound, StoreError, Unavailable
from sovbroker.ports import NO_METADATA, Bytes, Source
from sovbroker_adapters.checks import shows
from sovbroker_adapters.gcs.bodies import IN_MEMORY, TYPE, Outgoing
from sovbroker_adapters.gcs.client import Call, Connection
from sovbroker_adapters.gcs.resources import FIELDS, Resource, resource_of

__all__ = ["COMPOSED_MAX", "Objects"]

T = TypeVar("T")

COMPOSED_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of a bucket by name, the adapter's own too. Errors name `key`, which the caller knows."""

    connection: Connection

    def head(self, name: str, *, key: str) -> Resource:
        """Ask what is known of an object. Raises NotFound, of the object or of the bucket."""
        answer = self.connection.ask(Call("GET", self.connection.object(name), {"fields": FIELDS}, key=key))
        return self._named(answer, name, key)

    def store(
        self,
        name: str,
        body: Bytes | Source,
        *,
        size: int,
        key: str,
        metadata: Mapping[str, str] = NO_METADATA,
        if_absent: bool = False,
    ) -> Resource:
        """Store an object in one request. What the source raises comes through as it is."""
        sent: Outgoing | None = None

        def outgoing() -> Outgoing:
            nonlocal sent
            sent = Outgoing(name, body, size=size, metadata=metadata)
            return sent

        query: dict[str, str | int] = {"uploadType": "multipart", "fields": FIELDS}
        if if_absent:
            query["ifGenerationMatch"] = 0
        # A condition that is sent again may meet the object that the first sending made.
        again = isinstance(body, IN_MEMORY) and not if_absent
        path = f"/upload{self.connection.object('')}"
        call = Call("POST", path, query, outgoing=outgoing, key=key, again=again, conditional=if_absent)
        try:
            answer = self.connection.ask(call)
        except (StoreError, InvalidArgument):
            if sent is not None and sent.error is not None:
                raise sent.error from None
            raise
        resource = self._named(answer, name, key)
        self.check(resource, size=size, checksum=None if sent is None else sent.checksum, key=key)
        return resource

    def remove(self, name: str, *, key: str) -> None:
        """Remove an object; one that is not there is removed already. Raises NotFound of the bucket."""
        try:
            self.connection.ask(Call("DELETE", self.connection.object(name), key=key))
        except NotFound as error:
            if error.key is None:
                raise

    def copy(self, source: str, destination: str) -> Resource:
        """Copy an object with its metadata, in as many requests as the service needs."""
        before = self.head(source, key=source)
        path = f"{self.connection.object(source)}/rewriteTo/b/{self.connection.bucket}"
        path += self.connection.object(destination).removeprefix(f"/storage/v1/b/{self.connection.bucket}")
        query: dict[str, str | int] = {}
        seen: set[str] = set()
        while True:
            answer = self.connection.ask(Call("POST", path, query, key=source))
            if answer.get("done") is True:
                break
            token = answer.get("rewriteToken")
            if not isinstance(token, str) or not token:
                raise self.broken(destination, "the store neither finished the copy nor said how to go on")
            # A service may name the same token again as long as it goes on.
            step = f"{token} {answer.get('totalBytesRewritten')}"
            if step in seen:
                raise self.broken(destination, "the store's copy does not end")
            seen.add(step)
            query = {"rewriteToken": token}
        resource = self._named(answer.get("resource"), destination, destination)
        self.check(resource, size=before.info.size, checksum=before.checksum, key=destination)
        return resource

    def set_metadata(self, key: str, metadata: Mapping[str, str]) -> Resource:
        """Replace the metadata of an object as it is now; one that is changed meanwhile raises Unavailable."""
        before = self.head(key, key=key)
        query: dict[str, str | int] = {"fields": FIELDS}
        if before.generation:
            query["ifGenerationMatch"] = before.generation
        if before.metageneration:
            query["ifMetagenerationMatch"] = before.metageneration
        # What is named nowhere stays, so what is to go is named as nothing.
        content = {"metadata": {**dict.fromkeys(before.info.metadata), **metadata}}
        call = Call("PATCH", self.connection.object(key), query, content=content, key=key, again=False)
        resource = self._named(self.connection.ask(call), key, key)
        self.check(resource, size=before.info.size, checksum=before.checksum, key=key)
        if not shows(resource.info.metadata, metadata, before=before.info.metadata):
            raise self.broken(key, "the store does not show the metadata that it was given")
        return resource

    def compose(
        self, sources: Sequence[Resource], name: str, *, key: str, metadata: Mapping[str, str] = NO_METADATA
    ) -> Resource:
        """Join up to 32 objects into one; if one of them was replaced meanwhile, a service that looks refuses."""
        listed: list[dict[str, object]] = []
        for source in sources:
            entry: dict[str, object] = {"name": source.info.key}
            if source.generation:
                entry |= {
                    "generation": source.generation,
                    "objectPreconditions": {"ifGenerationMatch": source.generation},
                }
            listed.append(entry)
        content = {"sourceObjects": listed, "destination": {"contentType": TYPE, "metadata": dict(metadata)}}
        path = f"{self.connection.object(name)}/compose"
        answer = self.connection.ask(Call("POST", path, {"fields": FIELDS}, content=content, key=key))
        return self._named(answer, name, key)

    def check(self, resource: Resource, *, size: int, checksum: int | None, key: str) -> None:
        """Raise Unavailable unless the service holds so many bytes, and just these where both sides know."""
        if resource.info.size != size:
            raise self.broken(key, f"the store holds {resource.info.size} bytes of the {size} that were sent")
        if None not in {checksum, resource.checksum} and checksum != resource.checksum:
            raise self.broken(key, "what the store holds is not what was sent: its CRC32C is another")

    def broken(self, key: str, why: str) -> Unavailable:
        """Return the error of an object that is not what it should be."""
        return Unavailable(f"`{key}`: {why}", target=self.connection.target, key=key)

    def _named(self, entry: object, name: str, key: str) -> Resource:
        resource = resource_of(entry, target=self.connection.target)
        if resource.info.key != name:
            raise self.broken(key, "the store answered for another object")
        return resource
