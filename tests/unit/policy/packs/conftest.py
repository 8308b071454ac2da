"""Policies that extend packs, over the shipped catalogue or over a world of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, cached_property
from pathlib import Path

import pytest

from sovbroker import catalogue
from sovbroker import policy as policies
from sovbroker.catalogue.facts import KeyHolder, Target
from sovbroker.policy import Mode, Policy
from sovbroker.policy.documents import PackDoc

PACKS = (
    "core-fail-closed",
    "eu-cada-preview",
    "eu-gdpr-schrems2",
    "eu-seal",
    "fr-classified",
    "fr-dr",
    "fr-hds",
    "fr-secnumcloud",
    "fr-sren-art31",
)

ROOT = """
sovbroker: 1
name: everyone
extends: [{extends}]
levels: [public, internal, confidential, restricted]
zones: {{anywhere: {{}}}}
require:
  public: {{store: {{anywhere: {{}}}}, compute: [anywhere]}}
  internal: {{basis: "our own rules"}}
classify:
  - {{id: personal, path: "personal/**", label: personal}}
  - {{id: health, path: "health/**", label: health}}
  - {{id: sren31, path: "sren31/**", label: sren31}}
  - {{id: dr, path: "dr/**", label: dr}}
  - {{id: classified, path: "classified/**", label: classified}}
{more}
"""
"""A policy that asks for nothing by itself and knows every category, so that what is asked for is the packs'."""


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """An example of a pack: its policy, and the cases beside it."""

    policy: Path
    cases: Path


class Shelf:
    """The shipped packs, and policies that extend them."""

    names = PACKS
    freeze = date(2026, 11, 25)
    """The day on which the shipped facts are looked at."""

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        return catalogue.load().targets()

    @cached_property
    def folders(self) -> Mapping[str, Path]:
        return {name: Path(str(file)).parent for name, file in policies.packs().items()}

    def pairs(self, name: str) -> list[Pair]:
        cases = sorted(self.folders[name].glob("*.tests.yaml"))
        return [Pair(file.with_name(file.name.replace(".tests.yaml", ".yaml")), file) for file in cases]

    def extending(
        self,
        packs: Iterable[str],
        *,
        targets: Sequence[Target] | None = None,
        keys: Sequence[KeyHolder] = (),
        day: date | None = None,
        more: str = "",
    ) -> Policy:
        """Load a policy that extends `packs`, each a name or a map in YAML."""
        extends = ", ".join(packs)
        text = ROOT.format(extends=extends, more=more)
        if not extends:
            text = text.replace("extends: []\n", "")
        now = midnight(day or self.freeze)
        places = self.targets if targets is None else targets
        return policies.loads(text, targets=places, keys=keys, at=now, clock=lambda: now)

    @cache  # noqa: B019  # one shelf for the whole run
    def about(self, name: str) -> PackDoc:
        """Return what a pack says about itself."""
        found = next(p.document.pack for p in self.extending([name]).parts if p.document.pack is not None)
        assert found is not None
        return found

    def complying(
        self, policy: Policy, label: str, *, day: date | None = None, operation: str = "put"
    ) -> Mapping[str, Mode]:
        """Return where an object that is labelled so, and nothing more, may be, and in which mode."""
        # The rule of the category takes the default's place, which would raise the label to the strictest.
        key = f"{label.rsplit('+', 1)[-1]}/x"
        now = midnight(day or self.freeze)
        decided = policy.decide(key, label=label, operation=operation, at=now)
        found = {choice.target: choice.mode for choice in (*decided.targets, *decided.alternatives)}
        assert {target.id for target in policy.world.targets} == found.keys() | decided.rejected.keys()
        return found


@pytest.fixture(scope="session")
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(params=PACKS)
def pack(request) -> str:
    return request.param
