"""The rules that a file's facts obey beyond their form. A file that breaks one is not used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final, assert_never

from sovbroker.catalogue.facts import Basis, Confidence, Status
from sovbroker.catalogue.moments import UNKNOWN, Moment, moment
from sovbroker.catalogue.parts import entries, items, keys, text, texts
from sovbroker.catalogue.provider import SCHEMES, years_after
from sovbroker.catalogue.storagerules import (
    HOST,
    NO_OFFER,
    NO_REGION,
    UNREACHABLE,
    check_names,
    check_storage,
    offers_of,
)
from sovbroker.document import Findings, ListNode, MapNode, Node, Scalar, Word, suggest

__all__ = ["TITLES", "check", "check_dates", "check_sites"]

NO_SOURCE: Final = "SC010"
UNUSED_SOURCE: Final = "SC011"
FUTURE: Final = "SC012"
BACKWARDS: Final = "SC013"
UNVERIFIED: Final = "SC014"
ENDLESS: Final = "SC015"
TOO_LONG: Final = "SC016"
NO_SITE: Final = "SC019"
MISNAMED: Final = "SC022"

TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SC001": "the file cannot be read",
        "SC002": "the same key or item twice",
        "SC003": "unknown key",
        "SC004": "a key is missing; most often evidence",
        "SC005": "a list, a map or a text where another is due",
        "SC006": "a value that cannot be: no date, no country, no scheme, no name",
        NO_SOURCE: "a fact names a source that the file does not list",
        UNUSED_SOURCE: "no fact names this source",
        FUTURE: "seen or granted on a day that is yet to come",
        BACKWARDS: "it ends before it was seen or granted",
        UNVERIFIED: "called verified or measured, without a source or with low confidence",
        ENDLESS: "a qualification that counts, without a day from which an end follows",
        TOO_LONG: "a qualification that lasts longer than its scheme allows",
        NO_OFFER: "an offer that the provider does not have there",
        NO_REGION: "a region that the file does not list",
        NO_SITE: "a site that is no region of any provider",
        HOST: "an endpoint that is not https, or does not name its own domain",
        UNREACHABLE: "no endpoint for a region, and no word on what the operator must bring",
        MISNAMED: "the file's name is not a provider's id",
    }
)
"""Every code of the lint's diagnostics, with its title."""


def check(node: MapNode, findings: Findings, *, own: bool = False) -> None:
    """Check what one file says against itself.

    `own`: it is the operator's, whose hosts may have any name, and a port.
    """
    sources = keys(node.get("sources"))
    used = {word for fact in _facts(node) for word in _check_evidence(fact, sources, findings)}
    for source in sources:
        if source not in used:
            findings.warning(UNUSED_SOURCE, source.place, f"no fact names the source `{source}`", "remove it")
    offers, regions = offers_of(node), keys(node.get("regions"))
    for _, region in entries(node.get("regions")):
        if isinstance(region, MapNode):
            check_names(region.get("offers"), offers, findings, code=NO_OFFER)
    for grant in items(node.get("qualifications")):
        if isinstance(grant, MapNode):
            check_names(grant.get("offers"), offers, findings, code=NO_OFFER)
            check_names(grant.get("regions"), regions, findings, code=NO_REGION)
            _check_end(grant, findings)
            _check_covered(grant, node, findings)
    check_storage(node, regions, findings, own=own)


def check_dates(node: MapNode, today: date, findings: Findings) -> None:
    """Find what was seen or granted after `today`."""
    grants = (grant for grant in items(node.get("qualifications")) if isinstance(grant, MapNode))
    days = [*(found.get("as_of") for found in _evidence(node)), *(grant.get("since") for grant in grants)]
    for day in days:
        found = _moment(day)
        if isinstance(day, Scalar) and found is not None and found.first > today:
            findings.error(FUTURE, day.place, f"`{day.text}` is yet to come: today is {today}", "check the date")


def check_sites(node: MapNode, known: set[str], findings: Findings) -> None:
    """Find sites that are not among the `known` regions, spelled `provider/region`."""
    for _, region in entries(node.get("regions")):
        site = region.get("site") if isinstance(region, MapNode) else None
        if isinstance(site, Scalar) and site.text not in known:
            findings.error(NO_SITE, site.place, f"`{site.text}` is no region of any provider", _near(site.text, known))


def _facts(node: Node) -> Iterator[MapNode]:
    """Yield every map that carries evidence, however deep."""
    match node:
        case MapNode():
            if isinstance(node.get("evidence"), MapNode):
                yield node
            for _, value in node.entries:
                yield from _facts(value)
        case ListNode():
            for value in node.items:
                yield from _facts(value)
        case Scalar():
            return
        case _:
            assert_never(node)


def _evidence(node: Node) -> Iterator[MapNode]:
    for fact in _facts(node):
        found = fact.get("evidence")
        if isinstance(found, MapNode):
            yield found


def _check_evidence(fact: MapNode, sources: tuple[Word, ...], findings: Findings) -> tuple[str, ...]:
    """Check one fact's evidence; return the sources that it names."""
    evidence = fact.get("evidence")
    if not isinstance(evidence, MapNode):
        return ()
    named = texts(evidence.get("sources"))
    for source in named:
        if source not in sources:
            help_ = suggest(source, sources)
            findings.error(NO_SOURCE, source.place, f"`{source}` is not among the file's `sources`", help_)
    basis, confidence = text(evidence.get("basis")), text(evidence.get("confidence"))
    if basis in {Basis.VERIFIED.value, Basis.MEASURED.value}:
        mend = f"say `basis: {Basis.MEMORY.value}` until somebody has checked"
        if not named:
            findings.error(UNVERIFIED, basis.place, f"`{basis}`, and no source says so", mend)
        elif confidence == Confidence.LOW.value:
            findings.error(UNVERIFIED, basis.place, f"`{basis}`, with low confidence", mend)
    end = evidence.get("expires")
    begins = (_moment(day) for day in (evidence.get("as_of"), fact.get("since")))
    until = _moment(end)
    if end is not None and until is not None and any(day is not None and until.first <= day.first for day in begins):
        findings.error(BACKWARDS, end.place, "it ends before it was seen or granted", "check the dates")
    return named


def _check_end(grant: MapNode, findings: Findings) -> None:
    """Check that the end of a qualification that counts can be told, and is within what the scheme allows."""
    status, scheme, evidence = grant.get("status"), text(grant.get("scheme")), grant.get("evidence")
    if text(status) != Status.QUALIFIED.value or status is None or not isinstance(evidence, MapNode):
        return
    years = SCHEMES.get(scheme or "")
    since, seen, until = (_moment(day) for day in (grant.get("since"), evidence.get("as_of"), evidence.get("expires")))
    if until is None and seen is None and (since is None or years is None):
        findings.error(
            ENDLESS, status.place, "nothing says when it ends, or when it was seen", "give `expires`, or `as_of`"
        )
    end = evidence.get("expires")
    if years is not None and since is not None and until is not None and end is not None:
        latest = years_after(since.last, years)
        if until.first > latest:
            message = f"`{scheme}` lasts {years} years, until {latest} at the latest"
            findings.error(TOO_LONG, end.place, message, "check the dates; a renewal has its own `since`")


def _check_covered(grant: MapNode, node: MapNode, findings: Findings) -> None:
    """Find a qualification of an offer that none of its regions has: it would cover what does not exist."""
    offers, names = texts(grant.get("offers")), texts(grant.get("regions"))
    regions = dict(entries(node.get("regions")))
    common = offers_of(node)
    for offer in offers if names else ():
        found = [regions[name] for name in names if name in regions]
        own = [texts(region.get("offers")) or common for region in found if isinstance(region, MapNode)]
        if offer in common and own and not any(offer in there for there in own):
            findings.error(NO_OFFER, offer.place, f"none of these regions has `{offer}`", "check the regions")


def _near(name: str, known: set[str]) -> str:
    found = suggest(name, known)
    return found if found.startswith("did you") else ""


def _moment(node: Node | None) -> Moment | None:
    """Return a date that its shape has accepted."""
    try:
        return moment(node.text) if isinstance(node, Scalar) and node.text != UNKNOWN else None
    except ValueError:
        return None
