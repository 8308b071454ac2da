"""How long a comparison of two policies takes over 1,000,000 objects: 1,000 rules and 50 targets, one thread.

The policy is that of `bench/policy.py`. Against it stands one with other requirements and the same rules, so that one
look at a key serves both, and one with a rule less, so that each key is looked at twice. The inventory is in memory, or
in a file of JSON lines as programs write them, or with metadata in every line, which only a whole JSON reader can read.
Run `python bench/diff.py`.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.policy import NOW, keys, text, world
from sovbroker import policy
from sovbroker.policy.compare import Item, compare, compare_lines

OBJECTS = 1_000_000
WEAKER = ("internal: {store: {european: {}, anywhere: {encrypt: client}}}", "internal: {store: {anywhere: {}}}")
PLACES = (("p0/r0", "p1/r1"), ("p3/r3",), ("p0/r10", "p7/r17"), ())
LABELS = (None, None, "internal", "confidential+personal")


def objects() -> list[Item]:
    """Return the inventory."""
    rng = random.Random(11)  # noqa: S311  # a workload, not a secret
    _, patterns = text(random.Random(7))  # noqa: S311  # as above
    names = keys(rng, patterns)
    return [
        Item(f"{names[index % len(names)]}.{index}", index * 7919 % 5_000_000, LABELS[index % 4], PLACES[index % 3])
        for index in range(OBJECTS)
    ]


def line(item: Item) -> dict[str, object]:
    """Return an object as it is written in JSON."""
    return {"key": item.key, "size": item.size, "label": item.label, "targets": list(item.targets)}


def timed(run: Callable[[], object]) -> float:
    """Return the shorter time of two runs, in seconds."""
    times: list[float] = []
    for _ in range(2):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def rows() -> list[tuple[str, float, str, str]]:
    """Measure, and return (name, value, unit, goal) rows."""
    source, _ = text(random.Random(7))  # noqa: S311  # as above
    targets, holders = world()

    def load(changed: str) -> policy.Policy:
        return policy.loads(changed, targets=targets, keys=holders, at=NOW, clock=lambda: NOW)

    old, demands = load(source), load(source.replace(*WEAKER))
    rules = load("\n".join(row for row in source.splitlines() if "id: r500," not in row))
    inventory = objects()
    day = NOW.date()
    found = [
        ("1 M objects, same rules", timed(lambda: compare(old, demands, inventory, at=day)), "s", "< 2"),
        ("1 M objects, other rules", timed(lambda: compare(old, rules, inventory, at=day)), "s", "< 2"),
        ("labels and samples alone", 1000 * timed(lambda: compare(old, rules, at=day)), "ms", ""),
    ]
    with tempfile.TemporaryDirectory() as folder:
        plain, full = Path(folder) / "plain.jsonl", Path(folder) / "full.jsonl"
        plain.write_text("".join(f"{json.dumps(line(item))}\n" for item in inventory))
        full.write_text("".join(f"{json.dumps({**line(item), 'metadata': {'owner': 'x'}})}\n" for item in inventory))

        def read(file: Path, new: policy.Policy) -> object:
            with file.open("rb") as opened:
                return compare_lines(old, new, opened, at=day)

        found += [
            ("1 M JSON lines, same rules", timed(lambda: read(plain, demands)), "s", "< 2"),
            ("1 M JSON lines, other rules", timed(lambda: read(plain, rules)), "s", ""),
            ("1 M JSON lines of any form", timed(lambda: read(full, demands)), "s", ""),
        ]
    return found


if __name__ == "__main__":
    for name, value, unit, goal in rows():
        print(f"{name:<30}{value:>12,.2f} {unit:<4}{goal}")  # noqa: T201  # this is a command
