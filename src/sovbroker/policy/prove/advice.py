"""What a policy could do without, and what may not be meant so: warnings about the file that was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sovbroker.detect import Scan
from sovbroker.document import Findings, Word
from sovbroker.policy import codes
from sovbroker.policy.glob import Glob
from sovbroker.policy.inclusion import Undecided, includes, witness
from sovbroker.policy.policy import Policy
from sovbroker.policy.prove.outcomes import Outcomes
from sovbroker.policy.prove.places import Places
from sovbroker.policy.rulebook import Requirement, Rule
from sovbroker.policy.table import Scope, Table

__all__ = ["Advice"]

ANY: Final = Glob("**")
MONEY: Final = ("cost", "latency")
WILD: Final = re.compile(r"[*?]")
ENDING: Final = re.compile(r"\*\*/\*[^*?/]+")


@dataclass(frozen=True, slots=True)
class Advice:
    """Warns of what a policy could do without, and of what may not be meant so."""

    policy: Policy
    places: Places
    findings: Findings

    def alternatives(self, outcomes: Outcomes) -> None:
        """Warn of an alternative without which every possible target would have the modes that it has.

        To look at the lowest label that meets the requirement is enough: what changes nothing there changes nothing
        where more is demanded.
        """
        gone: list[tuple[Requirement, str]] = []
        for requirement, zone, place in self.places.alternatives():
            mask = self.policy.lattice.mask_of_text(requirement.element)
            if outcomes.without(mask, [*gone, (requirement, zone)]) == outcomes.store(mask):
                gone.append((requirement, zone))
                self.findings.warning(
                    codes.NEVER_MINIMAL,
                    place,
                    f"nothing is ever stored by `{requirement.element}` in zone `{zone}`: wherever it applies, "
                    "another alternative asks no more, or the label may not go there",
                    "remove it, or ask less there",
                )

    def rules(self) -> None:
        """Warn of a rule of which another one says as much or more, for every object that it matches."""
        rules = {rule.id: rule for rule in self.policy.book.rules}
        gone: set[str] = set()
        for rule in self.policy.book.rules:
            if not self.places.own_rule(rule.id):
                continue
            other = next((o for o in self._also(rule, rules) if o.id not in gone and _covers(o, rule)), None)
            if other is not None:
                gone.add(rule.id)
                self.findings.warning(
                    codes.REDUNDANT_RULE,
                    self.places.rule(rule.id),
                    f"rule `{rule.id}` adds nothing: `{other.id}` matches whatever it matches, and gives "
                    f"`{self.policy.lattice.label(other.mask)}`",
                    "remove it, or make its label stricter",
                )

    def _also(self, rule: Rule, rules: dict[str, Rule]) -> Iterable[Rule]:
        """Return the other rules that match one object that a rule matches: no more can cover it."""
        try:
            key = witness([rule.path or ANY], tidy=True)
        except Undecided:
            return ()
        content = rule.content
        scan = None if content is None else Scan({content.detector: content.least})
        found = self.policy.classify(key or "", metadata=dict(rule.meta), scan=scan)
        return [rules[name] for name in found.rules if name in rules and name != rule.id]

    def ranking(self, table: Table) -> None:
        """Warn where money goes before trust, and there are targets of different trust for one label today."""
        first = self.policy.book.prefer[0] if self.policy.book.prefer else ""
        if first not in MONEY:
            return
        lattice = self.policy.lattice
        trust: dict[int, list[int]] = {}
        for number, level in enumerate(lattice.levels):
            for option in table.place(Scope(lattice.mask_of_text(level))).ranked:
                trust.setdefault(option.target, [-1] * len(lattice.levels))[number] = option.code
        for level in lattice.levels:
            complying = [option.target for option in table.place(Scope(lattice.mask_of_text(level))).ranked]
            by_trust = {tuple(trust[target]): target for target in reversed(complying)}
            if len(by_trust) > 1:
                one, other = list(by_trust.values())[:2]
                names = sorted((table.world.targets[one].id, table.world.targets[other].id))
                self.findings.warning(
                    codes.RANKING,
                    self.places.prefer,
                    f"`{first}` decides before trust: `{level}` may go to `{names[0]}` and to `{names[1]}`, which are "
                    "not trusted alike",
                    f"`prefer: [zone, {first}]` puts trust first",
                )
                return

    def stars(self) -> None:
        """Warn of a pattern that no map of directories, names or endings finds: every key is tried with it."""
        document = self.places.document
        if document is None:
            return
        words: list[Word] = [rule.path for rule in document.classify if rule.path is not None]
        words += [waiver.path for waiver in document.waivers]
        for word in words:
            glob = Glob(str(word))
            if (
                "**" in glob.segments[:-1]
                and ENDING.fullmatch(glob.text) is None
                and all(map(WILD.search, glob.segments))
            ):
                self.findings.warning(
                    codes.INNER_STARS,
                    word.place,
                    f"every key is tried with `{word}`: it spells out no directory, name or ending",
                    "begin it with a directory, as in `data/**/*.csv`",
                )


def _covers(other: Rule, rule: Rule) -> bool:
    """Whether a rule that matches one object of `rule` matches them all, and labels them as strictly at least.

    That object had no more metadata and findings than `rule` asks for, so only the paths are left to compare.
    """
    if other.mask & rule.mask != rule.mask:
        return False
    return other.path is None or includes(other.path, rule.path or ANY) is True
