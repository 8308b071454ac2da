"""Providers of the operator's own: the form of a provider's file, with the operator's documents as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from sovbroker.catalogue.attestation import Acceptance, Attestation, Vouched
from sovbroker.catalogue.forms import Forms
from sovbroker.catalogue.overlaydocs import ACCEPTANCE, CODES, Attested, bounded, evidence_of
from sovbroker.catalogue.provider import DEFAULT_OFFER, Compute, Grant, Provider
from sovbroker.catalogue.rules import check
from sovbroker.catalogue.schema import body
from sovbroker.catalogue.storage import Storage
from sovbroker.catalogue.words import KEY
from sovbroker.document import Field, Findings, MapNode, Node, Record, Scalar, Word, decode, required

__all__ = ["own_provider", "settings_beside"]

Settings = Mapping[str, str | int | bool]

OPTIONAL: Final = ("tier", "offers", "exposures", "qualifications", "compute")
TIER: Final = "own"
"""The tier of a provider that names none."""

PATHS: Final = ("ca-bundle",)
"""Settings that are paths."""


@dataclass(frozen=True, slots=True)
class _Vouching:
    """The attestation of one fact, accepted by whoever accepts the provider."""

    attested: Attested
    accepted: Acceptance | None

    def decode(self, node: Node, findings: Findings) -> Vouched:
        return evidence_of(self.attested.decode(node, findings), self.accepted)


def own_provider(name: Word, node: Node, attested: Attested, findings: Findings, *, folder: Path) -> Provider | None:
    """Return the provider that stands under `name`, or None; `findings` then say why.

    A fact that names no attestation of its own has the provider's. Paths in its settings are relative to `folder`.
    """
    decode(Scalar(name, name.place), KEY, findings)
    accepted = default = None
    if isinstance(node, MapNode):
        # All of its facts hang on these two; where one is wrong or missing, decoding the whole says so.
        silent = Findings(CODES)
        accepted = decode(node.get("accept_relaxation"), ACCEPTANCE, silent)
        default = decode(node.get("attestation"), attested, silent)
    fields = body(Forms("attestation", _Vouching(attested, accepted), evidence_of(default, accepted)))
    fields |= {key: Field(fields[key].shape, needed=False) for key in OPTIONAL}
    fields |= {"attestation": required(attested), "accept_relaxation": required(ACCEPTANCE)}
    build = partial(_provider, id=str(name), folder=folder)
    found = decode(node, Record(build, fields, names={"qualifications": "grants"}), findings)
    if isinstance(node, MapNode):
        check(node, findings, own=True)
    return found


def settings_beside(settings: Settings, folder: Path) -> dict[str, str | int | bool]:
    """Return settings whose paths are relative to `folder`."""
    return {str(key): str(folder / str(value)) if key in PATHS else value for key, value in settings.items()}


def _provider(
    *,
    folder: Path,
    storage: Storage,
    attestation: Attestation,
    accept_relaxation: Acceptance,
    grants: tuple[Grant, ...] = (),
    **rest: object,
) -> Provider:
    del attestation, accept_relaxation  # every fact has them
    also = tuple(replace(face, settings=settings_beside(face.settings, folder)) for face in storage.also)
    return Provider(
        storage=replace(storage, settings=settings_beside(storage.settings, folder), also=also),
        grants=tuple(replace(g, qualification=bounded(g.qualification, since=g.since)) for g in grants),
        **({"tier": TIER, "offers": (DEFAULT_OFFER,), "sources": {}, "compute": Compute("none")} | rest),  # type: ignore[arg-type]  # the shapes have checked the types
    )
