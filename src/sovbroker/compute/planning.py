"""Where a workload runs: the policy first, then a size, then nearness to the data, then the price."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final

from sovbroker.catalogue.digest import digest_of
from sovbroker.compute.images import resolve_image
from sovbroker.compute.journal import Journal
from sovbroker.compute.needs import Needs
from sovbroker.compute.places import Providers
from sovbroker.errors import InvalidArgument, SovbrokerError
from sovbroker.labels import Label
from sovbroker.machines import ComputeFeature, Size
from sovbroker.placements import Placement, PlacementIndex
from sovbroker.policy import Decision, Policy
from sovbroker.policy.table import World

__all__ = ["Asked", "Data", "Option", "Plan", "Surroundings", "Workload", "data_of", "decide", "plan"]

AT_ONCE: Final = 8
OPERATION: Final = "compute"


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked of a machine, whatever it is called.

    `near` is the key of an object, or the beginning of keys, that it works on. `at` are the only places that come into
    question, () for all of them. `ttl` is in seconds.
    """

    label: str | None = None
    needs: Needs = field(default_factory=Needs)
    image: str = "debian-12"
    near: str = ""
    at: tuple[str, ...] = ()
    ttl: float | None = None
    user_data: bytes = field(default=b"", repr=False)
    ssh_key: str | None = None
    owner: str = ""

    def digest(self, secrets: Iterable[str] = ()) -> str:
        """Return what tells two workloads apart, as SHA-256. Of secrets, only the names are part of it."""
        needs = self.needs
        told = [
            self.label,
            [needs.cpus, needs.memory, needs.gpus, needs.arch, *needs.attested],
            self.image,
            self.near,
            list(self.at),
            self.ttl,
            hashlib.sha256(self.user_data).hexdigest(),
            self.ssh_key,
            self.owner,
            sorted(secrets),
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Data:
    """The objects that a workload works near: one key of them, the join of their labels, and where their copies are.

    `sites` tells for each site how many of the `objects` have a copy there.
    """

    key: str
    label: Label | None
    objects: int = 0
    sites: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Asked:
    """What the policy was asked, and its answer."""

    key: str
    label: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Option:
    """A place where the workload may run: the size that it would get, the image, and the share of its data there."""

    target: str
    size: Size
    image: str
    near: float
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a workload would run, and for every other place why not there.

    `options` are in the order of choice: the share of data at hand, the price, then the policy's own order. `rejected`
    are places with their reasons, of the policy or for lack of something.
    """

    decision: Decision
    options: tuple[Option, ...]
    rejected: Mapping[str, tuple[str, ...]]
    key: str
    label: str
    objects: int = 0

    @property
    def allowed(self) -> bool:
        """Whether there is a place."""
        return bool(self.options)

    def __str__(self) -> str:
        """Print for people: the outcome, why, and every place once."""
        outcome = "allowed" if self.allowed else "not possible" if self.decision.allowed else "refused"
        lines = [f"{outcome}: a machine for data labelled {self.label}"]
        because = [
            *self.decision.reasons[:1],
            *([f"near {self.objects} object{'s' * (self.objects > 1)}"] if self.objects else []),
        ]
        lines += [f"  {'because' if index == 0 else '':<9}{reason}" for index, reason in enumerate(because)]
        width = max((len(name) for name in (*self.rejected, *(one.target for one in self.options))), default=0)
        for index, one in enumerate(self.options):
            near = f", {one.near:.0%} of the data" if self.objects else ""
            what = f"{one.size.name or one.size.id}, {_cost(one.size)}{near}"
            lines.append(f"  {('runs at', 'or at')[min(index, 1)]:<9}{one.target:<{width}}  {what}")
        for index, (target, reasons) in enumerate(self.rejected.items()):
            lines.append(f"  {'not at' if index == 0 else '':<9}{target:<{width}}  {'; '.join(reasons)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Return the plan as JSON types."""
        return {
            "allowed": self.allowed,
            "label": self.label,
            "key": self.key,
            "objects": self.objects,
            "options": [
                {
                    "target": one.target,
                    "size": one.size.id,
                    "cpus": one.size.cpus,
                    "memory": one.size.memory,
                    "price": None if one.size.price is None else str(one.size.price),
                    "priced": None if one.size.priced is None else one.size.priced.isoformat(),
                    "image": one.image,
                    "near": one.near,
                    "zone": one.zone,
                }
                for one in self.options
            ],
            "rejected": {target: list(reasons) for target, reasons in self.rejected.items()},
            "decision": self.decision.to_dict(),
        }


@dataclass(slots=True)
class Surroundings:
    """What compute works with: the policy that holds now, the rows of objects, the places, what is known, the time.

    `sites` tells of each storage target where it is.
    """

    governing: Callable[[], Policy]
    index: PlacementIndex
    sites: Mapping[str, str]
    providers: Providers
    journal: Journal
    clock: Callable[[], datetime]
    _policies: tuple[Policy, Policy] | None = field(default=None, init=False, repr=False)

    def policy(self) -> Policy:
        """Return the policy over the places for machines, made again when another one governs."""
        governing = self.governing()
        if self._policies is None or self._policies[0] is not governing:
            targets = [place.target for place in self.providers.places.values()]
            world = World.of(targets, (), catalogue=digest_of(targets, ()))
            self._policies = governing, Policy(governing.book, world, clock=self.clock)
        return self._policies[1]


def data_of(around: Surroundings, near: str) -> Data:
    """Return what `near` means. Raises InvalidArgument where there is no such object: it must not count as public."""
    exact = around.index.current(near)
    rows: Iterable[Placement] = (exact,) if exact is not None else around.index.scan(near)
    policy, labels, sites, count, key = around.policy(), list[Label](), dict[str, int](), 0, ""
    for row in rows:
        count, key = count + 1, key or row.key
        own = policy.classify(row.key, metadata=row.metadata, stored=policy.lattice.parse(row.label)).label
        labels.append(own)
        for site in {around.sites[copy.target] for copy in row.copies if copy.target in around.sites}:
            sites[site] = sites.get(site, 0) + 1
    if not count:
        raise InvalidArgument(f"there is no object `{near}`, and none whose key begins so; put the data first")
    return Data(key, policy.lattice.join(labels), count, sites)


def decide(around: Surroundings, *, key: str, label: str | None, data: Data | None) -> Asked:
    """Ask the policy where plaintext may be worked on: that of the data, or of what is called `key`."""
    policy = around.policy()
    asked = key if data is None else data.key
    stored = None if data is None else data.label
    decision = policy.decide(asked, label=label, stored=stored, operation=OPERATION, at=around.clock())
    return Asked(asked, str(decision.label), decision)


def plan(around: Surroundings, name: str, workload: Workload, *, scripted: bool = False) -> Plan:
    """Return where a workload would run. Changes nothing.

    `scripted`: its machine gets a script, even if the workload has none. Raises InvalidArgument for an unknown
    label or place. A place that cannot be asked is rejected, with the reason.
    """
    asked_for = {around.providers.place(target).target.id for target in workload.at}
    data = data_of(around, workload.near) if workload.near else None
    asked = decide(around, key=name, label=workload.label, data=data)
    decision = asked.decision
    complying = {choice.target: choice for choice in (*decision.targets, *decision.alternatives)}
    rejected = {target: tuple(reasons) for target, reasons in decision.rejected.items()}
    if not decision.allowed:
        rejected |= dict.fromkeys(complying, decision.reasons[-1:])
        complying = {}
    candidates = list(complying)
    if workload.at:
        rejected |= {target: ("it was not asked for",) for target in candidates if target not in asked_for}
        candidates = [target for target in candidates if target in asked_for]
    look = partial(_look, around, workload, scripted=scripted or bool(workload.user_data))
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sovbroker-compute") as pool:
        looked = dict(zip(candidates, pool.map(look, candidates), strict=True))
    options: list[Option] = []
    for target, found in looked.items():
        if isinstance(found, str):
            rejected[target] = (found,)
            continue
        site = around.providers.place(target).target.site
        share = data.sites.get(site, 0) / data.objects if data is not None else 0.0
        options.append(replace(found, near=share, zone=complying[target].zone))
    options.sort(key=lambda one: (-one.near, one.size.price is None, one.size.price or Decimal(0)))
    return Plan(
        decision=decision,
        options=tuple(options),
        rejected=dict(sorted(rejected.items())),
        key=asked.key,
        label=asked.label,
        objects=0 if data is None else data.objects,
    )


def _look(around: Surroundings, workload: Workload, target: str, *, scripted: bool) -> Option | str:
    """Return what a place has for a workload, or why it has nothing."""
    place = around.providers.place(target)
    try:
        provider = around.providers.provider(target)
        lacks = {
            ComputeFeature.USER_DATA: scripted,
            ComputeFeature.KEYS: workload.ssh_key is not None,
        }
        for feature, wanted in lacks.items():
            if wanted and not provider.capabilities[feature].usable:
                return f"it has no `{feature}`"
        sizes = around.providers.sizes(target)
        size = workload.needs.cheapest(sizes)
        if size is None:
            return workload.needs.nearest(sizes)
        image = resolve_image(
            workload.image, arch=workload.needs.arch, provider=provider, adapter=place.adapter, own=place.images
        )
    except SovbrokerError as error:
        return str(error)
    return Option(target, size, image.id, 0.0)


def _cost(size: Size) -> str:
    """Say what an hour costs, and of which day's price list that is where the provider does not tell it."""
    if size.price is None:
        return "no price known"
    return f"{size.price} EUR/h" + ("" if size.priced is None else f" (list of {size.priced.isoformat()})")
