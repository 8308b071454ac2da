"""Compare the mutants that survived with those that are explained: `make mutants` ends with it.

    python tests/mutants/judge.py          after `mutmut run`

Each survivor needs an explanation in `explained.yaml`, by what was changed: in a function, one text became another.
An explanation without a survivor is stale, and fails like a survivor without an explanation.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

EXPLAINED = Path(__file__).with_name("explained.yaml")
NOTICED = frozenset({"killed", "timeout"})
"""A mutant that hangs was noticed, too."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change that was made: in `function`, the line `was` became `now`. `outcome` is mutmut's word."""

    function: str
    was: str
    now: str
    outcome: str = field(default="survived", compare=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of change that needs no explanation of its own: `was` is matched with the changed line, `now` likewise."""

    name: str
    was: re.Pattern[str]
    now: re.Pattern[str]

    def holds(self, mutant: Mutant) -> bool:
        """Whether a mutant is of this kind."""
        return bool(self.was.search(mutant.was) and self.now.search(mutant.now))


def judge(mutants: Iterable[Mutant], kinds: Iterable[Kind], explained: Iterable[Mutant]) -> list[str]:
    """Return what is wrong, a sentence each."""
    survivors = [mutant for mutant in mutants if mutant.outcome not in NOTICED]
    known, kinds = set(explained), list(kinds)
    found = []
    used: Counter[str] = Counter()
    for mutant in survivors:
        kind = next((kind for kind in kinds if kind.holds(mutant)), None)
        if mutant.outcome != "survived":
            found.append(f"{mutant.function}: {mutant.outcome}: `{mutant.was}` became `{mutant.now}`")
        elif mutant in known:
            continue
        elif kind is not None:
            used[kind.name] += 1
        else:
            found.append(f"{mutant.function}: nobody noticed that `{mutant.was}` became `{mutant.now}`")
    found += [
        f"{mutant.function}: the explanation is stale: `{mutant.was}` to `{mutant.now}`"
        for mutant in sorted(known - set(survivors), key=str)
    ]
    return found + [f"no survivor is of the kind `{kind.name}`" for kind in kinds if not used[kind.name]]


def read(text: str) -> tuple[list[Kind], list[Mutant]]:
    """Read `explained.yaml`. Raises ValueError for an entry without a reason."""
    document = yaml.safe_load(text)
    for entry in (*document["kinds"], *document["survivors"]):
        if not str(entry.get("why", "")).strip():
            raise ValueError(f"{entry} has no `why`")
    kinds = [
        Kind(entry["kind"], re.compile(entry["was"]), re.compile(entry.get("now", ""))) for entry in document["kinds"]
    ]
    survivors = [
        Mutant(entry["in"], entry["was"], now)
        for entry in document["survivors"]
        for now in ([entry["now"]] if isinstance(entry["now"], str) else entry["now"])
    ]
    return kinds, survivors


def changed(diff: str) -> tuple[str, str]:
    """Return the lines that a diff takes away and puts in their place, each kind joined to one text."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    sides = (" / ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    was, now = sides
    return was, now


def found_by_mutmut() -> Iterator[Mutant]:
    """Yield every mutant of the last run."""
    from mutmut.mutation.data import SourceFileMutationData  # noqa: PLC0415 - not installed for development
    from mutmut.mutation.diff_apply import get_diff_for_mutant  # noqa: PLC0415
    from mutmut.stats import status_by_exit_code  # noqa: PLC0415

    for meta in sorted(Path("mutants/src").rglob("*.meta")):
        path = meta.relative_to("mutants").with_suffix("")
        data = SourceFileMutationData(path=path)
        data.load()
        codes: Mapping[str, int | None] = data.exit_code_by_key
        for name, code in codes.items():
            outcome = status_by_exit_code[code]
            function = re.sub(r"__mutmut_\d+$", "", name).replace(".xǁ", ".").replace("ǁ", ".").replace(".x_", ".")
            if outcome in NOTICED:
                yield Mutant(function, "", "", outcome)
            else:
                yield Mutant(function, *changed(get_diff_for_mutant(name, path=path)), outcome)


def main() -> int:
    """Print what is wrong, and how many mutants there were."""
    mutants = list(found_by_mutmut())
    if not mutants:
        print("there are no mutants: run `make mutants`")  # noqa: T201
        return 1
    problems = judge(mutants, *read(EXPLAINED.read_text(encoding="utf-8")))
    print(*problems, sep="\n")  # noqa: T201
    outcomes = Counter(mutant.outcome for mutant in mutants)
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(f"{len(mutants)} mutants: {told}; {len(problems)} to look at")  # noqa: T201
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
