"""What the demo checks: each function compares what is with what must be, and raises `Wrong` when it is not so."""

from __future__ import annotations

import base64
import hashlib
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Final, Protocol
from urllib.parse import quote_from_bytes

from sovbroker.demo.samples import Sample
from sovbroker.envelope import sealed_size
from sovbroker.objects import Copy, Stored
from sovbroker.policy import Decision

__all__ = ["Held", "Scanner", "Wrong", "check_held", "check_placed", "check_read", "check_refused", "forms"]

HEAD: Final = 4096
SAMPLE: Final = 1 << 20
BLOCK: Final = 8 << 20


class Wrong(Exception):
    """Something is not as the demo says it is."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a provider holds under one name, as a client that knows nothing of sovbroker reads it.

    `metadata` stand beside the body, whose first 4,096 bytes are `head`; `squeezed` tells whether zlib makes its first
    MiB at least 1 % smaller, which it never does to ciphertext; `found` are the markers that occur in the name, the
    metadata or the body.
    """

    target: str
    name: str
    size: int
    digest: str
    head: bytes
    squeezed: bool
    found: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


class Source(Protocol):
    """A body to be read once."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; b"" at the end."""
        ...


def forms(marker: bytes) -> Mapping[str, bytes]:
    """Return `marker` in the forms in which it might leak, by their names.

    Base64 has three, one for each place in a group of three bytes at which the marker may begin.
    """
    found = {"raw": marker, "hex": marker.hex().encode(), "HEX": marker.hex().upper().encode()}
    quoted = quote_from_bytes(marker).encode()
    if quoted != marker:
        found["url"] = quoted
    for shift in range(3):
        padded = base64.b64encode(bytes(shift) + marker)
        # The characters at both ends depend on neighbours too, so they are left out.
        inner = padded[-(-shift * 8 // 6) : (shift + len(marker)) * 8 // 6]
        found[f"base64+{shift}"] = inner
        found[f"base64url+{shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return found


class Scanner:
    """Looks for markers, in every form, in what a provider holds. Bytes that it has seen already cost it nothing."""

    def __init__(self, markers: Iterable[bytes]) -> None:
        self._names = {
            needle: f"{marker[:24]!r} ({form})" for marker in markers for form, needle in forms(marker).items()
        }
        if not self._names:
            raise Wrong("nothing to look for: the scan would prove nothing")
        self._longest = max(map(len, self._names))
        self._seen = dict[str, frozenset[str]]()

    def find(self, data: bytes) -> frozenset[str]:
        """Return the markers that occur in `data`, with their form."""
        return frozenset(name for needle, name in self._names.items() if needle in data)

    def look(self, target: str, name: str, metadata: Mapping[str, str], body: Source) -> Held:
        """Read one object to its end and tell what it is."""
        digest, size = hashlib.sha256(), 0
        # A file, because what is seldom searched need not be in memory: two copies share their bytes.
        with tempfile.TemporaryFile() as spool:
            while block := body.read(BLOCK):
                digest.update(block)
                size += spool.write(block)
            found = self._seen.get(digest.hexdigest())
            if found is None:
                found = self._seen[digest.hexdigest()] = self._search(spool)
            spool.seek(0)
            first = spool.read(SAMPLE)
        beside = " ".join((name, *metadata, *metadata.values())).encode()
        return Held(
            target=target,
            name=name,
            size=size,
            digest=digest.hexdigest(),
            head=first[:HEAD],
            squeezed=len(zlib.compress(first, 1)) < len(first) * 0.99,
            found=tuple(sorted(found | self.find(beside))),
            metadata=dict(metadata),
        )

    def _search(self, spool: IO[bytes]) -> frozenset[str]:
        found, tail = frozenset[str](), b""
        spool.seek(0)
        while block := spool.read(BLOCK):
            window = tail + block
            found |= self.find(window)
            tail = window[-self._longest :]
        return found


def check_placed(sample: Sample, stored: Stored, *, expected: Sequence[Copy]) -> None:
    """Check that an object lies at the targets, and in the modes, that the policy asks for."""
    if sorted(map(str, stored.copies)) != sorted(map(str, expected)):
        told, wanted = (", ".join(sorted(map(str, copies))) for copies in (stored.copies, expected))
        raise Wrong(f"`{sample.key}` lies at {told}, and the policy asks for {wanted}")
    if stored.size != sample.size:
        raise Wrong(f"`{sample.key}` was stored with {stored.size} bytes, and has {sample.size}")


def check_held(samples: Sequence[Sample], stored: Mapping[str, Stored], held: Sequence[Held]) -> Mapping[str, Sample]:
    """Check what the providers hold against what the broker said; return whose copy each `target/name` is.

    Every copy must be there, once, and nothing else. A copy in the clear is the file itself. A sealed one has an
    envelope's length, does not compress, is the same envelope at every provider, and no marker of any sealed object is
    found in it, in its name or beside it.
    """
    for item in held:
        if item.found:
            raise Wrong(f"{item.target} can read {', '.join(item.found)} in or beside `{item.name}`")
    owners: dict[str, Sample] = {}
    for sample in samples:
        copies = [_copy(sample, copy, held) for copy in stored[sample.key].copies]
        owners |= {f"{item.target}/{item.name}": sample for item in copies}
        sealed = [item for item in copies if item.digest != sample.digest]
        if any((item.digest, item.metadata) != (sealed[0].digest, sealed[0].metadata) for item in sealed):
            places = " and ".join(item.target for item in sealed)
            raise Wrong(f"the sealed copies of `{sample.key}` at {places} differ, so one of them cannot be opened")
    for item in held:
        if f"{item.target}/{item.name}" not in owners:
            raise Wrong(f"{item.target} holds `{item.name}`, which nobody put there")
    return owners


def _copy(sample: Sample, copy: Copy, held: Sequence[Held]) -> Held:
    """Find the one object at the provider that is this copy, and check it."""
    clear = copy.mode == "clear"
    size = sample.size if clear else sealed_size(sample.size)
    found = [item for item in held if item.target == copy.target and item.size == size]
    if len(found) != 1:
        raise Wrong(f"{copy.target} holds {len(found)} objects of {size} bytes, and one is `{sample.key}`")
    item = found[0]
    hidden = copy.mode == "sealed, names hidden"
    if hidden == item.name.startswith(f"{sample.key}@"):
        raise Wrong(f"{copy.target} holds `{sample.key}` under the name `{item.name}`, but its mode is `{copy.mode}`")
    if clear and item.digest != sample.digest:
        raise Wrong(f"{copy.target} should hold `{sample.key}` as it is, and holds something else")
    if not clear and (item.digest == sample.digest or item.squeezed):
        raise Wrong(f"{copy.target} should hold `{sample.key}` sealed, and its bytes do not look encrypted")
    return item


def check_read(sample: Sample, digest: str, *, part: bytes, first: int) -> None:
    """Check what was read back: all of it by `digest`, and the bytes from `first` on by `part`."""
    if digest != sample.digest:
        raise Wrong(f"`{sample.key}` came back with SHA-256 {digest}, and has {sample.digest}")
    with sample.path.open("rb") as file:
        file.seek(first)
        if not part or file.read(len(part)) != part:
            raise Wrong(f"the range of `{sample.key}` from {first} on came back different")


def check_refused(decision: Decision, *, targets: Iterable[str], before: int, after: int) -> None:
    """Check a refusal: no target is chosen, each one has its reason, and the providers hold no more than before."""
    if decision.allowed:
        raise Wrong("the policy allowed what it must refuse")
    silent = sorted(set(targets) - {target for target, reasons in decision.rejected.items() if reasons})
    if silent:
        raise Wrong(f"the refusal gives no reason for {', '.join(silent)}")
    if before != after:
        raise Wrong(f"the providers held {before} objects before the refusal, and {after} after it")
