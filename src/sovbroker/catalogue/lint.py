"""The rules that facts obey, beyond their form: evidence for everything, dates that can be, names that are declared."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sovbroker.catalogue.countries import COUNTRIES
from sovbroker.catalogue.facts import Basis, Status
from sovbroker.catalogue.schema import CODES, PROVIDER, partial_date
from sovbroker.document import Findings, ListNode, MapNode, Node, Scalar, Word, decode, read
from sovbroker.errors import Diagnostic

__all__ = ["MEMORY", "OFFERS", "RULES", "lint"]

UNKNOWN_SOURCE: Final = "SC010"
UNUSED_SOURCE: Final = "SC011"
FUTURE: Final = "SC012"
BACKWARDS: Final = "SC013"
UNVERIFIED: Final = "SC014"
COUNTRY: Final = "SC015"
HOST: Final = "SC016"
UNDECLARED: Final = "SC017"
MISNAMED: Final = "SC018"
ENDLESS: Final = "SC019"
UNREACHABLE: Final = "SC020"

RULES: Final = {
    UNKNOWN_SOURCE: "a fact names a source that the file does not list",
    UNUSED_SOURCE: "a source that no fact names",
    FUTURE: "a fact seen in the future",
    BACKWARDS: "a fact that expires before it was seen",
    UNVERIFIED: "a fact that is known from memory only and says otherwise",
    COUNTRY: "no country of ISO 3166-1",
    HOST: "an endpoint that is not https, or has no host",
    UNDECLARED: "an offer or a region that does not exist",
    MISNAMED: "a file that is not named after its provider",
    ENDLESS: "a qualification that counts and was never dated",
    UNREACHABLE: "storage with neither an adapter nor a word on what the operator must bring",
}

MEMORY: Final = "mem"
"""The source that stands for general knowledge."""

OFFERS: Final = frozenset(
    {
        "bare-metal",
        "block-storage",
        "compute",
        "database",
        "kubernetes",
        "object-storage",
        "paas",
        "paas-openshift",
        "saas-collaboration",
        "vmware",
    }
)


def lint(path: Path | None = None, *, today: date | None = None) -> tuple[Diagnostic, ...]:
    """Return every finding about a file or a folder of provider files; None: the shipped catalogue."""
    day = today or datetime.now(UTC).date()
    folder: Traversable = path if path is not None else files("sovbroker.catalogue") / "providers"
    every = sorted(folder.iterdir(), key=lambda item: item.name) if folder.is_dir() else [folder]
    findings = Findings(CODES)
    for item in every:
        if item.name.endswith((".yaml", ".yml")):
            _lint_file(item, day, findings)
    return findings.diagnostics


def _lint_file(item: Traversable, today: date, findings: Findings) -> None:
    node = read(item.read_bytes(), item.name, findings)
    if decode(node, PROVIDER, findings) is None or not isinstance(node, MapNode):
        return
    name = node.get("id")
    if isinstance(name, Scalar) and item.name != f"{name.text}.yaml":
        findings.error(MISNAMED, name.place, f"the file of `{name.text}` is named `{item.name}`", "rename one of them")
    sources = _keys(node.get("sources"))
    used: set[str] = set()
    for fact in _facts(node):
        used |= _check_evidence(fact, sources, today, findings)
    for source in sources:
        if source not in used:
            findings.error(UNUSED_SOURCE, source.place, f"no fact names the source `{source}`", "remove it")
    regions = {str(name) for name in _keys(node.get("regions"))}
    for grant in _items(node.get("qualifications")):
        _check_grant(grant, regions, findings)
    _check_countries(node, findings)
    storage = node.get("storage")
    if isinstance(storage, MapNode):
        _check_storage(storage, regions, findings)


def _facts(node: Node) -> Iterator[MapNode]:
    """Yield every map that carries evidence, however deep."""
    match node:
        case MapNode():
            if node.get("basis") is not None:
                yield node
            for _, value in node.entries:
                yield from _facts(value)
        case ListNode():
            for value in node.items:
                yield from _facts(value)
        case Scalar():
            return


def _check_evidence(fact: MapNode, sources: tuple[Word, ...], today: date, findings: Findings) -> set[str]:
    """Check one fact's evidence; return the sources that it names."""
    named = [item for item in _items(fact.get("sources")) if isinstance(item, Scalar)]
    for source in named:
        if source.text not in sources:
            findings.error(UNKNOWN_SOURCE, source.place, f"`{source.text}` is not among the file's `sources`")
    seen, until, basis = (_scalar(fact.get(key)) for key in ("as_of", "expires", "basis"))
    if seen is not None and partial_date(seen.text) > today:
        findings.error(FUTURE, seen.place, f"the fact was seen on {seen.text}, and today is {today}")
    if seen is not None and until is not None and partial_date(until.text) < partial_date(seen.text):
        findings.error(BACKWARDS, until.place, f"the fact expires on {until.text}, before it was seen on {seen.text}")
    if basis is not None and (basis.text == Basis.MEMORY.value) != ({s.text for s in named} == {MEMORY}):
        findings.error(
            UNVERIFIED,
            basis.place,
            f"the basis is `{basis.text}`, and the sources are {', '.join(s.text for s in named)}",
            f"a fact from `{MEMORY}` alone has the basis `{Basis.MEMORY.value}`, and no other fact has",
        )
    return {source.text for source in named}


def _check_grant(grant: Node, regions: set[str], findings: Findings) -> None:
    if not isinstance(grant, MapNode):
        return
    for key, known in (("offers", OFFERS), ("regions", regions)):
        for item in _items(grant.get(key)):
            if isinstance(item, Scalar) and item.text not in known:
                findings.error(
                    UNDECLARED, item.place, f"`{item.text}` is not one of the {key}: {', '.join(sorted(known))}"
                )
    status = _scalar(grant.get("status"))
    dated = any(grant.get(key) is not None for key in ("as_of", "since", "expires"))
    if status is not None and status.text == Status.QUALIFIED.value and not dated:
        findings.error(ENDLESS, status.place, "nothing says when it was granted, seen or ends", "add `as_of` at least")


def _check_countries(node: MapNode, findings: Findings) -> None:
    lists = [fact.get("is") for fact in (node.get("controlled"), node.get("technology")) if isinstance(fact, MapNode)]
    named: list[Node] = [item for found in lists for item in _items(found)]
    regions = node.get("regions")
    if isinstance(regions, MapNode):
        named += [
            found for _, value in regions.entries if isinstance(value, MapNode) and (found := value.get("country"))
        ]
    for item in named:
        if isinstance(item, Scalar) and item.text not in COUNTRIES:
            findings.error(COUNTRY, item.place, f"`{item.text}` is not a country code of ISO 3166-1")


def _check_storage(storage: MapNode, regions: set[str], findings: Findings) -> None:
    if storage.get("adapter") is None and storage.get("supply") is None:
        findings.error(UNREACHABLE, storage.place, "the storage has no `adapter`", "say with `supply` what is needed")
    endpoint = storage.get("endpoint")
    urls = [endpoint.get("is")] if isinstance(endpoint, MapNode) else []
    special = storage.get("endpoints")
    if isinstance(special, MapNode):
        for region, url in special.entries:
            urls.append(url)
            if region not in regions:
                findings.error(UNDECLARED, region.place, f"`{region}` is not a region of this file")
    for url in urls:
        if isinstance(url, Scalar):
            parts = urlsplit(url.text)
            if parts.scheme != "https" or not parts.hostname:
                findings.error(HOST, url.place, f"`{url.text}` is not an https address with a host")


def _keys(node: Node | None) -> tuple[Word, ...]:
    return node.keys() if isinstance(node, MapNode) else ()


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, ListNode) else ()


def _scalar(node: Node | None) -> Scalar | None:
    return node if isinstance(node, Scalar) else None
