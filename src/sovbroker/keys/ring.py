"""The keyring: one file with every domain key of an organisation, wrapped for each recipient."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final, NoReturn, Self, final

from sovbroker.envelope.secret import KEY, Secret, secret_bytes
from sovbroker.errors import InvalidArgument, KeyUnavailable, SealError, Tampered
from sovbroker.forks import ForkLock
from sovbroker.keys import file
from sovbroker.keys.cache import Cache
from sovbroker.keys.custody import Custody
from sovbroker.keys.domain import DomainKey
from sovbroker.keys.file import Epoch, Recipient, Ring
from sovbroker.keys.lifecycle import domain_context, handed_over, new_id, ring_context, with_epoch, without_domain
from sovbroker.keys.recovery import RecoveryService, new_code
from sovbroker.keys.service import Service

__all__ = ["LIFETIME", "USES", "DomainStatus", "Keyring", "KeyringStatus"]

LIFETIME: Final = timedelta(hours=1)
"""How long a domain key is kept unwrapped."""

USES: Final = 1 << 20
"""How often a domain key is handed out before it is unwrapped again."""


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
    """What may be told of a keyring: where it is, who can open it, and its domains by name.

    `quorum` is how many of the `recipients` it takes; `destroyed` the ids of keys that are gone for good, with the day.
    """

    path: str
    id: str
    recipients: tuple[str, ...]
    domains: tuple[DomainStatus, ...]
    quorum: int = 1
    destroyed: tuple[tuple[str, str], ...] = ()


@final
class Keyring:
    """The domain keys of one file, opened by its recipients. May be used by several threads and after a fork.

    ``Keyring.create`` writes a new file, ``Keyring.open`` reads one; neither happens silently in the other's place.
    Several processes may share the file: a domain that another process made is found.
    """

    __slots__ = ("_cache", "_closing", "_kids", "_lock", "_path", "_ring", "_ring_key", "_services")

    def __init__(self, path: Path, services: Mapping[str, Service], ring: Ring, key: Secret, cache: Cache) -> None:
        self._path = path
        self._services = dict(services)
        self._ring_key = key
        self._cache = cache
        self._adopt(ring)
        self._lock = ForkLock()
        self._closing: tuple[Callable[[], None], ...] = ()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        service: Service | Sequence[Service],
        *,
        recovery: bool,
        escrows: Mapping[str, bytes] | None = None,
        quorum: int = 1,
    ) -> tuple[Self, str | None]:
        """Write a new keyring file (mode 0600) for one service or several; return it opened.

        With `recovery`, the second value is a recovery code, to be shown once and kept on paper: it opens the keyring
        when the service is lost, and cannot be had again. `escrows` are public halves by name. With a `quorum` above 1,
        each recipient, the code included, holds a share of each key, and that many of them open the keyring. Raises
        ConfigError when there is a file already.
        """
        place = Path(path)
        services = _by_name(service)
        if RecoveryService.name in services:
            raise InvalidArgument("a keyring needs a key service; the recovery code is the second recipient")
        if quorum > len(services):
            raise InvalidArgument(
                f"{len(services)} key services could never be {quorum}: what lies offline does not count in daily work"
            )
        code = new_code() if recovery else None
        recipients = [Recipient(name) for name in services]
        recipients += [Recipient(name, public) for name, public in (escrows or {}).items()]
        if code is not None:
            recipients.append(Recipient(RecoveryService.name, RecoveryService(code).public))
        _check_recipients(recipients)
        ring = Ring(new_id(), tuple(recipients), {}, {}, quorum)
        key = Secret.random()
        ring = replace(ring, seal=Custody.of(ring, services).wrap(key, context=ring_context(ring)))
        try:
            file.create(place, ring, key=key)
        except OSError as error:
            raise KeyUnavailable(f"`{place}` cannot be written: {error.strerror}") from error
        return cls(place, services, ring, key, _cache(LIFETIME, USES, time.monotonic)), code

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        service: Service | Sequence[Service],
        *,
        lifetime: timedelta = LIFETIME,
        uses: int = USES,
        clock: Callable[[], float] = time.monotonic,
        closing: Sequence[Callable[[], None]] = (),
    ) -> Self:
        """Open the keyring file with one of its recipients, or with several: a key service, the recovery code.

        Services are asked in the order in which they are given, until one opens the keyring, or as many as its quorum
        says. Domain keys are unwrapped again after `lifetime` or `uses` uses; `clock` tells seconds. What is `closing`
        is called by `close`: it gives services back that are this keyring's alone. Raises
        KeyUnavailable when the file is missing, readable by others or damaged, or the services do not open it;
        UnknownFormat for what is no keyring or was written by a newer version.
        """
        place = Path(path)
        services = _by_name(service)
        loaded = file.load(place)
        key = _open_seal(Custody.of(loaded.ring, services), loaded.ring, place)
        ring = loaded.verify(key, place)
        keyring = cls(place, services, ring, key, _cache(lifetime, uses, clock))
        keyring._closing = tuple(closing)
        return keyring

    def domain(self, name: str, *, within: timedelta | None = None) -> DomainKey:
        """Return the current key of a domain; the first call for a domain makes one and writes it to the file.

        `within`: a key service has to have opened it in that time, or has to do so now. Raises KeyUnavailable.
        """
        if not name:
            raise InvalidArgument("a domain has a name")
        epochs = self._ring.domains.get(name) or self._made(name)
        return self._fetch(name, epochs[-1], within=within)

    def by_kid(self, kid: str) -> DomainKey:
        """Return the key with the id that stands beside an object. Raises KeyUnavailable when it is not here."""
        found = self._kids.get(kid) or self._reload().get(kid)
        if found is None:
            day = self._ring.destroyed.get(kid)
            what = f"destroyed on {day}" if day else "destroyed, or of another keyring"
            raise KeyUnavailable(f"the key `{kid:.64}` is not in `{self._path}`: {what}")
        return self._fetch(*found)

    def epochs(self, name: str) -> tuple[DomainKey, ...]:
        """Return every key of a domain that is here, the current one first; none for a domain that is not there."""
        return tuple(self._fetch(name, epoch) for epoch in reversed(self._ring.domains.get(name, ())))

    def reload(self) -> None:
        """Read the file again: another process may have given a domain a new key."""
        self._reload()

    def status(self) -> KeyringStatus:
        """Return what may be told of the keyring: no key is unwrapped for it."""
        ring = self._ring
        domains = (
            DomainStatus(name, epochs[-1].number, epochs[-1].kid, len(epochs), epochs[0].created)
            for name, epochs in sorted(ring.domains.items())
        )
        return KeyringStatus(
            path=str(self._path),
            id=ring.id,
            recipients=tuple(r.name for r in ring.recipients),
            domains=tuple(domains),
            quorum=ring.quorum,
            destroyed=tuple(sorted(ring.destroyed.items())),
        )

    def rotate(self, domain: str) -> DomainStatus:
        """Give a domain a fresh key, a new epoch: new objects use it, and no object is touched.

        Raises InvalidArgument for a domain that is not there.
        """

        def renewed(ring: Ring) -> Ring:
            if domain not in ring.domains:
                raise InvalidArgument(f"there is no domain `{domain}` in `{self._path}`, so there is nothing to renew")
            return with_epoch(ring, self._custody(ring), domain)

        self._change(renewed)
        return next(found for found in self.status().domains if found.name == domain)

    def rewrap(self, service: Service) -> None:
        """Wrap everything anew for `service`, in the place of the recipient of that name: a new passphrase, a new key.

        Works with whatever opens the keyring, the recovery code too. No object is touched, and no object's key changes.
        With a quorum, every recipient gets a new share, so all of the services have to be at hand.
        """

        def replaced(ring: Ring) -> Ring:
            if service.name not in {r.name for r in ring.recipients if r.public is None}:
                raise InvalidArgument(f"`{self._path}` has no key service `{service.name}` that could be replaced")
            fresh = {service.name: service}
            return self._handed(ring, ring.recipients, quorum=ring.quorum, fresh=fresh, renew=fresh.keys())

        self._change(replaced)
        self._services[service.name] = service

    def add(self, recipient: Service | tuple[str, bytes]) -> None:
        """Wrap everything for one more recipient: a key service, or the name and public half of an escrow."""
        if isinstance(recipient, tuple):
            name, public = recipient
            self._change(
                lambda ring: self._handed(ring, (*ring.recipients, Recipient(name, public)), quorum=ring.quorum)
            )
            return
        service = recipient

        def added(ring: Ring) -> Ring:
            recipients = (*ring.recipients, Recipient(service.name))
            return self._handed(ring, recipients, quorum=ring.quorum, fresh={service.name: service})

        self._change(added)
        self._services[service.name] = service

    def remove(self, name: str) -> None:
        """Wrap nothing for a recipient any more. Copies of the old file still open with it: then rotate, too.

        Raises InvalidArgument for one that is not there, for the last one, and where the quorum could not be met.
        """

        def removed(ring: Ring) -> Ring:
            rest = tuple(r for r in ring.recipients if r.name != name)
            if len(rest) == len(ring.recipients):
                known = ", ".join(f"`{r.name}`" for r in ring.recipients)
                raise InvalidArgument(f"`{self._path}` has no recipient `{name}`; there is {known}")
            return self._handed(ring, rest, quorum=ring.quorum)

        self._change(removed)

    def require(self, quorum: int) -> None:
        """Let it take `quorum` recipients to open the keyring from now on; 1: any one of them."""
        self._change(lambda ring: self._handed(ring, ring.recipients, quorum=quorum))

    def entrust(
        self, services: Sequence[Service], *, escrows: Mapping[str, bytes], quorum: int, recovery: bool
    ) -> None:
        """Have these recipients and this quorum, all in one change; with `recovery`, the code stays, if there is one.

        What they lack is wrapped for them, and nothing for anybody else any more: then rotate, too.
        """
        fresh = _by_name(services)

        def entrusted(ring: Ring) -> Ring:
            wanted = [Recipient(name) for name in fresh]
            wanted += [Recipient(name, public) for name, public in escrows.items()]
            wanted += [one for one in ring.recipients if recovery and one.name == RecoveryService.name]
            changed = {one.name for one in wanted if one not in ring.recipients}
            return self._handed(ring, tuple(wanted), quorum=quorum, fresh=fresh, renew=changed)

        self._change(entrusted)
        self._services.update(fresh)

    def renew_recovery(self) -> str:
        """Return a new recovery code, in the place of the one before. With a quorum, all have to be at hand."""
        code = new_code()
        name = RecoveryService.name

        def renewed(ring: Ring) -> Ring:
            rest = tuple(one for one in ring.recipients if one.name != name)
            recipients = (*rest, Recipient(name, RecoveryService(code).public))
            return self._handed(ring, recipients, quorum=ring.quorum, renew={name})

        self._change(renewed)
        return code

    def shred(self, domain: str) -> tuple[str, ...]:
        """Destroy every key of a domain, at every recipient; return their ids. What was sealed under them is lost.

        Copies of the keyring file that were made before still hold the keys: they have to be destroyed, too.
        """
        kids = tuple(epoch.kid for epoch in self._verified().domains.get(domain, ()))
        self._change(lambda ring: without_domain(ring, domain))
        self._cache.clear()
        return kids

    def close(self) -> None:
        """Wipe the keys that are held. May be called twice; a closed keyring raises KeyUnavailable."""
        self._cache.clear()
        self._ring_key.wipe()
        for give_back in self._closing:
            give_back()

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

    def _custody(self, ring: Ring) -> Custody:
        return Custody.of(ring, self._services)

    def _handed(
        self,
        ring: Ring,
        recipients: tuple[Recipient, ...],
        *,
        quorum: int,
        fresh: Mapping[str, Service] | None = None,
        renew: Collection[str] = (),
    ) -> Ring:
        """Return the ring for other recipients; `fresh` are services that are not ours yet, or in a new shape."""
        _check_recipients(recipients)
        services = {**self._services, **(fresh or {})}
        if not 1 <= quorum <= len(recipients):
            raise InvalidArgument(f"{len(recipients)} recipients cannot be {quorum}; change the quorum first")
        holder = Custody(recipients, quorum, services)
        return handed_over(ring, self._custody(ring), holder, renew=renew)

    def _change(self, change: Callable[[Ring], Ring]) -> None:
        """Replace the file by what `change` makes of it, with every other writer kept out."""
        with self._lock, file.locked(self._path):
            ring = change(self._verified())
            file.save(self._path, ring, key=self._ring_key)
            self._adopt(ring)

    def _fetch(self, domain: str, epoch: Epoch, *, within: timedelta | None = None) -> DomainKey:
        def unwrap() -> DomainKey:
            self._ring_key.reveal()
            ring = self._ring
            data = self._custody(ring).unwrap(epoch.wrapped, context=domain_context(ring, domain, epoch))
            return DomainKey(Secret(secret_bytes(data)), domain=domain, epoch=epoch.number, kid=epoch.kid)

        seconds = None if within is None else within.total_seconds()
        return self._cache.get(epoch.kid, unwrap, within=seconds)

    def _made(self, name: str) -> tuple[Epoch, ...]:
        """Return the epochs of a domain that is new here: from the file, or the first one, written to it."""
        with self._lock, file.locked(self._path):
            ring = self._verified()
            if name not in ring.domains:
                ring = with_epoch(ring, self._custody(ring), name)
                file.save(self._path, ring, key=self._ring_key)
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
        """Return what the file says now, if it is the same keyring and the services still open it."""
        loaded = file.load(self._path)
        if loaded.ring.seal != self._ring.seal:
            _open_seal(self._custody(loaded.ring), loaded.ring, self._path).wipe()
        return loaded.verify(self._ring_key, self._path)


def _cache(lifetime: timedelta, uses: int, clock: Callable[[], float]) -> Cache:
    return Cache(lifetime=lifetime.total_seconds(), uses=uses, clock=clock)


def _by_name(service: Service | Sequence[Service]) -> dict[str, Service]:
    """Return services by name, in their order. Raises InvalidArgument for none, and for a name twice."""
    services = list(service) if isinstance(service, Sequence) else [service]
    found = {each.name: each for each in services}
    if not services or len(found) != len(services):
        raise InvalidArgument("a keyring is opened by one key service or several, each with a name of its own")
    return found


def _check_recipients(recipients: Sequence[Recipient]) -> None:
    names = [recipient.name for recipient in recipients]
    if not names:
        raise InvalidArgument("a keyring needs a recipient: without one, nobody would ever open it")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidArgument(f"the keyring has a recipient `{twice}` already")


def _open_seal(custody: Custody, ring: Ring, path: Path) -> Secret:
    """Return the ring's own key. Raises KeyUnavailable, and says which file and which recipient."""
    who = " and the ".join(custody.services)
    try:
        data = custody.unwrap(ring.seal, context=ring_context(ring))
    except KeyUnavailable as error:
        raise KeyUnavailable(f"the {who} does not open `{path}`: {error}") from error
    except Tampered as error:
        raise KeyUnavailable(f"the {who} does not open `{path}`: it belongs to another keyring") from error
    if len(data) != KEY:
        raise SealError(f"`{path}` holds a key of {len(data)} bytes; restore the keyring from a copy")
    return Secret(data)
