"""How long `policy check` takes to prove a policy of 64 labels over 200 targets, and what the proof covers.

Four levels and four categories make 64 labels; the targets differ in country, control, qualification and its end, so
that there are several epochs. Run `python -m bench prove`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, date, datetime

from bench.policy import world
from sovbroker import policy
from sovbroker.catalogue.facts import Evidence, Target
from sovbroker.policy.prove import prove

TARGETS = 200
ENDS = tuple(date(2027 + index // 12, index % 12 + 1, 1) for index in range(12))
NOW = datetime(2026, 11, 24, tzinfo=UTC)
TEXT = """
sovbroker: 1
name: bench
levels: [public, internal, confidential, restricted]
categories: {alpha: {}, beta: {}, gamma: {}, delta: {}}
zones:
  sovereign: {located: [FR], controlled: [EEA], qualified: [secnumcloud>=3.2]}
  european: {located: [EEA], controlled: [EEA]}
  near: {located: [EEA, adequate]}
  certified: {qualified: [hds]}
  named: {provider: [p1, p2, p3]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}, compute: [anywhere]}
  internal: {store: {european: {}, anywhere: {encrypt: client}}, compute: [european]}
  confidential:
    store: {sovereign: {}, european: {encrypt: client}, anywhere: {encrypt: client, names: encrypt, keys: european}}
    copies: {count: 2, distinct: [provider]}
  restricted:
    store: {european: {encrypt: client, keys: european}}
    copies: {count: 2, distinct: [provider, site]}
  alpha: {where: {located: [EEA, adequate]}}
  beta: {store: {near: {}, anywhere: {encrypt: client, keys: european}}}
  gamma: {store: {named: {}, european: {encrypt: client}}}
  delta: {deny: [p7, p8]}
classify:
  - {id: a, path: "a/**", label: internal+alpha}
  - {id: b, path: "b/**", label: confidential+beta}
  - {id: c, path: "c/**", label: restricted+gamma+delta}
always:
  - {id: home, label: restricted, outside: [european], demand: refused}
  - {id: sealed, label: confidential, outside: [european], demand: {encrypt: client}}
"""


def targets() -> list[Target]:
    """Return `TARGETS` targets whose qualifications end on different days."""
    base, found = world()[0], list[Target]()
    for index in range(TARGETS):
        own = base[index % len(base)]
        until = ENDS[index % len(ENDS)]
        qualified = tuple(replace(q, evidence=ending(q.evidence, until)) for q in own.facts.qualified)
        name = f"{own.provider}/t{index}"
        facts = replace(own.facts, qualified=qualified)
        found.append(replace(own, id=name, region=f"t{index}", site=f"site{index}", facts=facts))
    return found


def ending(evidence: Evidence, day: date) -> Evidence:
    """Return evidence that ends on a day."""
    return replace(evidence, expires=day)


def rows() -> list[tuple[str, float, str, str]]:
    """Measure, and return (name, value, unit, goal) rows."""
    times: list[float] = []
    for _ in range(3):
        loaded = policy.loads(TEXT, targets=targets(), keys=world()[1], at=NOW, clock=lambda: NOW)
        start = time.perf_counter()
        proof = prove(loaded, at=NOW.date())
        times.append(time.perf_counter() - start)
    if not proof.holds:
        raise AssertionError(str(proof))
    numbers = proof.numbers
    return [
        (f"{numbers['labels']} labels, {TARGETS} targets", min(times), "s", "< 1"),
        ("kinds of possible targets", float(numbers["possible_targets"]), "", ""),
        ("epochs", float(numbers["epochs"]), "", ""),
    ]
