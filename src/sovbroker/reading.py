"""From a row to bytes: which copies may be read, and with which key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Final, TypeVar

from sovbroker.envelope import ClearRecord, Context, Opener, Record, Secret, read_sidecar
from sovbroker.errors import NotFound, SealError, Tampered, UnknownFormat
from sovbroker.guard import Permit
from sovbroker.objects import ExitTicket, ObjectFile, info_of
from sovbroker.placements import CopyRow, Placement
from sovbroker.ports import Feature, Store
from sovbroker.transfer.incoming import Incoming, SourceCopy, Version, read_range
from sovbroker.writing import Flow

__all__ = ["open_object", "open_range", "row_of", "ticket_of"]

FORMAT: Final = "Cobblestone-256"
SIDECAR_MAX: Final = 1 << 20
"""More than any sidecar has: user metadata are at most 64 KiB."""


T = TypeVar("T")


def row_of(flow: Flow, key: str, version: str | None = None) -> Placement:
    """Return the row of the current version of `key`, or of `version`. Raises NotFound."""
    if version is None:
        row = flow.index.current(key)
    else:
        row = next((v for v in flow.index.versions(key) if v.version == version), None)
    if row is None:
        what = f"`{key}`" if version is None else f"`{key}` at version {version}"
        raise NotFound(f"there is no object {what}", key=key)
    return row


def open_object(flow: Flow, key: str, version: str | None) -> ObjectFile:
    """Open one version as a file."""
    return _latest(flow, key, version, lambda row: ObjectFile(Incoming(*_sources(flow, row)), info_of(row)))


def open_range(flow: Flow, key: str, version: str | None, *, first: int, last: int) -> bytes:
    """Return the bytes `first` to `last`, both inclusive, in one request."""

    def read(row: Placement) -> bytes:
        source, copies = _sources(flow, row)
        return read_range(source, copies, first=first, last=last)

    return _latest(flow, key, version, read)


def _latest(flow: Flow, key: str, version: str | None, read: Callable[[Placement], T]) -> T:
    """Read; when the row's copies are gone because the object was replaced in between, read what replaced it."""
    row = row_of(flow, key, version)
    while True:
        try:
            return read(row)
        except NotFound:
            again = row_of(flow, key, version)
            if again.version == row.version:
                raise
            row = again


def _sources(flow: Flow, row: Placement) -> tuple[Version, Sequence[SourceCopy]]:
    """Return the version and its copies, those at targets that are still configured."""
    record = Record.decode(row.record) if row.record else None
    copies = [_source(flow, row, copy, record) for copy in row.copies if copy.target in flow.stores.places]
    if not copies:
        held = ", ".join(copy.target for copy in row.copies)
        raise NotFound(f"`{row.key}` lies at {held}, and no such target is in the configuration; add one", key=row.key)

    @cache
    def opener() -> Opener:
        context, dek = _secret(flow, row, record)
        return Opener(dek, context, _known(row, record).head)

    return Version(key=row.key, size=row.size, digest=row.digest, opener=opener, padded=row.padded), copies


def _source(flow: Flow, row: Placement, copy: CopyRow, record: Record | None) -> SourceCopy:
    """Return a copy with what its store must show of it, so that a changed row or swapped metadata are found out."""
    store = flow.stores.guarded(copy.target, Permit.READ)
    source = SourceCopy(copy.target, store, copy.physical, copy.sealed)
    told = store.capabilities[Feature.METADATA].usable
    if not copy.sealed:
        source = replace(source, claims={"key": row.key, "version": row.version, "label": row.label})
        return source if told else replace(source, beside=_beside(store, copy.sidecar))
    if not told:
        # The envelope tells by itself when it is another one; its sidecar is for whoever has lost the row.
        return source
    if record is not None:
        entry = record.split(store.limits.metadata_max)[0]
        return replace(source, entry={Record.NAME: entry}, else_shown=_rewrapped(flow, row, record, entry))
    return source


def _rewrapped(flow: Flow, row: Placement, record: Record, entry: str) -> Callable[[Mapping[str, str]], bool]:
    """Return what tells whether a store shows the same record, its data key wrapped under another key of the domain.

    So it is while keys are wrapped anew, between a copy and its row. Whatever is not that very data key is refused.
    """

    def same(shown: Mapping[str, str]) -> bool:
        try:
            found = Record.decode(shown.get(Record.NAME, ""))
            if not found.same_but_wrapped(Record.decode(entry)):
                return False
            theirs = flow.keyrings.by_kid(row.domain, found.kid).unwrap_dek(found.wrapped)
        except SealError:
            return False
        return theirs == _secret(flow, row, record)[1]

    return same


def _beside(store: Store, name: str) -> Callable[[], Mapping[str, object]]:
    """Return what asks, once, what the sidecar of a copy in the clear says."""

    @cache
    def ask() -> Mapping[str, object]:
        with store.get(name) as reader:
            if reader.info.size > SIDECAR_MAX:
                raise Tampered
            record = read_sidecar(reader.read())
        if not isinstance(record, ClearRecord) or record.metadata is None:
            raise Tampered
        return record.metadata

    return ask


def _known(row: Placement, record: Record | None) -> Record:
    if record is None:
        raise UnknownFormat(f"the row of `{row.key}` names a sealed copy and holds no record to open it with")
    return record


def _secret(flow: Flow, row: Placement, record: Record | None) -> tuple[Context, Secret]:
    """Return the context that the row claims, and the key of the version."""
    known = _known(row, record)
    key = flow.keyrings.by_kid(row.domain, known.kid)
    context = Context(domain=row.domain, key=row.key, version=row.version, label=row.label)
    return context, key.unwrap_dek(known.wrapped)


def ticket_of(flow: Flow, row: Placement) -> ExitTicket:
    """Reveal everything that opens this version without us, its key included."""
    dek = context = ""
    if any(copy.sealed for copy in row.copies):
        record = Record.decode(row.record)
        authenticated, secret = _secret(flow, row, record)
        Opener(secret, authenticated, record.head)
        dek, context = secret.reveal().hex(), authenticated.encode().hex()
    places: list[Mapping[str, object]] = []
    for copy in row.copies:
        place = flow.stores.places.get(copy.target)
        places.append(
            {
                "target": copy.target,
                "endpoint": None if place is None else place.binding.endpoint,
                "container": None if place is None else place.binding.container,
                "name": copy.physical,
                "sealed": copy.sealed,
            }
        )
    return ExitTicket(
        domain=row.domain,
        key=row.key,
        version=row.version,
        label=row.label,
        size=row.size,
        format=FORMAT if dek else "",
        dek=dek,
        context=context,
        places=tuple(places),
    )
