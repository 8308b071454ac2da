"""The rules that a file's facts obey beyond their form. A file that breaks one is not used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final, assert_never
from urllib.parse import urlsplit

from sovbroker.catalogue.connection import PLACEHOLDER
from sovbroker.catalogue.facts import Basis, Confidence, Status
from sovbroker.catalogue.moments import UNKNOWN, Moment, moment
from sovbroker.catalogue.provider import DEFAULT_OFFER, SCHEMES, years_after
from sovbroker.document import Findings, ListNode, MapNode, Node, Scalar, Word, suggest

__all__ = ["TITLES", "check", "check_dates", "check_sites"]

NO_SOURCE: Final = "SC010"
UNUSED_SOURCE: Final = "SC011"
FUTURE: Final = "SC012"
BACKWARDS: Final = "SC013"
UNVERIFIED: Final = "SC014"
ENDLESS: Final = "SC015"
TOO_LONG: Final = "SC016"
NO_OFFER: Final = "SC017"
NO_REGION: Final = "SC018"
NO_SITE: Final = "SC019"
HOST: Final = "SC020"
UNREACHABLE: Final = "SC021"
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

DOMAIN_LABELS: Final = 2


def check(node: MapNode, findings: Findings) -> None:
    """Check what one file says against itself."""
    sources = _keys(node.get("sources"))
    used = {word for fact in _facts(node) for word in _check_evidence(fact, sources, findings)}
    for source in sources:
        if source not in used:
            findings.warning(UNUSED_SOURCE, source.place, f"no fact names the source `{source}`", "remove it")
    offers, regions = _texts(node.get("offers")), _keys(node.get("regions"))
    for _, region in _entries(node.get("regions")):
        if isinstance(region, MapNode):
            _check_names(region.get("offers"), offers, findings, code=NO_OFFER)
    for grant in _items(node.get("qualifications")):
        if isinstance(grant, MapNode):
            _check_names(grant.get("offers"), offers, findings, code=NO_OFFER)
            _check_names(grant.get("regions"), regions, findings, code=NO_REGION)
            _check_end(grant, findings)
            _check_covered(grant, node, findings)
    _check_storage(node, regions, findings)


def check_dates(node: MapNode, today: date, findings: Findings) -> None:
    """Find what was seen or granted after `today`."""
    grants = (grant for grant in _items(node.get("qualifications")) if isinstance(grant, MapNode))
    days = [*(found.get("as_of") for found in _evidence(node)), *(grant.get("since") for grant in grants)]
    for day in days:
        found = _moment(day)
        if isinstance(day, Scalar) and found is not None and found.first > today:
            findings.error(FUTURE, day.place, f"`{day.text}` is yet to come: today is {today}", "check the date")


def check_sites(node: MapNode, known: set[str], findings: Findings) -> None:
    """Find sites that are not among the `known` regions, spelled `provider/region`."""
    for _, region in _entries(node.get("regions")):
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
    named = _texts(evidence.get("sources"))
    for source in named:
        if source not in sources:
            help_ = suggest(source, sources)
            findings.error(NO_SOURCE, source.place, f"`{source}` is not among the file's `sources`", help_)
    basis, confidence = _text(evidence.get("basis")), _text(evidence.get("confidence"))
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
    status, scheme, evidence = grant.get("status"), _text(grant.get("scheme")), grant.get("evidence")
    if _text(status) != Status.QUALIFIED.value or status is None or not isinstance(evidence, MapNode):
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
    offers, names = _texts(grant.get("offers")), _texts(grant.get("regions"))
    regions = dict(_entries(node.get("regions")))
    common = _texts(node.get("offers"))
    for offer in offers if names else ():
        found = [regions[name] for name in names if name in regions]
        own = [_texts(region.get("offers")) or common for region in found if isinstance(region, MapNode)]
        if offer in common and own and not any(offer in there for there in own):
            findings.error(NO_OFFER, offer.place, f"none of these regions has `{offer}`", "check the regions")


def _check_names(node: Node | None, known: tuple[Word, ...], findings: Findings, *, code: str) -> None:
    for name in _texts(node):
        if name not in known:
            noun = "offers" if code == NO_OFFER else "regions"
            findings.error(code, name.place, f"`{name}` is not among the file's `{noun}`", suggest(name, known))


def _check_storage(node: MapNode, regions: tuple[Word, ...], findings: Findings) -> None:
    storage = node.get("storage")
    if not isinstance(storage, MapNode):
        return
    covered: list[str] = []
    everywhere = False
    for endpoint in _items(storage.get("endpoints")):
        if isinstance(endpoint, MapNode):
            _check_names(endpoint.get("regions"), regions, findings, code=NO_REGION)
            _check_url(endpoint.get("is"), findings)
            own = _texts(endpoint.get("regions"))
            covered += own
            twice = not own and everywhere
            everywhere = everywhere or not own
            if twice or any(count > 1 for name, count in Counter(covered).items() if name in own):
                findings.error(HOST, endpoint.place, "a region has two endpoints", "name each region once")
    for name in _keys(storage.get("signing_region")):
        if name not in regions:
            findings.error(NO_REGION, name.place, f"`{name}` is not among the file's `regions`", suggest(name, regions))
    if storage.get("supply") is not None:
        return
    common = _texts(node.get("offers"))
    bare = [
        name
        for name, region in _entries(node.get("regions"))
        if isinstance(region, MapNode) and DEFAULT_OFFER in (_texts(region.get("offers")) or common)
        if not everywhere and name not in covered
    ]
    mend = "say with `supply` what the operator must bring"
    if storage.get("adapter") is None:
        findings.error(UNREACHABLE, storage.place, "the storage has no `adapter`", mend)
    elif bare:
        findings.error(UNREACHABLE, storage.place, f"no endpoint is known for {', '.join(bare)}", mend)


def _check_url(url: Node | None, findings: Findings) -> None:
    """Check that an endpoint is https, and that no placeholder can choose the domain."""
    if not isinstance(url, Scalar):
        return
    # A placeholder with a space in it is none; what is left of braces is then refused by what follows.
    filled = PLACEHOLDER.sub("x.placeholder", url.text)
    parts = urlsplit(filled)
    host = parts.netloc
    labels = host.split(".")
    proper = all(label and all(c.isalnum() or c == "-" for c in label) for label in labels)
    fixed = len(labels) > DOMAIN_LABELS and "placeholder" not in labels[-DOMAIN_LABELS:]
    if parts.scheme != "https" or not host.isascii() or not proper or not fixed or "{" in filled or "}" in filled:
        findings.error(
            HOST,
            url.place,
            f"`{url.text}` is not an https address whose domain is written out",
            "write https://, placeholders such as {region}, and the domain, without a port",
        )


def _near(name: str, known: set[str]) -> str:
    found = suggest(name, known)
    return found if found.startswith("did you") else ""


def _moment(node: Node | None) -> Moment | None:
    """Return a date that its shape has accepted."""
    try:
        return moment(node.text) if isinstance(node, Scalar) and node.text != UNKNOWN else None
    except ValueError:
        return None


def _keys(node: Node | None) -> tuple[Word, ...]:
    return node.keys() if isinstance(node, MapNode) else ()


def _entries(node: Node | None) -> tuple[tuple[Word, Node], ...]:
    return node.entries if isinstance(node, MapNode) else ()


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, ListNode) else ()


def _texts(node: Node | None) -> tuple[Word, ...]:
    return tuple(item.word() for item in _items(node) if isinstance(item, Scalar))


def _text(node: Node | None) -> Word | None:
    return node.word() if isinstance(node, Scalar) else None
