"""A loaded policy: the one place where decisions are made, at run time as in commands and tests."""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Final

from sovbroker.detect import Scan
from sovbroker.errors import Diagnostic, InvalidArgument
from sovbroker.forks import ForkLock
from sovbroker.labels import Label, Lattice
from sovbroker.policy.classify import Classifier, Entry
from sovbroker.policy.decision import Choice, Decision, Operation
from sovbroker.policy.explain import Verdict, choose, verdict
from sovbroker.policy.mode import Mode
from sovbroker.policy.rulebook import Rulebook
from sovbroker.policy.sources import Part
from sovbroker.policy.table import Placing, Scope, Table, World

__all__ = ["Cell", "Classification", "Clock", "Policy", "utc_now"]

Clock = Callable[[], datetime]
"""Tells the time, with its zone. A policy has one, and asks nothing else for the time."""

CELLS_MAX: Final = 1 << 14
"""How many cells an epoch keeps. Callers can make many labels; past this, cells are made again."""

OPERATIONS: Final = {operation.value: operation for operation in Operation}
NO_METADATA: Final[Mapping[str, str]] = {}


def utc_now() -> datetime:
    """Return the time, in UTC: the clock of a policy that is given none."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of the compiled table: the label's mask, and where what carries it goes.

    `choice` is () where the policy refuses. `valid_until` is the first day on which another cell may hold, None for
    never.
    """

    mask: int
    valid_until: date | None
    choice: tuple[Choice, ...]
    scope: Scope = field(repr=False)
    placing: Placing = field(repr=False)
    table: Table = field(repr=False, compare=False)

    @property
    def allowed(self) -> bool:
        """Whether the policy allows a placement."""
        return bool(self.choice)


@dataclass(frozen=True, slots=True)
class Classification:
    """What a key is labelled, by which rules (`default` alone when none matched), and in which waivers' paths it is."""

    label: Label
    rules: tuple[str, ...]
    waivers: tuple[str, ...]
    mask: int


@dataclass(slots=True)
class _Epoch:
    """The cells of a span of days: from the ordinal `first` up to, and without, `end`."""

    first: int
    end: int
    table: Table
    cells: dict[int, Cell] = field(default_factory=dict[int, Cell])
    computing: dict[int, Cell] = field(default_factory=dict[int, Cell])
    verdicts: dict[Scope, Verdict] = field(default_factory=dict[Scope, Verdict])


class Policy:
    """A policy over given targets and key services.

    After loading, nothing that is asked of it raises, but InvalidArgument for what means nothing (an unknown label or
    operation). A decision depends on the policy, the facts, the day and the object alone. Every method may be called by
    several threads at once. `warnings` is what loading it found; `parts` are its files as they were written, the one
    that was asked for first, () for a policy that was made from a rulebook.
    """

    def __init__(
        self,
        book: Rulebook,
        world: World,
        *,
        clock: Clock = utc_now,
        warnings: Sequence[Diagnostic] = (),
        parts: Sequence[Part] = (),
    ) -> None:
        self.name = book.name
        self.lattice: Lattice = book.lattice
        self.warnings = tuple(warnings)
        self.parts = tuple(parts)
        self.book = book
        self.world = world
        self._clock = clock
        self._shift = len(book.lattice.levels) - 1 + len(book.lattice.categories)
        self._label_top = (1 << self._shift) - 1
        self._matched = 1 << self._shift
        rules = [Entry(rule.id, rule.mask | self._matched, rule.path, rule.meta, rule.content) for rule in book.rules]
        waivers = [
            Entry(waiver.id, self._matched << (1 + index), waiver.path) for index, waiver in enumerate(book.waivers)
        ]
        self.entries = (*rules, *waivers)
        """What matches keys, and the bits that each brings, `width` in all: for whoever asks two policies at once."""
        self.width = self._shift + 1 + len(waivers)
        self._classifier = Classifier(self.entries)
        self.bits: Callable[[str], int] = self._classifier.bits
        """The joined bits of every rule and waiver that matches a key by its path alone. The hot path; see `cell`."""
        self._days = sorted(world.epochs() | {waiver.expires for waiver in book.waivers})
        self._lock = ForkLock()
        self._epochs: dict[int, _Epoch] = {}
        self._epoch = self._epoch_at(self._today())

    @cached_property
    def digest(self) -> str:
        """The SHA-256, in hexadecimal, of what the policy says: layout, comments and order do not change it."""
        return self.book.digest()

    # --- the hot path

    def route(self, key: str, label_mask: int = 0, at_day: int | None = None) -> Cell:
        """Return where `key` goes, by its path and the mask of the caller's label alone. The hot path.

        `at_day` is a day as `date.toordinal` counts, today where it is None. Rules that look at metadata match nothing.
        Raises InvalidArgument for a mask that is not of this policy's lattice.
        """
        if at_day is None:
            at_day = self._today()
        epoch = self._epoch
        if not epoch.first <= at_day < epoch.end:
            epoch = self._epoch_at(at_day)
        if label_mask > self._label_top:
            raise InvalidArgument(f"{label_mask} is not the mask of a label")
        bits = label_mask | self.bits(key)
        cell = epoch.cells.get(bits)
        return self._cell(epoch, bits) if cell is None else cell

    def cell(self, bits: int, at_day: int) -> Cell:
        """Return where goes what has these joined `bits`, of keys and label masks, on a day; see `bits` and `route`."""
        epoch = self._epoch
        if not epoch.first <= at_day < epoch.end:
            epoch = self._epoch_at(at_day)
        cell = epoch.cells.get(bits)
        return self._cell(epoch, bits) if cell is None else cell

    def placement(self, label_mask: int, *, at_day: int | None = None) -> Cell:
        """Return where data that carries exactly this label goes, whatever its key. See `route`."""
        epoch = self._epoch_at(self._today() if at_day is None else at_day)
        return self._cell(epoch, label_mask | self._matched)

    def modes(self, label_mask: int, *, at_day: int | None = None) -> Mapping[str, Mode]:
        """Return in which mode each target may hold data of this label, whatever its key; {} where it has no placement.

        What is not named may not hold it. See `route`.
        """
        epoch = self._epoch_at(self._today() if at_day is None else at_day)
        found = self._verdict(epoch, cell := self._cell(epoch, label_mask | self._matched))
        return {choice.target: choice.mode for choice in (*found.targets, *found.alternatives)} if cell.allowed else {}

    def retention(self, label_mask: int, *, at_day: int | None = None) -> timedelta | None:
        """Return for how long at least data of this label is kept, whatever its key; None for no time. See `route`."""
        epoch = self._epoch_at(self._today() if at_day is None else at_day)
        retain = self._verdict(epoch, self._cell(epoch, label_mask | self._matched)).retain
        return None if retain is None else retain.min

    def refusal(self, label_mask: int, *, at_day: int | None = None) -> str:
        """Return in one sentence why a label has no placement; "" when it has one."""
        epoch = self._epoch_at(self._today() if at_day is None else at_day)
        cell = self._cell(epoch, label_mask | self._matched)
        if cell.allowed:
            return ""
        found = self._verdict(epoch, cell)
        nearest = min(found.rejected.items(), key=lambda item: len(item[1]), default=None)
        why = found.reasons[-1]
        return why if found.alternatives or nearest is None else f"{why}; {nearest[0]}: {'; '.join(nearest[1])}"

    def table(self, at_day: int) -> Table:
        """Return the compiled table that holds on a day."""
        return self._epoch_at(at_day).table

    def _cell(self, epoch: _Epoch, bits: int, *, compute: bool = False) -> Cell:
        """Return the cell of joined bits, made now where it is not kept."""
        cells = epoch.computing if compute else epoch.cells
        cell = cells.get(bits)
        if cell is not None:
            return cell
        scope = self._scope(bits, compute=compute)
        placing = epoch.table.place(scope)
        cell = Cell(
            mask=scope.mask,
            valid_until=epoch.table.until,
            choice=choose(epoch.table, scope, placing.chosen),
            scope=scope,
            placing=placing,
            table=epoch.table,
        )
        if len(cells) >= CELLS_MAX:
            cells.clear()
        cells[bits] = cell
        return cell

    def _scope(self, bits: int, *, compute: bool) -> Scope:
        """Return what joined bits mean: the label, with the default where no rule matched, and the waivers in scope."""
        mask = bits & self._label_top
        if bits < 0 or self.lattice.mask(self.lattice.label(mask)) != mask:
            raise InvalidArgument(f"{bits} is not the mask of a label")
        if not bits & self._matched:
            mask |= self.book.default
        waivers = 0
        for index, waiver in enumerate(self.book.waivers):
            if bits >> (self._shift + 1 + index) & 1 and waiver.mask & mask == mask:
                waivers |= 1 << index
        return Scope(mask, waivers, compute)

    # --- deciding with reasons

    def decide(
        self,
        key: str,
        *,
        label: str | Label | None = None,
        metadata: Mapping[str, str] | None = None,
        stored: Label | None = None,
        operation: str = "put",
        scan: Scan | None = None,
        at: datetime | None = None,
    ) -> Decision:
        """Return where an object may go, with a reason for every target.

        The object's label is the join of every rule that matches `key` and `metadata`, of the caller's `label`, and of
        the label that is `stored` with the data; where no rule matches, of the default too. `scan` is what detectors
        found in the content (see `detectors`): without one, no rule about content matches; with an incomplete one, the
        default is joined. `at` is a time with a zone, now by the policy's clock where it is None; the day counts in
        UTC.

        Raises InvalidArgument for an unknown label or operation, and for a time without a zone.
        """
        doing = self._operation(operation)
        now = self._clock() if at is None else at
        epoch = self._epoch
        day = _ordinal(now)
        if not epoch.first <= day < epoch.end:
            epoch = self._epoch_at(day)
        given = self._given(label, stored)
        entries = self._classifier.matches(key, metadata or NO_METADATA, scan)
        bits = given | self._doubt(key, metadata or NO_METADATA, scan)
        for entry in entries:
            bits |= entry.bits
        cell = self._cell(epoch, bits, compute=doing is Operation.COMPUTE)
        found = self._verdict(epoch, cell)
        rules = tuple(entry.name for entry in entries if entry.bits & self._matched) or ("default",)
        own = self.lattice.label(cell.mask)
        return Decision(
            label=own,
            rules=rules,
            operation=doing,
            targets=found.targets,
            mode=found.mode,
            reasons=(
                self._why_label(own, rules, label=label, stored=stored, scan=scan),
                *self._unread(key, metadata or NO_METADATA, scan),
                *found.reasons,
            ),
            rejected=found.rejected,
            basis=found.basis,
            waiver=found.waiver,
            policy=self.digest,
            catalogue=self.world.catalogue,
            at=now,
            valid_until=cell.valid_until,
            retain=found.retain,
            copies=found.copies,
            distinct=found.distinct,
            allowed=cell.allowed,
            alternatives=found.alternatives,
            pad=found.pad,
        )

    def explain(
        self,
        key: str,
        *,
        label: str | Label | None = None,
        metadata: Mapping[str, str] | None = None,
        stored: Label | None = None,
        operation: str = "put",
        scan: Scan | None = None,
        at: datetime | None = None,
    ) -> Decision:
        """Return what `decide` returns: a decision always explains itself."""
        return self.decide(key, label=label, metadata=metadata, stored=stored, operation=operation, scan=scan, at=at)

    def classify(
        self,
        key: str,
        *,
        label: str | Label | None = None,
        metadata: Mapping[str, str] | None = None,
        stored: Label | None = None,
        scan: Scan | None = None,
    ) -> Classification:
        """Return an object's label and the rules that give it; see `decide`."""
        entries = self._classifier.matches(key, metadata or NO_METADATA, scan)
        bits = self._given(label, stored)
        bits |= self._doubt(key, metadata or NO_METADATA, scan)
        for entry in entries:
            bits |= entry.bits
        mask = self._scope(bits, compute=False).mask
        rules = tuple(entry.name for entry in entries if entry.bits & self._matched) or ("default",)
        waivers = tuple(entry.name for entry in entries if not entry.bits & self._matched)
        return Classification(self.lattice.label(mask), rules, waivers, mask)

    def detectors(self, key: str, metadata: Mapping[str, str] | None = None) -> frozenset[str]:
        """Return the detectors that the content of an object has to be shown to before it can be labelled."""
        return self._classifier.detectors(key, metadata or NO_METADATA)

    def _doubt(self, key: str, metadata: Mapping[str, str], scan: Scan | None) -> int:
        """Return the mask of the default where a scan does not answer everything that the rules ask; 0 otherwise."""
        if scan is None or (scan.complete and self._classifier.detectors(key, metadata) <= scan.counts.keys()):
            return 0
        return self.book.default

    def _unread(self, key: str, metadata: Mapping[str, str], scan: Scan | None) -> tuple[str, ...]:
        """Say that content was not looked at, where it could raise the label."""
        missing = sorted(self._classifier.detectors(key, metadata) - (set() if scan is None else scan.counts.keys()))
        if not missing:
            return ()
        listed = ", ".join(f"`{name}`" for name in missing)
        if scan is not None:
            return (f"the scan did not look for {listed}, so the default is joined",)
        return (f"the content was not looked at: {listed} may raise the label",)

    def _given(self, label: str | Label | None, stored: Label | None) -> int:
        mask = 0 if stored is None else self.lattice.mask(stored)
        match label:
            case None:
                return mask
            case str():
                return mask | self.lattice.mask_of_text(label)
            case Label():
                return mask | self.lattice.mask(label)

    @staticmethod
    def _why_label(
        own: Label, rules: tuple[str, ...], *, label: str | Label | None, stored: Label | None, scan: Scan | None
    ) -> str:
        if rules == ("default",):
            sources = ["no rule matches, so the default"]
        else:
            sources = [f"{'rule' if len(rules) == 1 else 'rules'} {', '.join(f'`{rule}`' for rule in rules)}"]
        sources += [f"the caller's `{label}`"] if label is not None else []
        sources += [f"the stored `{stored}`"] if stored is not None else []
        if scan is not None and not scan.complete:
            sources.append(f"the default because the content was not looked at to its end ({scan.why})")
        return f"label {own}: {', and '.join(sources)}"

    def _verdict(self, epoch: _Epoch, cell: Cell) -> Verdict:
        found = epoch.verdicts.get(cell.scope)
        if found is None:
            found = verdict(epoch.table, cell.scope, cell.placing)
            if len(epoch.verdicts) >= CELLS_MAX:
                epoch.verdicts.clear()
            epoch.verdicts[cell.scope] = found
        return found

    @staticmethod
    def _operation(name: str) -> Operation:
        found = OPERATIONS.get(name)
        if found is None:
            close = difflib.get_close_matches(name[:64], OPERATIONS, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(OPERATIONS)}"
            raise InvalidArgument(f"unknown operation `{name}`; {hint}")
        return found

    # --- time

    def now(self) -> datetime:
        """Return the time by the policy's clock."""
        return self._clock()

    def _today(self) -> int:
        return _ordinal(self._clock())

    def _epoch_at(self, day: int) -> _Epoch:
        """Return the epoch of a day, and look there first the next time."""
        if not 1 <= day <= date.max.toordinal():
            raise InvalidArgument(f"{day} is not the ordinal of a day")
        index = bisect_right(self._days, date.fromordinal(day))
        epoch = self._epochs.get(index)
        if epoch is None:
            with self._lock:
                epoch = self._epochs.get(index)
                if epoch is None:
                    since = self._days[index - 1] if index else date.min
                    until = self._days[index] if index < len(self._days) else None
                    table = Table(self.book, self.world, since=since, until=until)
                    end = date.max.toordinal() + 1 if until is None else until.toordinal()
                    epoch = self._epochs[index] = _Epoch(since.toordinal(), end, table)
        self._epoch = epoch
        return epoch


def _ordinal(moment: datetime) -> int:
    """Return the day of a moment, in UTC. Raises InvalidArgument for one without a zone."""
    if moment.tzinfo is None:
        raise InvalidArgument(f"the time {moment.isoformat()} has no zone; give one, such as datetime.now(UTC)")
    try:
        return moment.toordinal() if moment.tzinfo is UTC else moment.astimezone(UTC).toordinal()
    except OverflowError:
        # The first and the last day of the calendar, in a zone that puts UTC beyond it.
        return moment.toordinal()
