"""Outcomes: what one policy says of one kind of object, in terms that can be held against another policy's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from sovbroker.detect import Scan
from sovbroker.policy.compare.counting import Found, matched
from sovbroker.policy.mode import Mode
from sovbroker.policy.policy import Policy
from sovbroker.policy.rulebook import Retain
from sovbroker.policy.table import Scope, Table

__all__ = ["Judge", "Outcome", "Way"]


@dataclass(frozen=True, slots=True)
class Way:
    """How something may be held at a target: the mode, and the key services that may hold its key.

    Services, not the names of their zones: a zone that was widened demands less under the same name.
    """

    mode: Mode
    services: frozenset[str]

    def lesser(self, other: Way) -> bool:
        """Whether something is demanded less than the `other` does, were it only one of several things."""
        return (
            self.mode.encrypt < other.mode.encrypt
            or self.mode.names < other.mode.names
            or (self.mode.sealed and other.mode.sealed and not self.services <= other.services)
        )

    def __str__(self) -> str:
        """Spell the mode."""
        return str(self.mode)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy says of a kind of object.

    `label` is the label in its words, "" where it does not know the stored one (then nothing is allowed). `ways` holds
    every target that complies, in rank order, and `chosen` those that are used; both are empty where the policy
    refuses. `scope` is what the policy judged. `compute` are the targets that may work on the plaintext.
    """

    label: str = ""
    elements: frozenset[str] = frozenset()
    scope: Scope = Scope(0)  # noqa: RUF009  # frozen
    ways: Mapping[str, Way] = field(default_factory=dict[str, Way])
    chosen: tuple[str, ...] = ()
    compute: frozenset[str] = frozenset()
    copies: int = 0
    distinct: frozenset[str] = frozenset()
    retain: Retain = field(default_factory=Retain)
    pad: bool = False
    waivers: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the policy allows a placement."""
        return bool(self.chosen)


@dataclass(slots=True)
class Judge:
    """Asks one policy for its outcomes on one day, each once."""

    policy: Policy
    day: date
    _outcomes: dict[Scope, Outcome] = field(default_factory=dict[Scope, Outcome])
    _table: Table = field(init=False)
    _names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Compile the table of the day."""
        lattice = self.policy.lattice
        self._table = self.policy.table(self.day.toordinal())
        self._names = frozenset([*lattice.levels, *lattice.categories])

    def knows(self, name: str) -> bool:
        """Whether a name is a level or a category of the policy."""
        return name in self._names

    def of_label(self, mask: int) -> Outcome:
        """Return the outcome of whatever carries exactly this label, in no waiver's path."""
        return self._outcome(self.policy.placement(mask, at_day=self.day.toordinal()).scope)

    def of_object(self, key: str, metadata: Mapping[str, str], label: int, scan: Scan | None) -> Outcome:
        """Return the outcome of one object, with the mask of the label that it carries."""
        plain = not metadata and scan is None
        return self.of(self.policy.bits(key) if plain else matched(self.policy, key, metadata, scan), label)

    def of(self, found: Found, label: int) -> Outcome:
        """Return the outcome of what matches, with the mask of the stored label."""
        if isinstance(found, int):
            return self._outcome(self.policy.cell(found | label, self.day.toordinal()).scope)
        mask = found.mask | label
        waivers = 0
        for index, waiver in enumerate(self.policy.book.waivers):
            if found.waivers >> index & 1 and waiver.mask & mask == mask:
                waivers |= 1 << index
        return self._outcome(Scope(mask, waivers))

    def _outcome(self, scope: Scope) -> Outcome:
        outcome = self._outcomes.get(scope)
        if outcome is None:
            outcome = self._outcomes[scope] = self._judged(scope)
        return outcome

    def _judged(self, scope: Scope) -> Outcome:
        table, lattice = self._table, self.policy.lattice
        label = lattice.label(scope.mask)
        elements = frozenset(lattice.elements(scope.mask))
        targets = table.world.targets
        computing = table.place(Scope(scope.mask, scope.waivers, compute=True))
        compute = frozenset(targets[option.target].id for option in computing.ranked)
        placing = table.place(scope)
        if not placing.chosen:
            return Outcome(str(label), elements, scope, compute=compute)
        owed = table.obligations(scope)
        used = 0
        for option in placing.chosen:
            used |= option.waivers
        return Outcome(
            label=str(label),
            elements=elements,
            scope=scope,
            ways={targets[option.target].id: self._way(option.code) for option in placing.ranked},
            chosen=tuple(targets[option.target].id for option in placing.chosen),
            compute=compute,
            copies=owed.count,
            distinct=frozenset(d.value for d in owed.distinct),
            retain=owed.retain,
            pad=owed.pad,
            waivers=tuple(w.id for index, w in enumerate(self.policy.book.waivers) if used >> index & 1),
        )

    def _way(self, code: int) -> Way:
        table = self._table
        mode = table.mode(code)
        bits = table.keys(code) if mode.sealed else 0
        return Way(mode, frozenset(h.name for index, h in enumerate(table.world.holders) if bits >> index & 1))
