"""The operator's overlay: what stands beside the catalogue, and holds in its place.

It says how targets are reached that no public endpoint leads to, what the operator's documents attest of targets and
providers, and which places are the operator's own. Every fact in it has an end, because its document has; after that it
supports nothing, and what the catalogue said before does not come back by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sovbroker.catalogue.attestation import Attestation, Vouched
from sovbroker.catalogue.facts import Evidence, Fact, Facts, SealScore, Target
from sovbroker.catalogue.provider import Grant, Provider

__all__ = ["Bound", "Entry", "Held", "Overlay", "vouched_in"]

Countries = frozenset[str]


@dataclass(frozen=True, slots=True)
class Bound:
    """How a target is reached by the operator's contract: in the place of what the catalogue says of it.

    `settings` are in the adapter's words.
    """

    adapter: str
    endpoint: str
    evidence: Vouched
    region: str = ""
    settings: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said of one target, or of every target of a provider. None, or nothing: the catalogue holds."""

    located: Fact[Countries] | None = None
    controlled: Fact[Countries] | None = None
    technology: Fact[Countries] | None = None
    grants: tuple[Grant, ...] = ()
    seal: tuple[SealScore, ...] = ()
    binding: Bound | None = None

    def over(self, facts: Facts, *, offer: str, region: str) -> Facts:
        """Return `facts` of an offer in a region, with what is said here in their place.

        What is said of a scheme replaces every word that there was on it; a score replaces that of the same assessor by
        the same version of the framework.
        """
        said = [found for grant in self.grants if (found := grant.of(offer, region)) is not None]
        schemes = {found.scheme for found in said}
        scored = {(score.framework, score.assessor) for score in self.seal}
        return Facts(
            located=self.located or facts.located,
            controlled=self.controlled or facts.controlled,
            technology=self.technology or facts.technology,
            qualified=(*(q for q in facts.qualified if q.scheme not in schemes), *said),
            seal=(*(s for s in facts.seal if (s.framework, s.assessor) not in scored), *self.seal),
        )


@dataclass(frozen=True, slots=True)
class Held:
    """One document that the overlay names. `seen`: its file was there, and had the SHA-256 that the overlay tells."""

    attestation: Attestation
    seen: bool


@dataclass(frozen=True, slots=True)
class Overlay:
    """What one file says. `digest` is of what is written in it; comments and layout do not change it.

    `targets` are by id, `own` are the operator's own providers. `held` are the documents, each once.
    """

    file: Path
    digest: str
    targets: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    providers: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    own: Mapping[str, Provider] = field(default_factory=dict[str, Provider])
    held: tuple[Held, ...] = ()

    def over(self, target: Target) -> Target:
        """Return a target of the catalogue with what is said of it here; what is said of it alone comes last."""
        facts = target.facts
        for entry in (self.providers.get(target.provider), self.targets.get(target.id)):
            if entry is not None:
                facts = entry.over(facts, offer=target.offer, region=target.region)
        return replace(target, facts=facts)

    def binding(self, target: str) -> Bound | None:
        """Return how the target of that id is bound, or None where the catalogue's own way holds."""
        entry = self.targets.get(target)
        return None if entry is None else entry.binding


def vouched_in(facts: Facts) -> Iterator[tuple[str, Vouched]]:
    """Yield what the operator attests by a document: the axis or the scheme, and the evidence."""
    every: list[tuple[str, Evidence]] = [
        ("located", facts.located.evidence),
        ("controlled", facts.controlled.evidence),
        ("technology", facts.technology.evidence),
        *((q.scheme, q.evidence) for q in facts.qualified),
        *(("seal", s.evidence) for s in facts.seal),
    ]
    for what, evidence in every:
        if isinstance(evidence, Vouched):
            yield what, evidence
