"""Loading: from a file or a text to a policy that can decide, or to every reason why it cannot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sovbroker import catalogue
from sovbroker.catalogue.digest import digest_of
from sovbroker.catalogue.facts import KeyHolder, Target
from sovbroker.document import SIZE_MAX, Findings, Kind, Place, Source, Word, suggest
from sovbroker.errors import ConfigError, InvalidArgument, PolicyError
from sovbroker.policy import codes
from sovbroker.policy.assumed import assumed_holders
from sovbroker.policy.policy import Clock, Policy, utc_now
from sovbroker.policy.resolve import resolve
from sovbroker.policy.sources import Part, gather
from sovbroker.policy.table import World
from sovbroker.policy.zones import Subject

__all__ = ["load", "loads"]


def load(
    source: Path | str,
    *,
    targets: Sequence[Target] | None = None,
    keys: Sequence[KeyHolder] | None = (),
    catalogue_digest: str = "",
    at: datetime | None = None,
    clock: Clock = utc_now,
) -> Policy:
    """Read the policy in the file `source`, and everything that it extends.

    It is judged, and decides, over `targets` (every object-storage target of the shipped catalogue where None) and the
    key services `keys` (where None, one is assumed in each zone that the policy wants keys in: nobody has configured
    any yet). `catalogue_digest` names their facts in decisions; where it is "", it is computed from them.
    `clock` is the one clock: it tells the time of every decision that is given none, and of the loading itself unless
    `at` is given.

    Raises PolicyError with every finding when anything is wrong. What may be meant so, or is wrong today only (a label
    without a placement, a waiver that has lapsed), is in `Policy.warnings`.
    """
    path = Path(source)
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_MAX + 1)
    except (OSError, ValueError) as error:
        findings = Findings(codes.DOCUMENT_CODES)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        nowhere = Place(Source(str(path), ()), 1, 1)
        findings.error(Kind.SYNTAX, nowhere, f"cannot read `{path}`: {(reason or type(error).__name__).lower()}")
        raise PolicyError(findings.diagnostics) from error
    return _load(
        content, str(path), _Circumstances(targets, None if keys is None else tuple(keys), catalogue_digest, at, clock)
    )


def loads(
    text: str | bytes,
    *,
    file: str = "policy.yaml",
    targets: Sequence[Target] | None = None,
    keys: Sequence[KeyHolder] | None = (),
    catalogue_digest: str = "",
    at: datetime | None = None,
    clock: Clock = utc_now,
) -> Policy:
    """Read a policy from a text. `file` is its name in findings, and what `extends` is relative to. See `load`."""
    return _load(
        text, file, _Circumstances(targets, None if keys is None else tuple(keys), catalogue_digest, at, clock)
    )


@dataclass(frozen=True, slots=True)
class _Circumstances:
    """What a policy is loaded for."""

    targets: Sequence[Target] | None
    keys: tuple[KeyHolder, ...] | None
    digest: str
    at: datetime | None
    clock: Clock

    def world(self, keys: tuple[KeyHolder, ...] = ()) -> World:
        """Return the targets, those of the catalogue where none are given, and the key services, else `keys`."""
        own = keys if self.keys is None else self.keys
        if self.targets is None:
            shipped = catalogue.load()
            return World.of(shipped.targets(), own, catalogue=self.digest or shipped.digest)
        return World.of(self.targets, own, catalogue=self.digest or digest_of(self.targets, own))


def _load(content: str | bytes, file: str, circumstances: _Circumstances) -> Policy:
    findings = Findings(codes.DOCUMENT_CODES)
    now = circumstances.clock() if circumstances.at is None else circumstances.at
    if now.tzinfo is None:
        raise InvalidArgument(f"the time {now.isoformat()} has no zone; give one, such as datetime.now(UTC)")
    world = circumstances.world()
    facts = [target.facts for target in world.targets] + [holder.facts for holder in world.holders]
    schemes = {qualification.scheme for found in facts for qualification in found.qualified}
    parts = gather(content, file, findings)
    book = resolve(parts, findings, today=now.astimezone(UTC).date(), schemes=schemes)
    if parts:
        _places(parts, world, findings, exact=circumstances.targets is not None)
    if book is None or findings.failed:
        raise PolicyError(findings.diagnostics)
    if circumstances.keys is None:
        world = circumstances.world(assumed_holders(book))
    policy = Policy(book, world, clock=circumstances.clock, parts=parts)
    day = now.astimezone(UTC).toordinal()
    _empty(parts[0], policy, findings, day=day)
    _dark(parts[0], policy, findings, day=day)
    policy.warnings = findings.diagnostics
    return policy


def _places(parts: Iterable[Part], world: World, findings: Findings, *, exact: bool) -> None:
    """Find names of providers and targets that mean nothing.

    A denial of nothing is an error where the targets are the real ones: misspelt, it would allow what it should deny.
    Elsewhere an unknown name only narrows, or may be known where the policy is used.
    """
    subjects = [Subject.of(target) for target in world.targets]
    providers = {subject.provider for subject in subjects}
    targets = {name for subject in subjects for name in subject.names}
    zones = {str(name) for part in parts for name in part.document.zones}

    def known(word: Word, names: Iterable[str]) -> bool:
        return word in set(names) or _shipped(word)

    for part in parts:
        for element in part.document.require.values():
            for word in element.deny:
                if not known(word, providers | targets | zones):
                    report = findings.error if exact else findings.warning
                    report(
                        codes.NO_PLACE if exact else codes.UNCHECKED_PLACE,
                        word.place,
                        f"`{word}` denies nothing: no zone, provider or target is called so",
                        suggest(word, providers | targets | zones),
                    )
        every = [*part.document.zones.values(), *(e.where for e in part.document.require.values() if e.where)]
        for zone in every:
            for words, names, noun in ((zone.provider, providers, "provider"), (zone.target, targets, "target")):
                for word in words or ():
                    if not known(word, names):
                        findings.warning(
                            codes.UNCHECKED_PLACE,
                            word.place,
                            f"no {noun} is called `{word}` here",
                            suggest(word, names),
                        )


def _shipped(name: str) -> bool:
    """Whether the shipped catalogue knows a provider or a target of that name."""
    shipped = catalogue.load()
    if "/" not in name:
        return name in shipped.providers
    try:
        shipped.target(name)
    except ConfigError:
        return False
    return True


def _empty(root: Part, policy: Policy, findings: Findings, *, day: int) -> None:
    """Warn of a zone in which there is nothing today."""
    table = policy.table(day)
    for name in root.document.zones:
        if not table.zones[name] and not table.keyed[name]:
            findings.warning(
                codes.EMPTY_ZONE,
                name.place,
                f"no target and no key service is in zone `{name}` today",
                "`sovbroker explain` says what each one lacks",
            )


def _dark(root: Part, policy: Policy, findings: Findings, *, day: int) -> None:
    """Warn of a label that a rule gives, that is the default, or that has a requirement, and that can go nowhere."""
    words = [rule.label for rule in root.document.classify] + list(root.document.require)
    if root.document.default is not None:
        words.insert(0, root.document.default)
    seen = set[int]()
    for word in words:
        mask = policy.lattice.mask_of_text(word)
        if mask in seen:
            continue
        seen.add(mask)
        if not policy.placement(mask, at_day=day).allowed and not policy.book.forbids(mask):
            findings.warning(
                codes.DARK,
                word.place,
                f"label `{policy.lattice.label(mask)}` has no placement today: {policy.refusal(mask, at_day=day)}",
                "objects that carry it are refused; `sovbroker explain` gives the reasons for every target",
            )
