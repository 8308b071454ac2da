"""How fast the policy decides: 1,000 rules and 50 targets, one thread, against a plain interpreter in the same run.

The workload is made from a fixed seed: most rules name a directory (`hr/payroll/**`), some a file ending
(`**/*.dcm`), a few look inside (`**/secret/**`, `logs/*/2026/**`), and two look at metadata. Keys are of every depth,
two in three under a rule; every fourth caller brings a label. Run `python bench/policy.py`.
"""

from __future__ import annotations

import fnmatch
import gc
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

from sovbroker import policy
from sovbroker.catalogue.facts import (
    Basis,
    Confidence,
    Evidence,
    Fact,
    Facts,
    KeyHolder,
    Qualification,
    Status,
    Target,
)
from sovbroker.policy import Policy

RULES = 1_000
TARGETS = 50
KEYS = 20_000
ENDINGS = {2}
NOW = datetime(2026, 11, 24, tzinfo=UTC)
LABELS = ("public", "internal", "confidential", "restricted", "confidential+personal", "restricted+health")

HEAD = """\
sovbroker: 1
name: bench
levels: [public, internal, confidential, restricted]
zones:
  sovereign: {located: [FR], controlled: [EEA], qualified: [secnumcloud>=3.2]}
  european: {located: [EEA], controlled: [EEA]}
  anywhere: {}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {european: {}, anywhere: {encrypt: client}}}
  confidential:
    store: {sovereign: {}, european: {encrypt: client}, anywhere: {encrypt: client, names: encrypt, keys: european}}
    copies: {count: 2, distinct: [provider]}
  restricted:
    store: {sovereign: {encrypt: client, keys: european}}
    copies: {count: 2, distinct: [provider, site]}
    waivable: false
  personal: {store: {european: {}, anywhere: {encrypt: client, keys: european}}}
  health: {where: {located: [EEA]}}
classify:
"""


def text(rng: random.Random) -> tuple[str, list[str]]:
    """Return a policy of `RULES` rules, and its patterns."""
    patterns: list[str] = []
    for index in range(RULES):
        if index % 100 == 0:
            patterns.append(f"**/vault{index}/**")
        elif index % 50 == 1:
            patterns.append(f"logs/{index}/*/raw/**")
        elif index % 10 in ENDINGS:
            patterns.append(f"**/*.e{index}")
        else:
            depth = rng.choice((1, 2, 2, 3, 4))
            patterns.append("/".join(["d" + str(index % 97), *(f"s{rng.randrange(40)}" for _ in range(depth))]) + "/**")
    lines = [f'  - {{id: r{i}, path: "{p}", label: {LABELS[i % len(LABELS)]}}}' for i, p in enumerate(patterns)]
    return HEAD + "\n".join(lines) + "\n", patterns


def world() -> tuple[list[Target], list[KeyHolder]]:
    """Return `TARGETS` targets of ten providers, and two key services."""
    known = Evidence(Basis.VERIFIED, Confidence.HIGH)

    def facts(located: str, controlled: str, *, qualified: bool = False) -> Facts:
        until = Evidence(Basis.VERIFIED, Confidence.HIGH, expires=date(2028, 1, 1))
        return Facts(
            Fact(frozenset({located}), known),
            Fact(frozenset({controlled}), known),
            Fact(None, known),
            (Qualification("secnumcloud", Status.QUALIFIED, until, (3, 2)),) if qualified else (),
        )

    countries = ("FR", "FR", "DE", "NL", "IE", "US", "CH", "ES", "IT", "PL")
    targets = [
        Target(
            id=f"p{i % 10}/r{i}",
            provider=f"p{i % 10}",
            region=f"r{i}",
            facts=facts(countries[i % 10], "US" if i % 3 == 0 else "FR", qualified=i % 10 in {0, 1} and i % 3 != 0),
            site=f"site{i}",
            cost=Decimal(i % 7) / 100,
        )
        for i in range(TARGETS)
    ]
    return targets, [KeyHolder("main", facts("FR", "FR")), KeyHolder("other", facts("US", "US"))]


def keys(rng: random.Random, patterns: list[str]) -> list[str]:
    """Return keys of every kind: under a directory rule, with a listed ending, inside, and under none."""
    found: list[str] = []
    for index in range(KEYS):
        tail = "/".join(f"x{rng.randrange(1000)}" for _ in range(rng.randrange(1, 4)))
        if index % 3 == 0:
            found.append(f"else{rng.randrange(50)}/{tail}.bin")
        else:
            pattern = patterns[rng.randrange(len(patterns))]
            found.append(pattern.replace("**/*", f"{tail}").replace("**", tail).replace("*", "x"))
    return found


def naive(patterns: list[str], masks: list[int], key: str) -> int:
    """Classify as a plain loop would: every pattern against the key."""
    mask = 0
    for pattern, own in zip(patterns, masks, strict=True):
        if fnmatch.fnmatchcase(key, pattern):
            mask |= own
    return mask


def best(run: Callable[[], object], repeat: int) -> float:
    """Return the shortest time of several runs, in seconds."""
    times: list[float] = []
    gc.disable()
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    gc.enable()
    return min(times)


def rows() -> list[tuple[str, float, str, str]]:
    """Measure, and return (name, value, unit, goal) rows."""
    rng = random.Random(7)  # noqa: S311  # a workload, not a secret
    source, patterns = text(rng)
    targets, holders = world()
    loaded = policy.loads(source, targets=targets, keys=holders, at=NOW, clock=lambda: NOW)
    names = keys(rng, patterns)
    masks = [0 if i % 4 else loaded.lattice.mask_of_text(LABELS[i % len(LABELS)]) for i in range(KEYS)]
    work = list(zip(names, masks, strict=True))
    day = NOW.toordinal()
    route = loaded.route

    def decide_all() -> None:
        for name, mask in work:
            route(name, mask, day)

    def floor() -> None:
        for _name, _mask in work:
            pass

    def naive_some() -> None:
        for name, mask in work[:50]:
            naive(patterns, rule_masks, name) | mask  # pyright: ignore[reportUnusedExpression]  # timed for its cost

    rule_masks = [rule.mask for rule in loaded.book.rules]
    decide_all()
    per_decision = best(decide_all, 7) / KEYS
    per_naive = best(naive_some, 3) / 50
    single: list[float] = []
    for name, mask in work:
        start = time.perf_counter_ns()
        route(name, mask, day)
        single.append((time.perf_counter_ns() - start) / 1000)
    single.sort()
    compile_time = best(lambda: fresh(loaded), 7)
    explain = best(lambda: [loaded.decide(name, at=NOW) for name in names[:2000]], 3) / 2000
    load_time = best(lambda: policy.loads(source, targets=targets, keys=holders, at=NOW, clock=lambda: NOW), 3)
    classify = best(lambda: [loaded.classify(name) for name in names[:5000]], 3) / 5000
    return [
        ("decisions", 1 / per_decision, "/s", ">= 800000"),
        ("decisions, the loop alone", KEYS / best(floor, 7), "/s", ""),
        ("decision, median", statistics.median(single), "us", ""),
        ("decision, p99", single[int(len(single) * 0.99)], "us", "< 5"),
        ("naive loop of patterns", 1 / per_naive, "/s", ""),
        ("decisions / naive loop", per_naive / per_decision, "x", ""),
        ("compile", compile_time * 1000, "ms", "< 5"),
        ("load, with YAML", load_time * 1000, "ms", ""),
        ("explain", explain * 1e6, "us", "<= 40"),
        ("classify with rule ids", classify * 1e6, "us", ""),
    ]


def fresh(loaded: Policy) -> None:
    """Compile again from what is loaded: the matcher, the table of today, and the cell of every rule's label."""
    again = Policy(loaded.book, loaded.world, clock=lambda: NOW)
    for mask in {rule.mask for rule in loaded.book.rules}:
        again.placement(mask)


if __name__ == "__main__":
    for name, value, unit, goal in rows():
        print(f"{name:<26}{value:>16,.2f} {unit:<4}{goal}")  # noqa: T201  # this is a command
