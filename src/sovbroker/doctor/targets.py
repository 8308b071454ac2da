"""What can be wrong with a target: the way to it, its container, and what a probe found of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from sovbroker.config import OWN, TargetConfig
from sovbroker.doctor.findings import Finding, Patient, Severity, mend_of
from sovbroker.errors import SovbrokerError
from sovbroker.guard import Permit
from sovbroker.opening import place_of, policy_of, services_of
from sovbroker.ports import Feature, Inspection, Store, Support
from sovbroker.probing import Aspect, Probe, ProbeFile, is_feature
from sovbroker.router import Place, Stores, adapter_version

__all__ = ["check_targets"]

THREADS: Final = 8
SKEW_FAILS: Final = timedelta(minutes=5)
SKEW_SHOWS: Final = timedelta(seconds=30)
STALE: Final = timedelta(days=90)


def check_targets(patient: Patient) -> Iterator[Finding]:
    """Ask every target for a listing and what its container is like, at the same time; compare it with what is kept."""
    kept = ProbeFile(patient.config.state)
    retained = _retained(patient)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="sovbroker-doctor") as pool:
        for found in pool.map(partial(_check_target, patient, kept, retained), patient.config.targets):
            yield from found


def _retained(patient: Patient) -> frozenset[str]:
    """Return the targets at which the policy retains something; none where it does not load: another check tells."""
    config = patient.config
    try:
        found = [place_of(target, patient.catalogue) for target in config.targets]
        places = {place.target.id: place for place in found}
        policy = policy_of(config, places, services_of(config), clock=patient.clock, overlay=patient.catalogue.overlay)
    except SovbrokerError:
        return frozenset()
    lattice = policy.lattice
    masks = [lattice.mask_of_text(level) for level in lattice.levels]
    return frozenset(target for mask in masks if policy.retention(mask) for target in policy.modes(mask))


def _check_target(patient: Patient, kept: ProbeFile, retained: frozenset[str], target: TargetConfig) -> list[Finding]:
    subject = f"target: {target.at}"
    try:
        place = place_of(target, patient.catalogue)
        probe = kept.find(place.target.id, container=place.binding.container, endpoint=place.binding.endpoint)
        with closing(Stores({place.target.id: place}, kept)) as stores:
            store = stores.guarded(place.target.id, Permit.READ)
            # The first keys: that needs the address, the container and the credentials to be right.
            next(iter(store.list()), None)
            looking = Looking(subject, patient, place, store, probe, wanted=place.target.id in retained)
            return list(looking.findings())
    except SovbrokerError as error:
        return [Finding(Severity.ERROR, subject, str(error), mend_of(error))]


@dataclass(frozen=True, slots=True)
class Looking:
    """A target that answers, being looked at. `wanted`: the policy retains something there."""

    subject: str
    patient: Patient
    place: Place
    store: Store
    probe: Probe | None
    wanted: bool

    def findings(self) -> Iterator[Finding]:
        """Yield everything that is found; first that it answers."""
        try:
            told = self.store.inspect()
        except SovbrokerError as error:
            told = Inspection()
            yield self._warning(
                f"nothing is known of the container: {error}",
                "let the credentials ask for its region, public access, versions, rules and locks",
            )
        at_rest = "" if told.encryption is None else f", encrypted at rest: {told.encryption or 'no'}"
        yield Finding(Severity.OK, self.subject, f"`{self.place.binding.container}` answers{at_rest}")
        yield from self._clock(told)
        yield from self._container(told)
        if self.wanted and not self.store.capabilities[Feature.RETENTION].usable:
            yield self._unlocked(told)
        if self.probe is not None:
            yield from self._probed(self.probe)
            yield from self._drift(self.probe, told)
        elif self.place.target.id not in OWN:
            # A folder of this machine is what the conformance suite runs on; a service may be anything.
            yield self._warning("it was never probed, and is taken for what its settings say", self._again)

    def _clock(self, told: Inspection) -> Iterator[Finding]:
        skew = told.skew or timedelta(0)
        if abs(skew) <= SKEW_SHOWS:
            return
        what = f"its clock is {abs(skew).total_seconds():.0f} s {'ahead of' if skew > timedelta(0) else 'behind'} ours"
        mend = "set the clock of this machine, by NTP say; if it is right, tell the provider"
        if abs(skew) > SKEW_FAILS:
            yield self._error(f"{what}: signatures and links fail", mend)
        else:
            yield self._warning(what, mend)

    def _container(self, told: Inspection) -> Iterator[Finding]:
        where, own = self.place.target, self.place.target.id in OWN
        if told.region and told.region.casefold() not in self._regions:
            what = f"the container is in `{told.region}`, and the policy takes it to be in `{where.region}`"
            mend = (
                "name the target by the region where the container is; or make one where it should be, and move there"
            )
            # What plays a provider is seldom where that one is.
            yield self._warning(what, mend) if where.emulated else self._error(what, mend)
        if told.public and own:
            container = self.place.binding.container
            yield self._warning("every user of this machine may enter the folder", f"run `chmod 700 {container}`")
        elif told.public:
            yield self._error(
                "anybody can read or list the container, without credentials",
                "take public access away at the provider; what lay there in the clear may be known to others",
            )
        if told.versioned and not self.wanted:
            yield self._warning(
                "the container keeps versions: what is removed or replaced may stay as an older one, and is paid for",
                "suspend versions at the provider and remove the old ones, or let the credentials remove versions",
            )
        for rule in told.removals or ():
            yield self._error(
                f"the provider removes objects by itself: {rule}",
                "remove the rule at the provider: a copy that it takes is missed by nobody until it is read",
            )

    @property
    def _regions(self) -> frozenset[str]:
        """The names that the region of the target has: in the catalogue, and in signatures."""
        names = (self.place.target.region, self.place.binding.region or "")
        return frozenset(name.casefold() for name in names)

    def _unlocked(self, told: Inspection) -> Finding:
        if told.locks is False:
            return self._warning(
                "the policy retains what goes here, and the container has no locks: stolen credentials can remove it",
                f"make a container with locks (object lock, immutability), move there, and {self._again}",
            )
        return self._warning(
            "the policy retains what goes here, and nobody has found out whether the container's locks hold it",
            f"{self._again}: where they hold, they are used",
        )

    def _probed(self, probe: Probe) -> Iterator[Finding]:
        version, age = adapter_version(self.place.adapter), self.patient.clock() - probe.at
        if probe.version != version:
            what = f"it was probed by {probe.version or 'another version'}, and this is {version or 'another one'}"
            yield self._warning(what, self._again)
        elif age > STALE:
            yield self._warning(f"it was last probed {age.days} days ago", self._again)
        for line in probe.wrong:
            what = f"the last probe found `{line.name}` to be {line.support or 'unknown'}: {line.reason}"
            if not is_feature(line.name):
                yield self._error(what, "store nothing there: the service does not keep what it is given as it is")
            elif line.support is None:
                yield self._warning(what, self._again)
            else:
                yield self._warning(f"{what}; it is refused", f"do without; once it is mended there, {self._again}")
        if probe.left:
            what = f"{len(probe.left)} objects of the last probe could not be removed, `{probe.left[0]}` the first"
            yield self._warning(what, f"let the credentials remove objects, and {self._again}")

    def _drift(self, probe: Probe, told: Inspection) -> Iterator[Finding]:
        """Yield what has changed since the probe, as far as it shows without writing."""
        with closing(Stores({self.place.target.id: self.place})) as stores:
            declared = stores.guarded(self.place.target.id, Permit.READ).capabilities
        changes = [
            (f"what is declared of `{line.name}`", line.declared, declared[Feature(line.name)])
            for line in probe.lines
            if line.declared is not None
        ]
        if told.versioned is not None:
            now = Support.NATIVE if told.versioned else Support.ABSENT
            changes.append(("`versions`", probe.support(Aspect.VERSIONS) or now, now))
        if told.locks is False and probe.support(Feature.RETENTION) is Support.NATIVE:
            changes.append(("`retention`", Support.NATIVE, Support.ABSENT))
        for what, then, now in changes:
            if then is not now:
                yield self._warning(f"{what} was {then} when it was probed, and is {now}", self._again)

    @property
    def _again(self) -> str:
        return f"run `sovbroker targets probe {self.place.target.id}`"

    def _warning(self, what: str, mend: str) -> Finding:
        return Finding(Severity.WARNING, self.subject, what, mend)

    def _error(self, what: str, mend: str) -> Finding:
        return Finding(Severity.ERROR, self.subject, what, mend)
