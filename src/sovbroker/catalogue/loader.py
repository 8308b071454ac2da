"""The catalogue as a whole: providers by id, targets by reference, and how to reach each."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, assert_never

from sovbroker.catalogue.connection import Connection
from sovbroker.catalogue.facts import Target
from sovbroker.catalogue.overlay import Overlay
from sovbroker.catalogue.overlaying import read_overlay
from sovbroker.catalogue.provider import DEFAULT_OFFER, Provider
from sovbroker.catalogue.reaching import bound_connection, face_connection
from sovbroker.catalogue.rules import check
from sovbroker.catalogue.schema import CODES, provider_of
from sovbroker.document import Findings, ListNode, MapNode, Node, Scalar, read, suggest
from sovbroker.errors import ConfigError

__all__ = ["SUFFIX", "Catalogue", "load", "shipped"]

SUFFIX: Final = ".yaml"
"""What the name of a provider's file ends with; the rest of it is the provider's id."""

REFERENCE: Final = re.compile(r"(?P<provider>[^/@]+)/(?:(?P<offer>[^/@]+)@)?(?P<region>[^/@]+)")


class Catalogue:
    """The providers of a folder, one YAML file each, read when they are first asked for. Safe to share by threads.

    A file that breaks a rule is refused as a whole, with every finding, when it is read.
    """

    def __init__(self, folder: Traversable, *, overlay: Overlay | None = None) -> None:
        names = ((item.name.removesuffix(SUFFIX), item) for item in folder.iterdir() if item.name.endswith(SUFFIX))
        self._files = dict(sorted(names, key=lambda pair: pair[0]))
        self._digests: dict[str, bytes] = {}
        self._read: dict[str, Provider] = {}
        self._lock = threading.RLock()
        self.overlay = overlay
        """What the operator lays over it, or None."""

    def __repr__(self) -> str:
        """Count the providers."""
        return f"<catalogue of {len(self._files)} providers>"

    @property
    def providers(self) -> Sequence[str]:
        """The ids of the providers, sorted."""
        return tuple(sorted({*self._files, *self._own}))

    @property
    def _own(self) -> Mapping[str, Provider]:
        return {} if self.overlay is None else self.overlay.own

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what the files say, in hexadecimal digits: comments, layout and order of keys do not change it.

        What is laid over them is part of it. It reads every file. Raises ConfigError for one that is not YAML.
        """
        whole = hashlib.sha256()
        for name in self._files:
            with self._lock:
                if name not in self._digests:
                    self._parse_file(name)
                whole.update(b"%d:%b%b" % (len(name), name.encode(), self._digests[name]))
        if self.overlay is not None:
            whole.update(f"overlay {self.overlay.digest}".encode())
        return whole.hexdigest()

    def provider(self, name: str) -> Provider:
        """Return a provider. Raises ConfigError with a suggestion, or with what is wrong with its file."""
        with self._lock:
            if name not in self._read:
                if name not in self.providers:
                    raise ConfigError(f"unknown provider `{name}`; {suggest(name, self.providers)}")
                self._read[name] = self._own[name] if name in self._own else self._decode(name)
            return self._read[name]

    def target(self, reference: str) -> Target:
        """Return the target that `provider/region` or `provider/offer@region` names. Raises ConfigError."""
        provider, offer, region = self._resolve(reference)
        return self._target(provider, offer, region)

    def targets(self, offer: str = DEFAULT_OFFER) -> tuple[Target, ...]:
        """Return every target of one offer, sorted by id."""
        every = (self.provider(name) for name in self.providers)
        found = (self._target(p, offer, region) for p in every for region in p.regions if offer in p.offers_in(region))
        return tuple(sorted(found, key=lambda target: target.id))

    def connection(self, reference: str, *, adapter: str | None = None) -> Connection:
        """Return how to reach the object storage of a target: in the usual way, or by another `adapter`.

        What the operator's overlay binds comes before what the catalogue knows. Raises ConfigError for what is unknown,
        stores nothing, or cannot be reached by that adapter.
        """
        provider, offer, region = self._resolve(reference)
        if offer != DEFAULT_OFFER:
            raise ConfigError(f"`{reference}` does not store objects; write `{provider.id}/{region}` for the storage")
        target, storage = f"{provider.id}/{region}", provider.storage
        bound = None if self.overlay is None else self.overlay.binding(target)
        if bound is not None and adapter in {None, bound.adapter}:
            return bound_connection(bound, target, storage, region=region)
        if adapter is None:
            return face_connection(storage, target, storage, region=region, own=provider.id in self._own)
        faces = {str(face.adapter): face for face in storage.faces(region)}
        if adapter not in faces:
            known = [*faces, *([bound.adapter] if bound is not None else [])]
            mend = f"it can be by {', '.join(f'`{name}`' for name in known)}" if known else storage.supply
            raise ConfigError(f"`{target}` cannot be reached by the adapter `{adapter}`; {mend}")
        return face_connection(faces[adapter], target, storage, region=region, own=provider.id in self._own)

    def _target(self, provider: Provider, offer: str, region: str) -> Target:
        found = provider.target(region, offer=offer)
        return found if self.overlay is None else self.overlay.over(found)

    def _resolve(self, reference: str) -> tuple[Provider, str, str]:
        found = REFERENCE.fullmatch(reference)
        if found is None:
            raise ConfigError(
                f"`{reference}` names no target; write `provider/region`, such as `outscale/eu-west-2`, or "
                "`provider/offer@region`"
            )
        provider, region, offer = self.provider(found["provider"]), found["region"], found["offer"] or DEFAULT_OFFER
        if region not in provider.regions:
            raise ConfigError(f"`{provider.id}` has no region `{region}`; {suggest(region, provider.regions)}")
        offers = provider.offers_in(region)
        if offer not in offers:
            where = f"`{provider.id}` offers no `{offer}` in `{region}`"
            raise ConfigError(f"{where}; {suggest(offer, offers) or 'nothing is known of what it offers there'}")
        return provider, offer, region

    def _parse_file(self, name: str) -> Node:
        """Read a file, and keep its digest, so that it is read once in most cases."""
        findings = Findings(CODES)
        node = read(self._files[name].read_bytes(), f"{name}{SUFFIX}", findings)
        if node is None or findings.failed:
            raise ConfigError("\n\n".join(map(str, findings.diagnostics)))
        self._digests[name] = hashlib.sha256(_canonical(node)).digest()
        return node

    def _decode(self, name: str) -> Provider:
        findings = Findings(CODES)
        node = self._parse_file(name)
        provider = provider_of(node, name, findings)
        if isinstance(node, MapNode):
            check(node, findings)
        if provider is None or findings.failed:
            raise ConfigError("\n\n".join(str(found) for found in findings.diagnostics if found.severity == "error"))
        return provider


def load(path: Path | None = None, *, overlay: Path | None = None, today: date | None = None) -> Catalogue:
    """Return the catalogue of a folder; None: the shipped one. `overlay` is the operator's file that lies over it.

    `today` is the day after which no document of the overlay can have been issued (UTC; default: the clock's). Raises
    ConfigError when there is no such folder, and with every finding about the overlay.
    """
    if path is not None and not path.is_dir():
        raise ConfigError(f"there is no folder `{path}` to read a catalogue from")
    folder = path if path is not None else shipped()
    if overlay is None:
        return Catalogue(folder)
    day = today or datetime.now(UTC).date()
    return Catalogue(folder, overlay=read_overlay(overlay, Catalogue(folder), today=day, canonical=_canonical))


def shipped() -> Traversable:
    """Return the folder of the shipped provider files."""
    return files("sovbroker.catalogue") / "providers"


def _canonical(node: Node) -> bytes:
    """Return bytes that two nodes share just when they say the same."""
    match node:
        case Scalar():
            text = node.text.encode()
            return b"s%d:%b" % (len(text), text)
        case ListNode():
            return b"l%d:%b" % (len(node.items), b"".join(map(_canonical, node.items)))
        case MapNode():
            pairs = sorted(((key.encode(), value) for key, value in node.entries), key=lambda pair: pair[0])
            body = (b"k%d:%b%b" % (len(key), key, _canonical(value)) for key, value in pairs)
            return b"m%d:%b" % (len(pairs), b"".join(body))
        case _:
            assert_never(node)
