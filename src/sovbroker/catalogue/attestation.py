"""What the operator vouches for: by which document, and who answers for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from sovbroker.catalogue.facts import Evidence

__all__ = ["Acceptance", "Attestation", "Vouched"]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Who answers for what the catalogue does not say: a person, by e-mail address, and why."""

    owner: str
    reason: str

    def __str__(self) -> str:
        """Spell it for people."""
        return f"accepted by {self.owner}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Attestation:
    """A document, as the operator holds it.

    `document` is its path beside the overlay, or what it is called; `sha256` is of its bytes, in hexadecimal digits;
    `by` is who issued it. It counts until the day before `expires`.
    """

    document: str
    sha256: str
    by: str
    issued: date
    expires: date


@dataclass(frozen=True, slots=True)
class Vouched(Evidence):
    """Evidence of the operator's own: the attestation, and who accepted what it loosens, None where it loosens nothing.

    Its basis is `ATTESTED`, its source the document.
    """

    attestation: Attestation = field(kw_only=True)
    accepted: Acceptance | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        """Spell it for people."""
        told = f"`{self.attestation.document}` of {self.attestation.by}, until {self.expires}"
        return f"{told}, {self.accepted}" if self.accepted else told
