"""The same inputs give the same decision, hash for hash: in another process, in any order, on another machine.

The digests in `tests/vectors/decisions/digests.json` were made once. A change of one is a change of what a decision
says: make them anew with `python tests/unit/policy/test_golden.py`, and say in the changelog why.
"""

import json
import os
import random
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from sovbroker import policy as policies
from sovbroker.catalogue.facts import (
    Basis,
    Confidence,
    Evidence,
    Fact,
    Facts,
    KeyHolder,
    Qualification,
    SealScore,
    Status,
    Target,
)
from sovbroker.detect import Scan

FOLDER = Path(__file__).parents[2] / "vectors" / "decisions"
DAYS = (
    datetime(2026, 11, 24, 23, 59, tzinfo=UTC),
    datetime(2026, 12, 31, tzinfo=UTC),
    datetime(2028, 1, 1, tzinfo=UTC),
)
KEYS = ("public/logo.png", "hr/pay.csv", "hr/legacy/1999/pay.csv", "elsewhere", "école/é")
LABELS = (None, "public", "internal", "confidential", "restricted", "restricted+personal")


def facts(located, controlled, *, qualified=(), seal=()):
    known = Evidence(Basis.VERIFIED, Confidence.HIGH)
    return Facts(
        Fact(frozenset(located), known), Fact(frozenset(controlled), known), Fact(None, known), qualified, seal
    )


def world():
    until = Evidence(Basis.VERIFIED, Confidence.HIGH, expires=date(2027, 6, 1))
    snc = (Qualification("secnumcloud", Status.QUALIFIED, until, (3, 2)),)
    score = (SealScore("1.2.1", "ec", (("SOV-1", 3), ("SOV-2", 3)), until),)
    targets = [
        Target("p1/paris", "p1", "paris", facts(["FR"], ["FR"], qualified=snc), site="a", cost=Decimal("0.02")),
        Target("p2/lyon", "p2", "lyon", facts(["FR"], ["FR"], qualified=snc), site="b", cost=Decimal("0.01")),
        Target("p3/berlin", "p3", "berlin", facts(["DE"], ["DE"], seal=score), latency=Decimal(9)),
        Target("p4/zurich", "p4", "zurich", facts(["CH"], ["CH"])),
        Target("p5/paris", "p5", "paris", facts(["FR"], ["US"], seal=score)),
        Target("p6/ohio", "p6", "ohio", facts(["US"], ["US"])),
    ]
    keys = [KeyHolder("home", facts(["FR"], ["FR"], qualified=snc)), KeyHolder("away", facts(["US"], ["US"]))]
    return targets, keys


def digests(seed=0):
    targets, keys = world()
    shuffled = random.Random(seed)
    shuffled.shuffle(targets)
    shuffled.shuffle(keys)
    text = (FOLDER / "policy.yaml").read_bytes()
    policy = policies.loads(text, file="golden.yaml", targets=targets, keys=keys, at=DAYS[0], clock=lambda: DAYS[0])
    found = {"policy": policy.digest, "catalogue": policy.world.catalogue}
    asked = [
        (at, key, label, operation)
        for at in DAYS
        for key in KEYS
        for label in LABELS
        for operation in ("put", "compute")
    ]
    shuffled.shuffle(asked)
    for at, key, label, operation in asked:
        for name, scan in (("", None), ("+nir", Scan({"fr.nir": 2}))):
            for meta in ({}, {"confidentiality": "C3"}):
                decision = policy.decide(key, label=label, metadata=meta, operation=operation, at=at, scan=scan)
                found[f"{at:%Y-%m-%d} {operation} {key} {label}{name}{' C3' * bool(meta)}"] = decision.digest
    return dict(sorted(found.items()))


def test_every_digest_is_the_one_on_record():
    golden = json.loads((FOLDER / "digests.json").read_text())
    assert len(golden) > 700
    assert len(set(golden.values())) > 100
    assert digests(seed=1) == golden


def test_another_process_with_other_hashes_agrees():
    golden = (FOLDER / "digests.json").read_text()
    for seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Pacific/Kiritimati", "LC_ALL": "C"}
        told = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, check=True, text=True)
        assert told.stdout == golden


if __name__ == "__main__":
    sys.stdout.write(json.dumps(digests(), indent=0) + "\n")
