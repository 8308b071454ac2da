"""A small policy to test, a way to write cases for it in a few words, and a policy that has everything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from sovbroker.policy.trial import try_policy

POLICY = """
sovbroker: 1
name: small
levels: [public, internal, secret]
default: secret
categories: {kept: {}}
zones:
  french: {located: [FR], controlled: [EEA]}
  european: {located: [EEA]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}, compute: [anywhere]}
  internal:
    store: {european: {}, anywhere: {encrypt: client}}
    compute: [european]
  secret: {store: {french: {encrypt: client, keys: french}}, basis: a law}
  personal: {}
  kept: {copies: {count: 2, distinct: [provider]}, retain: {min: 30d, max: 10y}, pad: true}
classify:
  - {id: pub, path: "public/**", label: public}
  - {id: int, path: "internal/**", label: internal+kept}
  - {id: nir, content: fr.nir, min: 2, label: secret}
  - {id: tag, meta: {class: C2}, label: internal}
waivers:
  - id: W-1
    path: "internal/old/**"
    label: internal+kept
    store: {anywhere: {}}
    reason: migration
    owner: dpo@acme.example
    approved: [rssi@acme.example, dpo@acme.example]
    expires: 2026-12-31
prefer: [cost]
"""
TARGETS = {
    "lab/paris": {"located": ["FR"], "controlled": ["FR"], "cost": "0.03"},
    "lab/rome": {"located": ["IT"], "controlled": ["IT"], "cost": "0.02"},
    "far/east": {"located": ["US"], "controlled": ["US"], "cost": "0.01"},
}
KEYS = {"hsm": {"located": ["FR"], "controlled": ["FR"]}}
FULL = Path(__file__).with_name("full.yaml")


@dataclass(frozen=True)
class Desk:
    """Writes policies and cases into a folder, and tries them."""

    folder: Path
    full = FULL
    small = POLICY

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
        return path

    def cases(self, *cases, targets=TARGETS, keys=KEYS, at="2026-11-24", **head):
        head = {"sovbroker-tests": "1", "at": at, "targets": targets, "keys": keys, **head}
        return {**{name: value for name, value in head.items() if value is not None}, "cases": list(cases)}

    def files(self, *cases, policy=POLICY, **head):
        """Write a policy and its cases; return the policy's path."""
        self.write("p.tests.yaml", self.cases(*cases, **head))
        return self.write("p.yaml", policy)

    def test(self, *cases, policy=POLICY, mutate=False, strict=False, **head):
        """Try the small policy with cases, without mutants."""
        return try_policy(self.files(*cases, policy=policy, **head), mutate=mutate, strict=strict)

    def one(self, key, expect, *, head=None, **case):
        """Try one case; return the words of what fails."""
        trial = self.test({"id": "one", "key": key, **case, "expect": expect}, **(head or {}))
        return trial.results[0].failures


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)
