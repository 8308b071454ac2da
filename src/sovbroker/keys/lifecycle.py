"""The life of keys, as changes of a ring: born, renewed, handed to other recipients, destroyed. Nothing is written."""

from __future__ import annotations

import base64
import os
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from sovbroker.envelope.context import encode_fields
from sovbroker.envelope.secret import Secret, secret_bytes
from sovbroker.errors import InvalidArgument
from sovbroker.keys.custody import Custody
from sovbroker.keys.file import Epoch, Ring

__all__ = ["domain_context", "handed_over", "new_id", "ring_context", "with_epoch", "without_domain"]

RING: Final = b"sovbroker ring 1"
DOMAIN: Final = b"sovbroker domain key 1"
ID: Final = 12


def new_id() -> str:
    """Return a fresh opaque id: 16 characters of base64url."""
    return base64.urlsafe_b64encode(os.urandom(ID)).decode("ascii")


def ring_context(ring: Ring) -> bytes:
    """Return what the ring's own key is bound to."""
    return encode_fields(RING, ring.id)


def domain_context(ring: Ring, domain: str, epoch: Epoch) -> bytes:
    """Return what a domain key is bound to."""
    return encode_fields(DOMAIN, ring.id, domain, str(epoch.number), epoch.kid)


def with_epoch(ring: Ring, custody: Custody, domain: str) -> Ring:
    """Return the ring with a fresh key for a domain: its first, or its next epoch, which new objects use."""
    before = ring.domains.get(domain, ())
    number = before[-1].number + 1 if before else 1
    epoch = Epoch(number, new_id(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), {})
    key = Secret.random()
    epoch = replace(epoch, wrapped=custody.wrap(key, context=domain_context(ring, domain, epoch)))
    key.wipe()
    return replace(ring, domains={**ring.domains, domain: (*before, epoch)})


def handed_over(ring: Ring, opener: Custody, holder: Custody, *, renew: Collection[str] = ()) -> Ring:
    """Return the ring with every key, as `opener` gives it, wrapped for the recipients and quorum of `holder`.

    Where each recipient holds the whole key, what those hold who stay is left as it is, but for `renew`: they need not
    be at hand. With a quorum all shares are new: an old one is of no use beside new ones.
    """
    whole = opener.quorum == holder.quorum == 1

    def again(wrapped: dict[str, bytes], context: bytes) -> dict[str, bytes]:
        names = {recipient.name for recipient in holder.recipients}
        kept = {name: held for name, held in wrapped.items() if whole and name in names and name not in renew}
        missing = tuple(recipient for recipient in holder.recipients if recipient.name not in kept)
        if not missing:
            return kept
        key = Secret(secret_bytes(opener.unwrap(wrapped, context=context)))
        fresh = replace(holder, recipients=missing).wrap(key, context=context)
        key.wipe()
        return {**kept, **fresh}

    domains = {
        name: tuple(
            replace(epoch, wrapped=again(dict(epoch.wrapped), domain_context(ring, name, epoch))) for epoch in epochs
        )
        for name, epochs in ring.domains.items()
    }
    seal = again(dict(ring.seal), ring_context(ring))
    return replace(ring, recipients=holder.recipients, quorum=holder.quorum, seal=seal, domains=domains)


def without_domain(ring: Ring, domain: str) -> Ring:
    """Return the ring without a domain's keys, every epoch of them; their ids stay, with the day of their end."""
    epochs = ring.domains.get(domain)
    if epochs is None:
        known = ", ".join(f"`{name}`" for name in sorted(ring.domains)) or "none"
        raise InvalidArgument(f"there is no domain `{domain}` in the keyring; there is {known}")
    today = datetime.now(UTC).date().isoformat()
    destroyed = {**ring.destroyed, **{epoch.kid: today for epoch in epochs}}
    return replace(
        ring, domains={name: kept for name, kept in ring.domains.items() if name != domain}, destroyed=destroyed
    )
