"""The rules that a file obeys in how it says that the storage is reached."""

from __future__ import annotations

from collections import Counter
from typing import Final
from urllib.parse import urlsplit

from sovbroker.catalogue.connection import PLACEHOLDER, address_problem
from sovbroker.catalogue.parts import entries, keys, maps, texts
from sovbroker.catalogue.provider import DEFAULT_OFFER
from sovbroker.document import Findings, MapNode, Node, Scalar, Word, suggest

__all__ = ["HOST", "NO_OFFER", "NO_REGION", "UNREACHABLE", "check_names", "check_storage", "offers_of"]

NO_OFFER: Final = "SC017"
"""An offer that the provider does not have there."""

NO_REGION: Final = "SC018"
"""A region that the file does not list."""

HOST: Final = "SC020"
"""An endpoint that is none."""

UNREACHABLE: Final = "SC021"
"""No endpoint for a region, and no word on it."""

DOMAIN_LABELS: Final = 2


def offers_of(node: MapNode) -> tuple[str, ...]:
    """Return the offers that hold for a file's regions; one that names none stores objects."""
    return texts(node.get("offers")) or (DEFAULT_OFFER,)


def check_names(node: Node | None, known: tuple[str, ...], findings: Findings, *, code: str) -> None:
    """Find names that are not among the `known` ones of the file."""
    for name in texts(node):
        if name not in known:
            noun = "offers" if code == NO_OFFER else "regions"
            findings.error(code, name.place, f"`{name}` is not among the file's `{noun}`", suggest(name, known))


def check_storage(node: MapNode, regions: tuple[Word, ...], findings: Findings, *, own: bool) -> None:
    """Check how the storage of a provider's file `node`, which has these `regions`, is reached."""
    storage = node.get("storage")
    if not isinstance(storage, MapNode):
        return
    for face in maps(storage.get("also")):
        _check_face(face, regions, findings, own=own)
    everywhere, covered = _check_face(storage, regions, findings, own=own)
    if storage.get("supply") is not None:
        return
    common = offers_of(node)
    bare = [
        name
        for name, region in entries(node.get("regions"))
        if isinstance(region, MapNode) and DEFAULT_OFFER in (texts(region.get("offers")) or common)
        if not everywhere and name not in covered
    ]
    mend = "say with `supply` what the operator must bring"
    if storage.get("adapter") is None:
        findings.error(UNREACHABLE, storage.place, "the storage has no `adapter`", mend)
    elif bare:
        findings.error(UNREACHABLE, storage.place, f"no endpoint is known for {', '.join(bare)}", mend)


def _check_face(face: MapNode, regions: tuple[Word, ...], findings: Findings, *, own: bool) -> tuple[bool, list[str]]:
    """Check one protocol; return whether an endpoint holds everywhere, and the regions that others name."""
    for name in keys(face.get("signing_region")):
        if name not in regions:
            mend = suggest(name, regions)
            findings.error(NO_REGION, name.place, f"`{name}` is not among the file's `regions`", mend)
    covered: list[str] = []
    everywhere = False
    for endpoint in maps(face.get("endpoints")):
        check_names(endpoint.get("regions"), regions, findings, code=NO_REGION)
        _check_url(endpoint.get("is"), findings, own=own)
        named = texts(endpoint.get("regions"))
        covered += named
        twice = not named and everywhere
        everywhere = everywhere or not named
        if twice or any(count > 1 for name, count in Counter(covered).items() if name in named):
            findings.error(HOST, endpoint.place, "a region has two endpoints", "name each region once")
    return everywhere, covered


def _check_url(url: Node | None, findings: Findings, *, own: bool) -> None:
    """Check that an endpoint is https, and that no placeholder can choose the domain."""
    if not isinstance(url, Scalar):
        return
    if own:
        if why := address_problem(url.text.replace("{region}", "region")):
            findings.error(HOST, url.place, f"`{url.text}` cannot be an endpoint: {why}", "write https:// and the host")
        return
    # A placeholder with a space in it is none; what is left of braces is then refused by what follows.
    filled = PLACEHOLDER.sub("x.placeholder", url.text)
    parts = urlsplit(filled)
    if parts.scheme != "https" or not _written_out(parts.netloc) or "{" in filled or "}" in filled:
        findings.error(
            HOST,
            url.place,
            f"`{url.text}` is not an https address whose domain is written out",
            "write https://, placeholders such as {region}, and the domain, without a port",
        )


def _written_out(host: str) -> bool:
    """Whether a host, in which placeholders are filled, is a name whose domain no placeholder chooses."""
    labels = host.split(".")
    proper = all(label and all(c.isalnum() or c == "-" for c in label) for label in labels)
    fixed = len(labels) > DOMAIN_LABELS and "placeholder" not in labels[-DOMAIN_LABELS:]
    return host.isascii() and proper and fixed
