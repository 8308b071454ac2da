"""The one entry that stands in the clear beside a stored object, so that the object can be found again without us.

Its name is `sovbroker`, its value printable ASCII: `1~KID~WRAPPED~HEAD~METADATA` for an envelope, `1c~METADATA` for a
copy in the clear. What is too long for a store's metadata goes into a sidecar, an object of its own, and `+` stands in
its place. Where a store has no metadata at all, the sidecar holds the whole entry.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Self, cast

from sovbroker.envelope.layout import HEAD, Buffer
from sovbroker.envelope.metadata import is_sealed_metadata
from sovbroker.errors import InvalidArgument, Tampered, UnknownFormat

__all__ = ["ClearRecord", "Record", "read_entry", "read_sidecar"]

NAME: Final = "sovbroker"
ELSEWHERE: Final = "+"
SIDECAR: Final = b"sovbroker sidecar 1\n"
CLEAR_SIDECAR: Final = b"sovbroker sidecar 1c\n"
WHOLE_SIDECAR: Final = b"sovbroker sidecar 2\n"
SIDECAR_VERSION: Final = re.compile(rb"sovbroker sidecar ([0-9]{1,9})c?\n")
SIDECAR_KNOWN: Final = 2
KID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
WRAPPED: Final = re.compile(r"[A-Za-z0-9_.-]{1,8192}")
VERSION: Final = re.compile(r"([0-9]{1,9})c?~", re.ASCII)
VERSION_KNOWN: Final = 1
ENTRY_MAX: Final = 1 << 24
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Record:
    """What stands beside an envelope.

    `kid` is the opaque id of the domain key, `wrapped` the wrapped data encryption key (JWE compact), `head` the first
    56 bytes of the envelope, `metadata` what `seal_metadata` made, or b"" when it lies in the sidecar.
    """

    NAME: ClassVar[str] = NAME

    kid: str
    wrapped: str
    head: bytes
    metadata: bytes

    def __post_init__(self) -> None:
        """Refuse parts that cannot be told apart again."""
        good = {
            "kid": KID.fullmatch(self.kid) is not None,
            "wrapped": WRAPPED.fullmatch(self.wrapped) is not None,
            "head": len(self.head) == HEAD,
            "metadata": not self.metadata or is_sealed_metadata(self.metadata),
        }
        if not all(good.values()):
            wrong = next(name for name, fine in good.items() if not fine)
            raise InvalidArgument(f"a record's `{wrong}` cannot be what was given")

    @property
    def has_sidecar(self) -> bool:
        """Whether the sealed metadata lie in the sidecar."""
        return not self.metadata

    def encode(self) -> str:
        """Return the entry's value."""
        return "~".join(("1", self.kid, self.wrapped, _encode(self.head), _encode(self.metadata) or ELSEWHERE))

    @staticmethod
    def beginning(kid: str) -> str:
        """Return what the value begins with of every record under the domain key `kid`, and of no other."""
        return f"1~{kid}~"

    def same_but_wrapped(self, other: Record) -> bool:
        """Whether two records are of one envelope, and differ at most in who may unwrap its key, and in how."""
        return self.head == other.head and self.metadata == other.metadata

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read an entry's value. Raises UnknownFormat for anything that `encode` does not write."""
        parts = _parts(text)
        if parts[0] != "1" or len(parts) != 5:  # noqa: PLR2004 - the five parts of the docstring above
            raise _unknown("no record of an envelope")
        _, kid, wrapped, head, metadata = parts
        try:
            record = cls(kid, wrapped, _decode(head), b"" if metadata == ELSEWHERE else _decode(metadata))
        except InvalidArgument:
            raise _unknown("no record of an envelope") from None
        if record.has_sidecar != (metadata == ELSEWHERE):
            raise _unknown("no record of an envelope")
        return record

    def split(self, limit: int) -> tuple[str, bytes | None]:
        """Return the entry and, when it would exceed `limit` bytes of name and value, the sidecar for the rest.

        Raises InvalidArgument when not even the entry without metadata fits.
        """
        entry = self.encode()
        if len(NAME) + len(entry) <= limit:
            return entry, None
        entry = replace(self, metadata=b"").encode()
        _check_fits(entry, limit)
        return entry, SIDECAR + self.head + self.metadata

    def sidecar(self) -> bytes:
        """Return the sidecar that holds the whole entry, for a store without metadata."""
        return _whole(self)

    @classmethod
    def join(cls, entry: str, sidecar: Buffer | None) -> Self:
        """Put together what `split` parted. Raises UnknownFormat, or Tampered for another object's sidecar."""
        record = cls.decode(entry)
        if not record.has_sidecar:
            return record
        if sidecar is None:
            raise UnknownFormat("the record's sidecar is missing")
        metadata = cls.check_sidecar(sidecar)
        if not hmac.compare_digest(bytes(sidecar)[len(SIDECAR) :][:HEAD], record.head):
            raise Tampered
        return replace(record, metadata=metadata)

    @staticmethod
    def check_sidecar(data: Buffer) -> bytes:
        """Return the sealed metadata of an envelope's sidecar: a mark, a head, sealed metadata.

        Raises UnknownFormat unless `data` has this form.
        """
        mark = len(SIDECAR)
        if len(data) > ENTRY_MAX or bytes(data[:mark]) != SIDECAR or not is_sealed_metadata(data[mark + HEAD :]):
            raise UnknownFormat("this is no sidecar of an envelope")
        return bytes(data[mark + HEAD :])


@dataclass(frozen=True, slots=True)
class ClearRecord:
    """What stands beside a copy in the clear: `metadata` in JSON types, None when it lies in the sidecar."""

    NAME: ClassVar[str] = NAME

    metadata: Mapping[str, object] | None = field(repr=False)

    @property
    def has_sidecar(self) -> bool:
        """Whether the metadata lie in the sidecar."""
        return self.metadata is None

    def encode(self) -> str:
        """Return the entry's value. Raises InvalidArgument for what JSON cannot hold."""
        return "1c~" + (ELSEWHERE if self.metadata is None else _encode(_to_json(self.metadata)))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read an entry's value. Raises UnknownFormat for anything that `encode` does not write."""
        parts = _parts(text)
        if parts[0] != "1c" or len(parts) != 2:  # noqa: PLR2004 - the mark and the metadata
            raise _unknown("no record of a copy in the clear")
        return cls(None if parts[1] == ELSEWHERE else _from_json(_decode(parts[1])))

    def split(self, limit: int) -> tuple[str, bytes | None]:
        """Return the entry and, when it would exceed `limit` bytes of name and value, the sidecar for the rest."""
        entry = self.encode()
        if self.metadata is None or len(NAME) + len(entry) <= limit:
            return entry, None
        entry = ClearRecord(None).encode()
        _check_fits(entry, limit)
        return entry, CLEAR_SIDECAR + _to_json(self.metadata)

    def sidecar(self) -> bytes:
        """Return the sidecar that holds the whole entry, for a store without metadata."""
        return _whole(self)

    @classmethod
    def join(cls, entry: str, sidecar: Buffer | None) -> Self:
        """Put together what `split` parted. Raises UnknownFormat."""
        record = cls.decode(entry)
        if not record.has_sidecar:
            return record
        data = b"" if sidecar is None else bytes(sidecar)
        if not data.startswith(CLEAR_SIDECAR):
            raise UnknownFormat("the record's sidecar is missing, or is none")
        return cls(_from_json(data[len(CLEAR_SIDECAR) :]))


def read_entry(text: str) -> Record | ClearRecord:
    """Read the value of the entry `sovbroker`, whichever it is. Raises UnknownFormat."""
    return ClearRecord.decode(text) if text.startswith("1c~") else Record.decode(text)


def read_sidecar(data: Buffer) -> Record | ClearRecord:
    """Read a sidecar that holds a whole entry. Raises UnknownFormat for anything that `sidecar` does not write."""
    body = bytes(data)
    found = SIDECAR_VERSION.match(body)
    if found is not None and int(found[1]) > SIDECAR_KNOWN:
        raise UnknownFormat(f"the sidecar has format {int(found[1])}, this version knows up to 2; update sovbroker")
    if not body.startswith(WHOLE_SIDECAR) or len(body) > ENTRY_MAX or not body.isascii():
        raise UnknownFormat("this is no sidecar that holds a whole record")
    record = read_entry(body[len(WHOLE_SIDECAR) :].decode("ascii"))
    if record.has_sidecar:
        raise UnknownFormat("the record in a sidecar lies elsewhere once more")
    return record


def _whole(record: Record | ClearRecord) -> bytes:
    if record.has_sidecar:
        raise InvalidArgument("a record without its metadata does not make a whole sidecar")
    return WHOLE_SIDECAR + record.encode().encode("ascii")


def _parts(text: str) -> list[str]:
    found = VERSION.match(text)
    if found is not None and int(found[1]) > VERSION_KNOWN:
        raise UnknownFormat(f"the record has format {found[1]}, this version knows up to 1; update sovbroker")
    if found is None or len(text) > ENTRY_MAX:
        raise _unknown("nothing that sovbroker wrote")
    return text.split("~")


def _unknown(what: str) -> UnknownFormat:
    return UnknownFormat(f"the metadata entry `{NAME}` is {what}")


def _check_fits(entry: str, limit: int) -> None:
    if len(NAME) + len(entry) > limit:
        raise InvalidArgument(f"the store takes {limit} bytes of metadata, a record needs {len(NAME) + len(entry)}")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    """Decode base64url without padding, in the one spelling that `_encode` writes."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _unknown("damaged") from None
    if _encode(data) != text:
        raise _unknown("damaged")
    return data


def _to_json(metadata: Mapping[str, object]) -> bytes:
    try:
        return _compact(dict(metadata)).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument("metadata are names and JSON values in text that has a UTF-8 form") from error


def _from_json(data: bytes) -> dict[str, object]:
    try:
        mapping: object = json.loads(data)
    except (ValueError, RecursionError):
        raise _unknown("damaged") from None
    if not isinstance(mapping, dict):
        raise _unknown("damaged")
    return cast("dict[str, object]", mapping)
