"""The keyring's file: what stands in it, and how it is read and replaced without ever being half written.

The file is JSON. Everything in it is public but useless without a recipient, and nothing in it can be changed without
one: `mac` is made with the ring's own key, which is wrapped for every recipient like the domain keys are. `checksum`
needs no key; it tells a damaged file from a wrong passphrase.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import stat
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from sovbroker.envelope.secret import Secret
from sovbroker.errors import ConfigError, KeyUnavailable, UnknownFormat

__all__ = ["Epoch", "Recipient", "Ring", "Wrapped", "create", "load", "locked", "save"]

KIND: Final = "keyring"
VERSION: Final = 1
VERSION_QUORUM: Final = 2
"""The version of a keyring whose recipients hold shares: who knows only 1 must not take a share for a key."""

SIZE_MAX: Final = 64 << 20
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

Json = Mapping[str, object]
Wrapped = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who can open the keyring: a key service by name, or, with `public`, the holder of the recovery code."""

    name: str
    public: bytes | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of a domain's key: its opaque id, the day it was made (ISO 8601) and the key, wrapped by recipient."""

    number: int
    kid: str
    created: str
    wrapped: Wrapped


@dataclass(frozen=True, slots=True)
class Ring:
    """What the file says. `seal` is the ring's own key, wrapped by recipient; `domains` hold epochs, oldest first.

    `quorum` is how many recipients it takes; `destroyed` are the ids of keys that are gone for good, with the day.
    """

    id: str
    recipients: tuple[Recipient, ...]
    seal: Wrapped
    domains: Mapping[str, tuple[Epoch, ...]]
    quorum: int = 1
    destroyed: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file as it was read: the ring, and what its `mac` must be made of."""

    ring: Ring
    body: bytes
    mac: str

    def verify(self, key: Secret, path: Path) -> Ring:
        """Return the ring. Raises KeyUnavailable when the file was changed without the ring's key."""
        if not hmac.compare_digest(_mac(key, self.body), self.mac):
            raise KeyUnavailable(f"`{path}` was changed by somebody without its keys; restore the keyring from a copy")
        return self.ring


def load(path: Path) -> Loaded:
    """Read a keyring file.

    Raises KeyUnavailable for one that is missing, readable by others or damaged, and UnknownFormat for what is no
    keyring or was written by a newer version.
    """
    document = _document(_read(path), path)
    if document.get("sovbroker") != KIND:
        raise UnknownFormat(f"`{path}` is not a keyring")
    version = document.get("version")
    if version not in (VERSION, VERSION_QUORUM):  # what JSON holds may not be hashable
        raise UnknownFormat(
            f"`{path}` is a keyring of version {version!r:.20}, this version knows up to {VERSION_QUORUM}; update it"
        )
    body = _body(document)
    checksum, mac = document.get("checksum"), document.get("mac")
    if checksum != hashlib.sha256(body).hexdigest() or not isinstance(mac, str) or not mac.isascii():
        raise KeyUnavailable(f"`{path}` is damaged; restore the keyring from a copy")
    try:
        return Loaded(_ring(document), body, mac)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UnknownFormat(f"`{path}` is not a keyring that this version can read") from None


def create(path: Path, ring: Ring, *, key: Secret) -> None:
    """Write a new keyring file. Raises ConfigError, and changes nothing, when there is a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        temporary = _write(path, ring, key)
        try:
            # Unlike a rename, a link never replaces what is there.
            os.link(temporary, path)
        except FileExistsError:
            raise ConfigError(
                f"`{path}` exists; a new keyring in its place would lock every object that was sealed with it"
            ) from None
        finally:
            temporary.unlink()
        _sync_folder(path)


def save(path: Path, ring: Ring, *, key: Secret) -> None:
    """Replace the keyring file, all or nothing; the caller holds `locked`. Raises KeyUnavailable when it cannot."""
    try:
        temporary = _write(path, ring, key)
        temporary.replace(path)
        _sync_folder(path)
    except OSError as error:
        raise KeyUnavailable(f"`{path}` cannot be written, and is as it was: {error.strerror}") from error


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Keep every other writer of the keyring out, in this process and in others."""
    try:
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeyUnavailable(f"`{path}` cannot be locked for writing: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # By name: a child that was forked meanwhile has the file open too, and closing it here would not do.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & OTHERS:
                raise KeyUnavailable(f"`{path}` is open to others (mode {mode:04o}); run `chmod 600 {path}`")
            data = file.read(SIZE_MAX + 1)
    except FileNotFoundError:
        raise KeyUnavailable(
            f"there is no keyring at `{path}`; make one with `sovbroker keys init`, or restore the one that was there"
        ) from None
    except OSError as error:
        raise KeyUnavailable(f"`{path}` cannot be read: {error.strerror}") from error
    if len(data) > SIZE_MAX:
        raise UnknownFormat(f"`{path}` is not a keyring: it is larger than {SIZE_MAX >> 20} MiB")
    return data


def _write(path: Path, ring: Ring, key: Secret) -> Path:
    """Write the file beside its place, down to the disk. Its name is fixed: the lock is held, and litter is reused."""
    document = _render(ring)
    body = _body(document)
    document |= {"mac": _mac(key, body), "checksum": hashlib.sha256(body).hexdigest()}
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _document(data: bytes, path: Path) -> dict[str, object]:
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError):
        raise KeyUnavailable(f"`{path}` is damaged or no keyring; restore the keyring from a copy") from None
    if not isinstance(document, dict):
        raise UnknownFormat(f"`{path}` is not a keyring")
    return cast("dict[str, object]", document)


def _body(document: Json) -> bytes:
    """Return what `mac` and `checksum` are made of: everything else, in one spelling."""
    rest = {name: value for name, value in document.items() if name not in {"mac", "checksum"}}
    return json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()


def _mac(key: Secret, body: bytes) -> str:
    return hmac.new(key.reveal(), body, "sha256").hexdigest()


def _render(ring: Ring) -> dict[str, object]:
    # Only where there is something to say: what was written before stays as it was, byte for byte.
    more: dict[str, object] = {"quorum": ring.quorum} if ring.quorum > 1 else {}
    if ring.destroyed:
        more["destroyed"] = dict(ring.destroyed)
    return {
        "sovbroker": KIND,
        "version": VERSION_QUORUM if ring.quorum > 1 else VERSION,
        "id": ring.id,
        "recipients": [
            {"name": r.name} if r.public is None else {"name": r.name, "public": _encode(r.public)}
            for r in ring.recipients
        ],
        "seal": {name: _encode(data) for name, data in ring.seal.items()},
        "domains": {
            domain: [
                {
                    "epoch": epoch.number,
                    "kid": epoch.kid,
                    "created": epoch.created,
                    "wrapped": {name: _encode(data) for name, data in epoch.wrapped.items()},
                }
                for epoch in epochs
            ]
            for domain, epochs in ring.domains.items()
        },
        **more,
    }


def _ring(document: Json) -> Ring:
    """Read the document; any of KeyError, TypeError, ValueError, AttributeError says that it is none."""
    recipients = tuple(
        Recipient(_text(entry["name"]), _decode(entry["public"]) if "public" in entry else None)
        for entry in (cast("Json", item) for item in cast("list[object]", document["recipients"]))
    )
    domains = {
        name: tuple(_epoch(cast("Json", item)) for item in cast("list[object]", epochs))
        for name, epochs in cast("Json", document["domains"]).items()
    }
    quorum = document.get("quorum", 1)
    if not isinstance(quorum, int) or isinstance(quorum, bool):
        raise TypeError
    one = document["version"] == VERSION
    if not recipients or not all(domains.values()) or one != (quorum == 1) or not 1 <= quorum <= len(recipients):
        raise ValueError
    destroyed = {kid: _text(day) for kid, day in cast("Json", document.get("destroyed", {})).items()}
    return Ring(_text(document["id"]), recipients, _wrapped(document["seal"]), domains, quorum, destroyed)


def _epoch(entry: Json) -> Epoch:
    number = entry["epoch"]
    if not isinstance(number, int):
        raise TypeError
    return Epoch(number, _text(entry["kid"]), _text(entry["created"]), _wrapped(entry["wrapped"]))


def _wrapped(value: object) -> Wrapped:
    return {name: _decode(data) for name, data in cast("Json", value).items()}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(value: object) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as error:
        raise ValueError from error
