"""Who holds a keyring's keys: its recipients, how many of them it takes, and those that are at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sovbroker.envelope.secret import Secret
from sovbroker.errors import InvalidArgument, KeyUnavailable, SealError, Tampered
from sovbroker.keys import shares
from sovbroker.keys.file import Recipient, Ring, Wrapped
from sovbroker.keys.recovery import wrap_for
from sovbroker.keys.service import Service

__all__ = ["Custody"]


@dataclass(frozen=True, slots=True)
class Custody:
    """The recipients of a keyring and the `services` at hand, by name, in the order in which they are asked.

    With a `quorum` of 1 each recipient holds the key; with more, each holds a share, and that many make the key. Keys
    and shares pass through here as secrets, never as bytes in a local variable: some tools print those.
    """

    recipients: tuple[Recipient, ...]
    quorum: int
    services: Mapping[str, Service]

    @classmethod
    def of(cls, ring: Ring, services: Mapping[str, Service]) -> Self:
        """Return who holds the keys of a ring. Raises InvalidArgument for a quorum that cannot be met."""
        if not 1 <= ring.quorum <= len(ring.recipients):
            raise InvalidArgument(f"{len(ring.recipients)} recipients cannot be {ring.quorum}")
        return cls(ring.recipients, ring.quorum, services)

    def wrap(self, key: Secret, *, context: bytes) -> Wrapped:
        """Wrap a key, or its shares, for every recipient. Raises KeyUnavailable when one is a service not at hand."""
        count = len(self.recipients)
        pieces = (
            [key] * count
            if self.quorum == 1
            else [Secret(one) for one in shares.split(key, count=count, quorum=self.quorum, context=context)]
        )
        return {
            recipient.name: self._wrap(recipient, piece, context)
            for recipient, piece in zip(self.recipients, pieces, strict=True)
        }

    def unwrap(self, wrapped: Wrapped, *, context: bytes) -> bytes:
        """Return a key from the services at hand: from the first that gives it, or from as many as the quorum says.

        Raises KeyUnavailable when too few do, with each one's reason; Tampered when what is there is damaged.
        """
        pieces: list[Secret] = []
        failures: list[tuple[str, SealError]] = []
        for name, service in self.services.items():
            if name not in wrapped:
                continue
            try:
                pieces.append(Secret(service.unwrap(wrapped[name], context)))
            except (KeyUnavailable, Tampered) as error:
                failures.append((name, error))
                continue
            if len(pieces) == self.quorum:
                return pieces[0].reveal() if self.quorum == 1 else self._join(pieces, context)
        raise self._why(wrapped, pieces, failures)

    def _wrap(self, recipient: Recipient, piece: Secret, context: bytes) -> bytes:
        if recipient.public is not None:
            return wrap_for(recipient.public, piece.reveal(), context=context)
        service = self.services.get(recipient.name)
        if service is None:
            raise KeyUnavailable(f"a new key must be wrapped for `{recipient.name}` too; open the keyring with that")
        return service.wrap(piece.reveal(), context)

    def _join(self, pieces: Sequence[Secret], context: bytes) -> bytes:
        try:
            return shares.join([one.reveal() for one in pieces], quorum=self.quorum, context=context).reveal()
        except SealError as error:
            raise error.with_traceback(None) from None

    def _why(self, wrapped: Wrapped, pieces: Sequence[Secret], failures: Sequence[tuple[str, SealError]]) -> SealError:
        """Return what to raise when too few recipients gave what they hold."""
        if len(failures) == 1 and self.quorum == 1:
            return failures[0][1]
        if failures and not pieces and all(isinstance(error, Tampered) for _, error in failures):
            return Tampered()
        if not failures and self.quorum == 1:
            asked = ", ".join(self.services)
            return KeyUnavailable(f"the key is not wrapped for `{asked}`; it is for {', '.join(sorted(wrapped))}")
        reasons = "; ".join(f"{name}: {error}" for name, error in failures)
        missing = ", ".join(f"`{name}`" for name in sorted(wrapped) if name not in self.services)
        rest = f"; not at hand: {missing}" if missing else ""
        return KeyUnavailable(
            f"{len(pieces)} of the {self.quorum} recipients that are needed gave the key"
            f"{f' ({reasons})' if reasons else ''}{rest}"
        )
