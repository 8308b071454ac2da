"""What one target holds, read from the records beside the bodies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, cast

from sovbroker.envelope import (
    TRAILER,
    ClearRecord,
    Context,
    Opener,
    Record,
    open_metadata,
    padded_size,
    plain_size,
    read_entry,
    read_sidecar,
    sealed_size,
    span,
    told_size,
)
from sovbroker.errors import InvalidArgument, KeyUnavailable, NotFound, SealError, Tampered, UnknownFormat
from sovbroker.keyrings import Keyrings
from sovbroker.keys import DomainKey
from sovbroker.placements import CopyRow
from sovbroker.ports import Feature, ObjectInfo, Store
from sovbroker.reindexing.report import Odd, Oddity
from sovbroker.transfer.outgoing import sidecar_name

__all__ = ["Claim", "survey"]

NAME: Final = re.compile(r"(?P<name>.+)@(?P<version>[0-9a-v]{24})", re.DOTALL)
HIDDEN: Final = re.compile(r"(?:[0-9a-v]{28,}/)*[0-9a-v]{28,}")
THREADS: Final = 16
BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Claim:
    """One copy of one version, and what its record says of the version.

    `record` is the portable record of an envelope, "" in the clear, and `epoch` that of the key it is wrapped under;
    `digest` the SHA-256 of a body in the clear.
    `targets` are those that the version was written to, where the record tells. `padded`: the envelope holds padding
    behind the plaintext.
    """

    key: str
    version: str
    label: str
    size: int
    created: datetime
    copy: CopyRow
    domain: str = ""
    record: str = ""
    epoch: int = 0
    digest: str = ""
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    targets: tuple[str, ...] = ()
    retain_until: datetime | None = None
    padded: bool = False


def survey(store: Store, keyrings: Keyrings) -> Iterator[Claim | Odd]:
    """Yield what a store holds: a claim for each copy, and whatever is odd. Reads every body in the clear, once."""
    infos = {info.key: info for page in store.list() for info in page.objects}
    sidecars = {name for name in infos if name.endswith("~")}
    for name in sorted(sidecars):
        if name.removesuffix("~") not in infos:
            yield Odd(Oddity.UNFINISHED, store.target, name, "a sidecar without its body")
    bodies = [info for name, info in sorted(infos.items()) if name not in sidecars]
    desk = Desk(store, keyrings, frozenset(sidecars))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="sovbroker-reindex") as pool:
        yield from pool.map(desk.examine, bodies)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the objects of one store are examined, one by one."""

    store: Store
    keyrings: Keyrings
    sidecars: frozenset[str]

    def examine(self, info: ObjectInfo) -> Claim | Odd:
        """Return what the record beside a body claims, or what is odd about it."""
        found = NAME.fullmatch(info.key)
        if found is None:
            return self._odd(Oddity.FOREIGN, info, "no name that sovbroker gives")
        try:
            return self._claim(info, name=found["name"], version=found["version"])
        except KeyUnavailable as error:
            return self._odd(Oddity.LOCKED, info, str(error))
        except NotFound:
            return self._odd(Oddity.UNFINISHED, info, "it was there a moment ago, or its sidecar is missing")
        except UnknownFormat as error:
            return self._odd(Oddity.FOREIGN, info, str(error))
        except SealError as error:
            return self._odd(Oddity.DAMAGED, info, str(error))

    def _claim(self, info: ObjectInfo, *, name: str, version: str) -> Claim:
        sidecar = sidecar_name(info.key) if sidecar_name(info.key) in self.sidecars else ""
        match self._record(info.key, sidecar):
            case Record() as record:
                return self._sealed(info, record, name, version, sidecar)
            case ClearRecord() as clear:
                return self._clear(info, clear, name, version, sidecar)

    def _record(self, name: str, sidecar: str) -> Record | ClearRecord:
        """Return the record beside a body, put together where a part of it, or all of it, is in the sidecar."""
        if not self.store.capabilities[Feature.METADATA].usable:
            return read_sidecar(self._sidecar(sidecar))
        entry = self.store.head(name).metadata.get(Record.NAME)
        if entry is None:
            raise UnknownFormat("there is no record beside it")
        beside = self._sidecar(sidecar) if read_entry(entry).has_sidecar else None
        match read_entry(entry):
            case Record():
                return Record.join(entry, beside)
            case ClearRecord():
                return ClearRecord.join(entry, beside)

    def _sidecar(self, sidecar: str) -> bytes:
        with self.store.get(sidecar or sidecar_name("missing")) as reader:
            return reader.read()

    def _sealed(self, info: ObjectInfo, record: Record, name: str, version: str, sidecar: str) -> Claim:
        key = self.keyrings.owner(record.kid)
        hidden = HIDDEN.fullmatch(name) is not None
        logical = _revealed(self.keyrings.epochs(key.domain), name) if hidden else name
        hidden = hidden and logical != name
        dek = key.unwrap_dek(record.wrapped)
        facts = open_metadata(dek, Context(key.domain, logical, version, ""), record.metadata)
        told = Facts(facts)
        # Raises Tampered unless key, label and version are those that the envelope was sealed with.
        opener = Opener(dek, Context(key.domain, logical, version, told.label), record.head)
        size = self._size(info, opener, told)
        if info.size != sealed_size(padded_size(size) if told.padded else size):
            raise Tampered
        copy = CopyRow(self.store.target, info.key, sealed=True, names_encrypted=hidden, sidecar=sidecar)
        claim = told.claim(copy, key=logical, version=version, size=size, domain=key.domain, record=record.encode())
        return replace(claim, epoch=key.epoch)

    def _size(self, info: ObjectInfo, opener: Opener, told: Facts) -> int:
        """Return the plaintext's size. Where nobody knew it when the record was written, the end of the body tells."""
        if told.size is not None:
            return told.size
        length = plain_size(info.size)
        if not told.padded:
            return length
        if length < TRAILER:
            raise Tampered
        part = span(length - TRAILER, length - 1, size=length)
        with self.store.get(info.key, range=(part.cipher_first, part.cipher_last)) as reader:
            sealed = reader.read()
        plain = bytearray(len(sealed))
        opener.open_into(sealed, plain, first_chunk=part.first_chunk, final=part.final)
        return told_size(bytes(plain[part.skip : part.skip + part.take]), sealed=info.size)

    def _clear(self, info: ObjectInfo, record: ClearRecord, name: str, version: str, sidecar: str) -> Claim:
        told = Facts(record.metadata or {})
        if (told.text("key"), told.text("version")) != (name, version) or told.size not in {None, info.size}:
            raise Tampered
        digest = hashlib.sha256()
        with self.store.get(info.key) as reader:
            while block := reader.read(BLOCK):
                digest.update(block)
        copy = CopyRow(self.store.target, info.key, sealed=False, sidecar=sidecar)
        return told.claim(copy, key=name, version=version, size=info.size, digest=digest.hexdigest())

    def _odd(self, oddity: Oddity, info: ObjectInfo, why: str) -> Odd:
        return Odd(oddity, self.store.target, info.key, why)


def _revealed(keys: Iterable[DomainKey], name: str) -> str:
    """Return the key behind a name that looks encrypted, or the name itself: a key may look so by chance.

    A name stays under the key with which it was made, whichever of them wraps the data key since.
    """
    for key in keys:
        with suppress(Tampered):
            return key.names().decrypt(name)
    return name


@dataclass(frozen=True, slots=True)
class Facts:
    """What a record says of a version, in JSON types. What is of another type than we write is damage."""

    values: Mapping[str, object]

    @property
    def label(self) -> str:
        """The label."""
        return self.text("label")

    @property
    def size(self) -> int | None:
        """The size of the plaintext, where it was known when the record was written."""
        value = self.values.get("size")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise Tampered
        return value

    @property
    def padded(self) -> bool:
        """Whether there is padding behind the plaintext."""
        value = self.values.get("padded", False)
        if not isinstance(value, bool):
            raise Tampered
        return value

    def text(self, name: str) -> str:
        """Return a text. Raises Tampered."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise Tampered
        return value

    def moment(self, name: str) -> datetime:
        """Return a moment. Raises Tampered."""
        try:
            return datetime.fromisoformat(self.text(name))
        except ValueError:
            raise Tampered from None

    def claim(
        self, copy: CopyRow, *, key: str, version: str, size: int, domain: str = "", record: str = "", digest: str = ""
    ) -> Claim:
        """Return the claim of a copy. Raises Tampered for facts that we do not write."""
        metadata, targets = self.values.get("metadata", {}), self.values.get("targets", [])
        content_type = self.values.get("content_type")
        if not isinstance(metadata, dict) or not isinstance(targets, list) or not isinstance(content_type, str | None):
            raise Tampered
        pairs, names = cast("dict[str, object]", metadata), cast("list[object]", targets)
        if not all(isinstance(value, str) for value in (*pairs.values(), *names)):
            raise Tampered
        try:
            return Claim(
                key=key,
                version=version,
                label=self.label,
                size=size,
                created=self.moment("created"),
                copy=copy,
                domain=domain,
                record=record,
                digest=digest,
                content_type=content_type,
                metadata=cast("dict[str, str]", pairs),
                targets=tuple(cast("list[str]", names)),
                retain_until=None if self.values.get("retain_until") is None else self.moment("retain_until"),
                padded=self.padded,
            )
        except InvalidArgument:
            raise Tampered from None
