"""What can be seen of a possible place: the facts that a policy asks about, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sovbroker.catalogue.facts import (
    Basis,
    Confidence,
    Evidence,
    Fact,
    Facts,
    KeyHolder,
    Qualification,
    SealScore,
    Status,
    Target,
)

__all__ = ["Name", "Traits"]

VOUCHED: Final = Evidence(Basis.ATTESTED, Confidence.HIGH, note="made up for a proof")
OFFER: Final = "object-storage"


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """By what names a place is known: its id, provider, region and offer. Of a key service, only the id is seen.

    `single` tells a place that is named itself from one of which there can be any number; `fresh` one whose provider no
    policy names.
    """

    id: str
    provider: str = ""
    region: str = ""
    offer: str = OFFER
    single: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Traits:
    """Facts that are known; whatever is not said is unknown. Two of them are added where they say different things."""

    located: frozenset[str] = frozenset()
    controlled: frozenset[str] = frozenset()
    technology: frozenset[str] = frozenset()
    qualified: tuple[tuple[str, tuple[int, ...]], ...] = ()
    seal: tuple[tuple[str, str, tuple[tuple[str, int], ...]], ...] = ()
    name: Name | None = None
    alone: frozenset[str] | None = None

    def __add__(self, other: Traits) -> Traits:
        """Return what both say."""
        return Traits(
            self.located | other.located,
            self.controlled | other.controlled,
            self.technology | other.technology,
            self.qualified + other.qualified,
            self.seal + other.seal,
            other.name or self.name,
            self.alone if other.alone is None else other.alone | (self.alone or frozenset()),
        )

    @property
    def cost(self) -> int:
        """How many facts there are: of two places that a policy cannot tell apart, the simpler one is shown."""
        countries = len(self.located) + len(self.controlled) + len(self.technology)
        # Nobody is a thing to read as well, and more of one than somebody.
        countries += 0 if self.alone is None else len(self.alone) or 2
        # A version and each level of a score are something to read, too.
        schemes = sum(2 if version else 1 for _, version in self.qualified)
        scores = sum(1 + len(levels) for _, _, levels in self.seal)
        return countries + schemes + scores + (1 if self.name is not None and not self.name.fresh else 0)

    def facts(self) -> Facts:
        """Return them as attested facts that never lapse."""

        def countries(known: frozenset[str]) -> Fact[frozenset[str]]:
            return Fact(known or None, VOUCHED)

        return Facts(
            countries(self.located),
            countries(self.controlled),
            countries(self.technology),
            tuple(Qualification(scheme, Status.QUALIFIED, VOUCHED, version) for scheme, version in self.qualified),
            tuple(SealScore(framework, assessor, levels, VOUCHED) for framework, assessor, levels in self.seal),
            Fact(self.alone, VOUCHED),
        )

    def target(self) -> Target:
        """Return a target of this kind."""
        name = self.name or Name("")
        return Target(name.id, name.provider, name.region, self.facts(), name.offer, site=name.id)

    def holder(self) -> KeyHolder:
        """Return a key service of this kind."""
        return KeyHolder("" if self.name is None else self.name.id, self.facts())

    def to_dict(self) -> dict[str, object]:
        """Return the facts as JSON types, in the words of a cases file."""
        found: dict[str, object] = {}
        for axis, countries in (
            ("located", self.located),
            ("controlled", self.controlled),
            ("technology", self.technology),
        ):
            if countries:
                found[axis] = sorted(countries)
        if self.alone is not None:
            found["alone"] = sorted(self.alone)
        if self.qualified:
            found["qualified"] = [
                {"scheme": scheme, **({"version": ".".join(map(str, version))} if version else {})}
                for scheme, version in self.qualified
            ]
        if self.seal:
            found["seal"] = [
                {"framework": framework, "assessor": assessor, **dict(levels)}
                for framework, assessor, levels in self.seal
            ]
        return found

    def __str__(self) -> str:
        """Say the facts in a phrase."""
        said = [
            f"{axis} {'+'.join(sorted(countries))}"
            for axis, countries in (
                ("located", self.located),
                ("controlled", self.controlled),
                ("technology", self.technology),
            )
            if countries
        ]
        said += [] if self.alone is None else [f"opened alone by {'+'.join(sorted(self.alone)) or 'nobody'}"]
        said += [
            f"qualified {scheme}{' ' + '.'.join(map(str, version)) if version else ''}"
            for scheme, version in self.qualified
        ]
        said += [
            f"SEAL {framework} by {assessor}: {', '.join(f'{name} {level}' for name, level in levels)}"
            for framework, assessor, levels in self.seal
        ]
        return ", ".join(said) or "of which nothing is known"
