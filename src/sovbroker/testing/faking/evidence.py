"""What lies at the faked clouds: whose it is, and whether it is sealed. The bytes tell, not the rows of the broker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sovbroker.envelope import HEAD, Record, plain_size, read_entry, read_sidecar
from sovbroker.errors import InvalidArgument, KeyUnavailable, NotFound, SealError, Tampered
from sovbroker.guard import ENCRYPTED_NAME, SIDECAR
from sovbroker.keyrings import Keyrings
from sovbroker.policy.glob import Glob
from sovbroker.ports import NO_METADATA, Feature
from sovbroker.testing.faking.cloud import FakeCloud

__all__ = ["Held", "held_by", "matching"]


@dataclass(frozen=True, slots=True)
class Held:
    """One object that lies at a faked cloud, or the parts of one that was never joined (`unfinished`).

    `name` is what the provider calls it, `key` what the application calls it; None where it is hidden by a key that is
    not there any more. `clear` says why it is not sealed, "" when it is.
    """

    target: str
    name: str
    key: str | None
    clear: str
    body: bytes = field(repr=False)
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA, repr=False)
    unfinished: bool = False

    def __str__(self) -> str:
        """Tell it in a line."""
        key = "an object whose key is gone" if self.key is None else f"`{self.key}`"
        hidden = "" if self.key is not None and self.name.startswith(self.key) else ", its name hidden"
        unfinished = ", not finished" if self.unfinished else ""
        return f"{key} at {self.target}, {self.clear or 'sealed'}{hidden}{unfinished}"


def held_by(cloud: FakeCloud, keyrings: Keyrings) -> Iterator[Held]:
    """Yield everything that a faked cloud holds. `keyrings` tell whose the objects with hidden names are."""
    store = cloud.held
    for page in store.list():
        for info in page.objects:
            with store.get(info.key) as reader:
                yield _held(cloud, info.key, reader.info.metadata, reader.read(), keyrings)
    for upload in store.uploads():
        own = [request for request in cloud.saw if request.upload == upload.id and request.operation == "part"]
        parts = {request.part: request.body for request in own}
        body = b"".join(parts[number] for number in sorted(parts))
        begun = next((r.metadata for r in cloud.saw if r.operation == "multipart" and r.key == upload.key), NO_METADATA)
        yield _held(cloud, upload.key, begun, body, keyrings, unfinished=True)


def matching(held: Iterable[Held], pattern: str) -> Sequence[Held]:
    """Return what lies under the keys that `pattern` matches; AssertionError when nothing does.

    What nobody can tell the key of counts as matching. Raises InvalidArgument for what is no pattern.
    """
    __tracebackhide__ = True
    try:
        glob = Glob(pattern)
    except ValueError as error:
        raise InvalidArgument(str(error)) from error
    everything = list(held)
    found = [one for one in everything if one.key is None or glob.matches(one.key)]
    if not found:
        keys = sorted({one.key for one in everything if one.key is not None})
        there = f"there are {', '.join(f'`{key}`' for key in keys[:10])}" if keys else "nothing was stored at all"
        raise AssertionError(f"no object matches `{pattern}`, so nothing is asserted; {there}")
    return found


def _held(
    cloud: FakeCloud,
    name: str,
    metadata: Mapping[str, str],
    body: bytes,
    keyrings: Keyrings,
    *,
    unfinished: bool = False,
) -> Held:
    told = cloud.capabilities[Feature.METADATA].usable
    own = name.removesuffix(SIDECAR)
    entry = metadata.get(Record.NAME, "") if told else _beside(cloud, own)
    if name == own or metadata:
        clear = _fault(entry, body, unfinished)
    else:
        clear = _sidecar_fault(None if told else entry, body)
    return Held(cloud.target, name, _key_of(own, entry, keyrings), clear, body, metadata, unfinished)


def _beside(cloud: FakeCloud, name: str) -> str:
    """Return the entry that the sidecar of an object holds, at a cloud without metadata; "" where it holds none."""
    try:
        with cloud.held.get(name + SIDECAR) as reader:
            return read_sidecar(reader.read()).encode()
    except (NotFound, SealError):
        return ""


def _fault(entry: str, body: bytes, unfinished: bool) -> str:  # noqa: FBT001  # one place calls it
    """Say why an object is no envelope; "" when it is one."""
    try:
        record = Record.decode(entry)
    except SealError:
        return "in the clear"
    if unfinished and not body:
        return ""
    if body[:HEAD] != record.head:
        return "in the clear under the record of an envelope"
    try:
        plain_size(len(body))
    except SealError:
        return "" if unfinished else "not of the length of an envelope"
    return ""


def _sidecar_fault(entry: str | None, body: bytes) -> str:
    """Say why an object is no sidecar of an envelope. `entry` is what it holds, None where it goes with metadata."""
    try:
        if entry is None:
            Record.check_sidecar(body)
        else:
            Record.decode(entry)
    except SealError:
        return "in the clear"
    return ""


def _key_of(name: str, entry: str, keyrings: Keyrings) -> str | None:
    """Return the application's key of a physical name, which is `NAME@VERSION`; None where it stays hidden."""
    plain, _, _ = name.rpartition("@")
    if ENCRYPTED_NAME.fullmatch(name) is None:
        return plain
    for service, kid in _kids(entry, keyrings):
        try:
            return keyrings.by_kid(service, kid).names().decrypt(plain)
        except (KeyUnavailable, Tampered):
            continue
    return None


def _kids(entry: str, keyrings: Keyrings) -> Iterator[tuple[str, str]]:
    """Yield the domain keys under which a name may be hidden: that of its record, and the current ones."""
    try:
        record = read_entry(entry)
    except SealError:
        record = None
    for service, status in keyrings.status().items():
        if isinstance(record, Record):
            yield service, record.kid
        for domain in status.domains:
            yield service, domain.kid
