"""The keyring: one file with every domain key of an organisation, wrapped for each recipient."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn, Self, final

from sovbroker.envelope.context import encode_fields
from sovbroker.envelope.secret import KEY, Secret, secret_bytes
from sovbroker.errors import InvalidArgument, KeyUnavailable, SealError, Tampered
from sovbroker.keys import file
from sovbroker.keys.cache import Cache
from sovbroker.keys.domain import DomainKey
from sovbroker.keys.file import Epoch, Recipient, Ring
from sovbroker.keys.recovery import RecoveryService, new_code, wrap_for
from sovbroker.keys.service import ForkLock, Service

__all__ = ["LIFETIME", "USES", "DomainStatus", "Keyring", "KeyringStatus"]

LIFETIME: Final = timedelta(hours=1)
"""How long a domain key is kept unwrapped."""

USES: Final = 1 << 20
"""How often a domain key is handed out before it is unwrapped again."""

RING: Final = b"sovbroker ring 1"
DOMAIN: Final = b"sovbroker domain key 1"
KID: Final = 12


@dataclass(frozen=True, slots=True)
class DomainStatus:
    """What may be told of a domain: its current epoch and kid, how many epochs there are, and since when the first."""

    name: str
    epoch: int
    kid: str
    epochs: int
    created: str


@dataclass(frozen=True, slots=True)
class KeyringStatus:
    """What may be told of a keyring: where it is, who can open it, and its domains by name."""

    path: str
    id: str
    recipients: tuple[str, ...]
    domains: tuple[DomainStatus, ...]


@final
class Keyring:
    """The domain keys of one file, opened by one recipient. May be used by several threads and after a fork.

    ``Keyring.create`` writes a new file, ``Keyring.open`` reads one; neither happens silently in the other's place.
    Several processes may share the file: a domain that another process made is found.
    """

    __slots__ = ("_cache", "_kids", "_lock", "_path", "_ring", "_ring_key", "_service")

    def __init__(self, path: Path, service: Service, ring: Ring, key: Secret, cache: Cache) -> None:
        self._path = path
        self._service = service
        self._ring_key = key
        self._cache = cache
        self._adopt(ring)
        self._lock = ForkLock()

    @classmethod
    def create(cls, path: str | os.PathLike[str], service: Service, *, recovery: bool) -> tuple[Self, str | None]:
        """Write a new keyring file (mode 0600) for `service`; return it opened.

        With `recovery`, the second value is a recovery code, to be shown once and kept on paper: it opens the keyring
        when the service is lost, and cannot be had again. Raises ConfigError when there is a file already.
        """
        place = Path(path)
        if service.name == RecoveryService.name:
            raise InvalidArgument("a keyring needs a key service; the recovery code is the second recipient")
        code = new_code() if recovery else None
        recipients = [Recipient(service.name)]
        if code is not None:
            recipients.append(Recipient(RecoveryService.name, RecoveryService(code).public))
        ring = Ring(_kid(), tuple(recipients), {}, {})
        key = Secret.random()
        ring = replace(ring, seal=_wrap_all(ring, service, key, context=encode_fields(RING, ring.id)))
        try:
            file.create(place, ring, key=key.reveal())
        except OSError as error:
            raise KeyUnavailable(f"`{place}` cannot be written: {error.strerror}") from error
        return cls(place, service, ring, key, _cache(LIFETIME, USES, time.monotonic)), code

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        service: Service,
        *,
        lifetime: timedelta = LIFETIME,
        uses: int = USES,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Open the keyring file with the key service, or the recovery code, that is one of its recipients.

        Domain keys are unwrapped again after `lifetime` or `uses` uses; `clock` tells seconds. Raises KeyUnavailable
        when the file is missing, readable by others or damaged, or the service does not open it; UnknownFormat for what
        is no keyring or was written by a newer version.
        """
        place = Path(path)
        loaded = file.load(place)
        key = _open_seal(loaded.ring, service, place)
        ring = loaded.verify(key.reveal(), place)
        return cls(place, service, ring, key, _cache(lifetime, uses, clock))

    def domain(self, name: str) -> DomainKey:
        """Return the current key of a domain; the first call for a domain makes one and writes it to the file."""
        if not name:
            raise InvalidArgument("a domain has a name")
        epochs = self._ring.domains.get(name) or self._made(name)
        return self._fetch(name, epochs[-1])

    def by_kid(self, kid: str) -> DomainKey:
        """Return the key with the id that stands beside an object. Raises KeyUnavailable when it is not here."""
        found = self._kids.get(kid) or self._reload().get(kid)
        if found is None:
            raise KeyUnavailable(f"the key `{kid:.64}` is not in `{self._path}`: destroyed, or of another keyring")
        return self._fetch(*found)

    def status(self) -> KeyringStatus:
        """Return what may be told of the keyring: no key is unwrapped for it."""
        ring = self._ring
        domains = (
            DomainStatus(name, epochs[-1].number, epochs[-1].kid, len(epochs), epochs[0].created)
            for name, epochs in sorted(ring.domains.items())
        )
        return KeyringStatus(str(self._path), ring.id, tuple(r.name for r in ring.recipients), tuple(domains))

    def rewrap(self, service: Service) -> None:
        """Wrap everything anew for `service`, in the place of the recipient of that name: a new passphrase.

        Works with the old service or the recovery code. No object is touched, and no object's key changes.
        """
        with self._lock, file.locked(self._path):
            ring = self._verified()
            if service.name not in {r.name for r in ring.recipients if r.public is None}:
                raise InvalidArgument(f"`{self._path}` has no key service `{service.name}` that could be replaced")
            opener = self._service

            def again(wrapped: dict[str, bytes], context: bytes) -> dict[str, bytes]:
                return wrapped | {service.name: service.wrap(_unwrap(wrapped, opener, context), context)}

            domains = {
                name: tuple(
                    replace(epoch, wrapped=again(dict(epoch.wrapped), _context(ring, name, epoch))) for epoch in epochs
                )
                for name, epochs in ring.domains.items()
            }
            seal = again(dict(ring.seal), encode_fields(RING, ring.id))
            ring = replace(ring, seal=seal, domains=domains)
            file.save(self._path, ring, key=self._ring_key.reveal())
            self._adopt(ring)
            if opener.name == service.name:
                self._service = service

    def close(self) -> None:
        """Wipe the keys that are held. May be called twice; a closed keyring raises KeyUnavailable."""
        self._cache.clear()
        self._ring_key.wipe()

    def __enter__(self) -> Self:
        """Return the keyring itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Print where it is, and nothing of its keys."""
        return f"Keyring({str(self._path)!r})"

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a keyring cannot be pickled or copied: it holds keys")

    def _fetch(self, domain: str, epoch: Epoch) -> DomainKey:
        def unwrap() -> DomainKey:
            self._ring_key.reveal()
            data = _unwrap(epoch.wrapped, self._service, _context(self._ring, domain, epoch))
            return DomainKey(Secret(secret_bytes(data)), domain=domain, epoch=epoch.number, kid=epoch.kid)

        return self._cache.get(epoch.kid, unwrap)

    def _made(self, name: str) -> tuple[Epoch, ...]:
        """Return the epochs of a domain that is new here: from the file, or the first one, written to it."""
        with self._lock, file.locked(self._path):
            ring = self._verified()
            if name not in ring.domains:
                epoch = Epoch(1, _kid(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), {})
                context = _context(ring, name, epoch)
                epoch = replace(epoch, wrapped=_wrap_all(ring, self._service, Secret.random(), context=context))
                ring = replace(ring, domains={**ring.domains, name: (epoch,)})
                file.save(self._path, ring, key=self._ring_key.reveal())
            self._adopt(ring)
            return ring.domains[name]

    def _reload(self) -> Mapping[str, tuple[str, Epoch]]:
        with self._lock:
            self._adopt(self._verified())
            return self._kids

    def _adopt(self, ring: Ring) -> None:
        self._ring = ring
        self._kids = {e.kid: (name, e) for name, epochs in ring.domains.items() for e in epochs}

    def _verified(self) -> Ring:
        """Return what the file says now, if it is the same keyring and the service still opens it."""
        loaded = file.load(self._path)
        if loaded.ring.seal != self._ring.seal:
            _open_seal(loaded.ring, self._service, self._path).wipe()
        return loaded.verify(self._ring_key.reveal(), self._path)


def _cache(lifetime: timedelta, uses: int, clock: Callable[[], float]) -> Cache:
    return Cache(lifetime=lifetime.total_seconds(), uses=uses, clock=clock)


def _kid() -> str:
    return base64.urlsafe_b64encode(os.urandom(KID)).decode("ascii")


def _context(ring: Ring, domain: str, epoch: Epoch) -> bytes:
    return encode_fields(DOMAIN, ring.id, domain, str(epoch.number), epoch.kid)


def _wrap_all(ring: Ring, service: Service, key: Secret, *, context: bytes) -> dict[str, bytes]:
    """Wrap a key for every recipient. Raises KeyUnavailable when one of them is a service that is not at hand."""
    wrapped: dict[str, bytes] = {}
    for recipient in ring.recipients:
        if recipient.public is not None:
            wrapped[recipient.name] = wrap_for(recipient.public, key.reveal(), context=context)
        elif recipient.name == service.name:
            wrapped[recipient.name] = service.wrap(key.reveal(), context)
        else:
            raise KeyUnavailable(f"a new key must be wrapped for `{recipient.name}` too; open the keyring with that")
    return wrapped


def _unwrap(wrapped: file.Wrapped, service: Service, context: bytes) -> bytes:
    if service.name not in wrapped:
        raise KeyUnavailable(f"the key is not wrapped for `{service.name}`; it is for {', '.join(sorted(wrapped))}")
    return service.unwrap(wrapped[service.name], context)


def _open_seal(ring: Ring, service: Service, path: Path) -> Secret:
    """Return the ring's own key. Raises KeyUnavailable, and says which file and which recipient."""
    try:
        data = _unwrap(ring.seal, service, encode_fields(RING, ring.id))
    except KeyUnavailable as error:
        raise KeyUnavailable(f"the {service.name} does not open `{path}`: {error}") from error
    except Tampered as error:
        raise KeyUnavailable(f"the {service.name} does not open `{path}`: it belongs to another keyring") from error
    if len(data) != KEY:
        raise SealError(f"`{path}` holds a key of {len(data)} bytes; restore the keyring from a copy")
    return Secret(data)
