"""What a provider saw, request by request, and where in it a text stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sovbroker.errors import InvalidArgument
from sovbroker.ports import NO_METADATA
from sovbroker.testing.recorder import traces

__all__ = ["OPERATIONS", "Seen", "find", "spellings"]

OPERATIONS: Final = (
    "head",
    "get",
    "put",
    "delete",
    "list",
    "copy",
    "set_metadata",
    "multipart",
    "part",
    "commit",
    "abort",
    "uploads",
    "retain",
    "inspect",
)
"""What a provider can be asked, as `sovbroker.ports.Store` and `Upload` call it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, as the provider at `target` saw it.

    `key` is the name that the provider knows: an encrypted one where the policy hides names. For a listing it is the
    prefix. `body` are the bytes that were sent, also where the request then failed; `failed` says how it did, "" when
    it did not. `part` counts from 1 and is 0 but for `part`; `upload` is the id of an upload in parts.
    """

    target: str
    operation: str
    key: str
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)
    body: bytes = field(default=b"", repr=False)
    part: int = 0
    upload: str = ""
    failed: str = ""

    def __str__(self) -> str:
        """Tell it in a line."""
        number = f" {self.part} of" if self.part else ""
        size = f", {len(self.body):,} bytes" if self.body else ""
        failed = f", failed: {self.failed}" if self.failed else ""
        return f"{self.target}  {self.operation}{number} `{self.key}`{size}{failed}"


def spellings(secret: bytes | str) -> tuple[bytes, ...]:
    """Return the bytes that may stand for a secret: itself; a text in UTF-8, UTF-16, and as JSON escapes it.

    Raises InvalidArgument for one that is so short that it occurs by chance.
    """
    if isinstance(secret, bytes):
        found = [secret]
    else:
        found = [secret.encode(), secret.encode("utf-16-le"), json.dumps(secret)[1:-1].encode()]
    traces(found[0], b"")
    return tuple(dict.fromkeys(found))


def find(secret: bytes | str, seen: Sequence[Seen]) -> list[str]:
    """Return a line for each place where `secret` stands in what was seen, and in which form; [] when it does not."""
    wanted = spellings(secret)
    known: dict[bytes, list[str]] = {}
    lines: list[str] = []

    def forms(data: bytes) -> list[str]:
        # The copies of a sealed object are the same bytes, and long ones take their time.
        if data not in known:
            known[data] = list(dict.fromkeys(form for spelt in wanted for form in traces(spelt, data)))
        return known[data]

    for request, what, data in _heard(seen):
        if found := forms(data):
            lines.append(f"{request}\n      in its {what}: {', '.join(found)}")
    return lines


def _heard(seen: Sequence[Seen]) -> Iterator[tuple[Seen, str, bytes]]:
    """Yield everything that was sent: of which request it is, what it is, and its bytes.

    The parts of an upload are joined, because what straddles two of them stands in neither.
    """
    uploads: dict[tuple[str, str], dict[int, Seen]] = {}
    for request in seen:
        yield request, "key", request.key.encode()
        for name, value in request.metadata.items():
            yield request, f"metadata `{name}`", f"{name}: {value}".encode()
        if request.operation != "part":
            yield request, "body", request.body
            continue
        parts = uploads.setdefault((request.target, request.upload), {})
        if (replaced := parts.get(request.part)) is not None and replaced.body != request.body:
            yield replaced, "body", replaced.body
        parts[request.part] = request
    for parts in uploads.values():
        ordered = [parts[number] for number in sorted(parts)]
        yield ordered[0], "parts, joined", b"".join(part.body for part in ordered)


def check_operation(operation: str) -> None:
    """Raise InvalidArgument for what is no operation: a failure that never comes would prove nothing."""
    if operation not in {*OPERATIONS, "any"}:
        raise InvalidArgument(f"there is no operation `{operation}`; use `any`, or one of {', '.join(OPERATIONS)}")
