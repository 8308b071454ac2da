"""From an overlay as it is written to what it means, or to every reason why it cannot be used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final, Protocol

from sovbroker.catalogue.attestation import Attestation, Vouched
from sovbroker.catalogue.connection import address_problem
from sovbroker.catalogue.facts import Status, Target
from sovbroker.catalogue.overlay import Bound, Entry, Held, Overlay
from sovbroker.catalogue.overlaydocs import (
    CODES,
    ROOT,
    AttestationDoc,
    Attested,
    EntryDoc,
    RootDoc,
    Said,
    entry,
)
from sovbroker.catalogue.owning import own_provider, settings_beside
from sovbroker.catalogue.provider import Grant, Provider
from sovbroker.catalogue.tightening import loosened
from sovbroker.catalogue.words import KEY
from sovbroker.document import Findings, MapNode, MapOf, Node, Place, Word, decode, read, suggest
from sovbroker.errors import ConfigError

__all__ = ["Shelf", "read_overlay"]

DIFFERS: Final = "SO011"
DATES: Final = "SO012"
LOOSENS: Final = "SO013"
NO_TARGET: Final = "SO014"
ADDRESS: Final = "SO015"
COUNTS_NOWHERE: Final = "SO016"
TAKEN: Final = "SO017"

ACCEPT: Final = (
    "if a person answers for it, add `accept_relaxation: {owner: their e-mail address, reason: …}` beside it"
)
RESERVED: Final = ("local", "memory")


class Shelf(Protocol):
    """What an overlay lies over: a catalogue."""

    @property
    def providers(self) -> Iterable[str]:
        """The ids of the providers."""
        ...

    def provider(self, name: str) -> Provider:
        """Return a provider. Raises ConfigError."""
        ...

    def target(self, reference: str) -> Target:
        """Return a target. Raises ConfigError."""
        ...


def read_overlay(file: Path, shelf: Shelf, *, today: date, canonical: Callable[[Node], bytes]) -> Overlay:
    """Read the overlay `file`, which lies over `shelf`; `today` is the day after which no document can be issued.

    The SHA-256 of a document that is there, beside the overlay, is compared. `canonical` spells what is written, for
    the digest. Raises ConfigError with every finding, each with file, line and column.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the overlay `{file}`: {error.strerror}") from error
    findings = Findings(CODES)
    node = read(content, str(file), findings)
    root = decode(node, ROOT, findings)
    found = None
    if node is not None and root is not None:
        found = _Reading(file, shelf, today, findings).overlay(root, hashlib.sha256(canonical(node)).hexdigest())
    if found is None or findings.failed:
        raise ConfigError("\n\n".join(map(str, findings.diagnostics)))
    return found


class _Reading:
    """One overlay being read."""

    def __init__(self, file: Path, shelf: Shelf, today: date, findings: Findings) -> None:
        self._file = file
        self._shelf = shelf
        self._today = today
        self._findings = findings
        self._held: dict[Attestation, Held] = {}

    def overlay(self, root: RootDoc, digest: str) -> Overlay:
        """Return what the file says. It may be used only if there are no findings."""
        known = {str(name): self._attestation(doc, self._findings) for name, doc in root.attestations.items()}
        attested = Attested(known, self._attestation)
        targets = self._decoded(root.targets, attested, of_provider=False)
        providers = self._decoded(root.providers, attested, of_provider=True)
        found = Overlay(
            file=self._file,
            digest=digest,
            targets=self._targets(targets),
            providers=self._providers(providers),
            own=self._own(root.private, attested),
            held=tuple(sorted(self._held.values(), key=lambda held: held.attestation.document)),
        )
        places = {
            id(said.evidence): said.place for doc in (*targets.values(), *providers.values()) for said in doc.said()
        }
        self._check(found, places)
        return found

    # --- documents

    def _attestation(self, doc: AttestationDoc, findings: Findings) -> Attestation:
        """Return an attestation, with its dates checked, and its document where that is there."""
        found = Attestation(str(doc.document), str(doc.sha256), doc.by, doc.issued, doc.expires)
        if doc.expires <= doc.issued:
            findings.error(DATES, doc.place, "the attestation ends before it was issued", "check the dates")
        if doc.issued > self._today:
            findings.error(DATES, doc.place, f"issued on {doc.issued}, which is yet to come: today is {self._today}")
        self._held[found] = Held(found, self._seen(doc, findings))
        return found

    def _seen(self, doc: AttestationDoc, findings: Findings) -> bool:
        path = self._file.parent / doc.document
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError):
            # It is called by a name; whether it should be there is for the doctor to ask.
            return False
        if digest != doc.sha256:
            findings.error(
                DIFFERS,
                doc.sha256.place,
                f"`{doc.document}` is another document: its SHA-256 is {digest}",
                "read what it says now, and write its SHA-256 here",
            )
        return digest == doc.sha256

    # --- what is said of whom

    def _decoded(self, node: Node | None, attested: Attested, *, of_provider: bool) -> Mapping[Word, EntryDoc]:
        if node is None:
            return {}
        return decode(node, MapOf(entry(attested, of_provider=of_provider), least=1), self._findings) or {}

    def _targets(self, docs: Mapping[Word, EntryDoc]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for name, doc in docs.items():
            try:
                target = self._shelf.target(name)
            except ConfigError as error:
                self._findings.error(NO_TARGET, name.place, *_split(str(error)))
                continue
            if target.id in found:
                self._findings.error(NO_TARGET, name.place, f"`{name}` is the target `{target.id}` once more")
            if doc.binding is not None:
                self._check_binding(*doc.binding, target)
            here = [
                replace(grant, offers=frozenset({target.offer}), regions=frozenset({target.region}))
                for _, grant in doc.qualified
            ]
            found[target.id] = self._entry(doc, here)
        return found

    def _providers(self, docs: Mapping[Word, EntryDoc]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for name, doc in docs.items():
            if name not in set(self._shelf.providers):
                help_ = suggest(name, self._shelf.providers)
                self._findings.error(NO_TARGET, name.place, f"unknown provider `{name}`", help_)
                continue
            provider = self._shelf.provider(name)
            for said, grant in doc.qualified:
                self._check_grant(said, grant, provider)
            found[str(name)] = self._entry(doc, [grant for _, grant in doc.qualified])
        return found

    def _entry(self, doc: EntryDoc, grants: Iterable[Grant]) -> Entry:
        return Entry(
            located=doc.located and doc.located[1],
            controlled=doc.controlled and doc.controlled[1],
            technology=doc.technology and doc.technology[1],
            grants=tuple(grants),
            seal=tuple(score for _, score in doc.seal),
            binding=doc.binding and _beside(doc.binding[1], self._file.parent),
        )

    def _own(self, node: Node | None, attested: Attested) -> dict[str, Provider]:
        if node is None:
            return {}
        found: dict[str, Provider] = {}
        for name, part in node.entries if isinstance(node, MapNode) else ():
            if name in self._shelf.providers or name in RESERVED:
                mend = "give it a name of its own; facts about a provider that is known stand under `providers`"
                self._findings.error(TAKEN, name.place, f"`{name}` is a provider of the catalogue", mend)
            provider = own_provider(name, part, attested, self._findings, folder=self._file.parent)
            if provider is not None:
                found[str(name)] = provider
        if not isinstance(node, MapNode):
            # For the finding that says what is due here.
            decode(node, MapOf(KEY), self._findings)
        return found

    # --- checks

    def _check_grant(self, said: Said, grant: Grant, provider: Provider) -> None:
        """Find what a provider does not have, and a qualification that would count for no target."""
        offers = {offer for region in provider.regions for offer in provider.offers_in(region)}
        for names, known, noun in ((grant.offers, offers, "offer"), (grant.regions, provider.regions, "region")):
            for name in sorted(names - set(known)):
                what = f"`{provider.id}` has no {noun} `{name}`"
                self._findings.error(NO_TARGET, said.place, what, suggest(name, known))
        if grant.qualification.status is Status.QUALIFIED and not (grant.offers and grant.regions):
            self._findings.error(
                COUNTS_NOWHERE,
                said.place,
                f"`{grant.qualification.scheme}` would count for no target",
                "name the `offers` and the `regions` that the document names",
            )

    def _check_binding(self, said: Said, bound: Bound, target: Target) -> None:
        if target.offer != "object-storage":
            self._findings.error(ADDRESS, said.place, f"`{target.id}` does not store objects, so nothing binds it")
        place = bound.endpoint.place if isinstance(bound.endpoint, Word) else said.place
        if why := address_problem(bound.endpoint):
            mend = "write https://, the host, and a path where the service has one"
            self._findings.error(ADDRESS, place, f"`{bound.endpoint}` cannot be an endpoint: {why}", mend)
        authority = bound.settings.get("authority")
        url = str(authority) if "://" in str(authority) else f"https://{authority}"
        if authority is not None and (why := address_problem(url)):
            what = f"`{authority}` cannot be the `authority`, which gives tokens: {why}"
            self._findings.error(ADDRESS, said.place, what)

    def _check(self, overlay: Overlay, places: Mapping[int, Place]) -> None:
        """Find what becomes easier by it, and nobody accepts."""
        told: set[int] = set()
        for target in self._touched(overlay):
            for what, why, evidence in loosened(target.facts, overlay.over(target).facts):
                if not isinstance(evidence, Vouched) or evidence.accepted is not None or id(evidence) in told:
                    continue
                told.add(id(evidence))
                message = f"this loosens a fact, and nobody accepts it: `{what}` of `{target.id}` {why}"
                self._findings.error(LOOSENS, places[id(evidence)], message, ACCEPT)

    def _touched(self, overlay: Overlay) -> Iterator[Target]:
        """Yield the catalogue's own view of every target of which the overlay says something."""
        ids = dict.fromkeys(overlay.targets)
        for name in overlay.providers:
            provider = self._shelf.provider(name)
            places = ((region, offer) for region in provider.regions for offer in provider.offers_in(region))
            ids |= dict.fromkeys(provider.target(region, offer=offer).id for region, offer in places)
        for reference in ids:
            yield self._shelf.target(reference)


def _beside(bound: Bound, folder: Path) -> Bound:
    return replace(bound, endpoint=str(bound.endpoint), settings=settings_beside(bound.settings, folder))


def _split(message: str) -> tuple[str, str]:
    what, _, mend = message.partition("; ")
    return what, mend
