"""Machines, as `Broker.compute` offers them: by name, placed by label, found again, compared with the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sovbroker.compute.audit import Audit, audit
from sovbroker.compute.checks import check_name
from sovbroker.compute.journal import Entry, Step
from sovbroker.compute.launching import Secrets, launch, launch_of, undo
from sovbroker.compute.needs import Needs, memory_of, ttl_of
from sovbroker.compute.places import ComputePlace
from sovbroker.compute.planning import Plan, Surroundings, Workload, data_of, decide, plan
from sovbroker.compute.reaping import Reaped, reap
from sovbroker.compute.sshkeys import SshKeys
from sovbroker.compute.volumes import Volumes
from sovbroker.errors import InvalidArgument, NotFound, Refused
from sovbroker.machines import Image, ImageSource, Machine, MachineState, Size

__all__ = ["Compute", "Node"]

AT_ONCE: Final = 8
MEMORY: Final = "1GiB"


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of ours. `id` is its provider's, "" while it is unknown whether there is one; times are in UTC.

    `passed` are the places that came before its own and had no room for it, with their words.
    """

    name: str
    id: str
    target: str
    state: MachineState
    label: str
    size: str
    image: str
    created: datetime
    expires: datetime | None = None
    owner: str = ""
    near: str = ""
    addresses: tuple[str, ...] = ()
    plan: Plan | None = None
    passed: Mapping[str, str] = field(default_factory=dict[str, str])

    def to_dict(self) -> dict[str, object]:
        """Return the machine as JSON types."""
        return {
            "name": self.name,
            "id": self.id,
            "target": self.target,
            "state": self.state.value,
            "label": self.label,
            "size": self.size,
            "image": self.image,
            "created": self.created.isoformat(),
            "expires": None if self.expires is None else self.expires.isoformat(),
            "owner": self.owner,
            "near": self.near,
            "addresses": list(self.addresses),
            "passed": dict(self.passed),
        }


class Compute:
    """Machines by name. Every method raises an error of `sovbroker.errors`, and nothing else."""

    def __init__(self, around: Surroundings, *, deposit: Secrets | None = None) -> None:
        self._around = around
        self._deposit = deposit

    @property
    def places(self) -> Mapping[str, ComputePlace]:
        """The configured places for machines, by id."""
        return self._around.providers.places

    @property
    def volumes(self) -> Volumes:
        """Disks that outlive machines: `create`, `list`, `attach`, `detach`, `destroy`."""
        return Volumes(self._around)

    @property
    def keys(self) -> SshKeys:
        """The public keys that `launch` imported: `list`, `remove`."""
        return SshKeys(self._around)

    def launch(
        self,
        name: str,
        *,
        label: str | None = None,
        image: str = "debian-12",
        cpus: int = 1,
        memory: str | int = MEMORY,
        gpus: int = 0,
        arch: str = "x86_64",
        attested: Sequence[str] = (),
        near: str = "",
        at: Sequence[str] = (),
        ttl: str | float | None = None,
        user_data: bytes | str = b"",
        secrets: Mapping[str, str] | None = None,
        ssh_key: str | None = None,
        owner: str = "",
    ) -> Node:
        """Launch a machine where the policy lets its data be in the clear; return it.

        Its label is the join of `label` and of those of the objects `near` (a key, or the beginning of keys); without
        `near`, of what the policy's rules say of its name. It gets the cheapest size with so many `cpus`, so much
        `memory` (`4GiB`, or bytes) and so many `gpus`, that proves one of the `attested` kinds of confidential
        computing; near its data first. `at` are the only places that come into question. After `ttl` (`8h`, or seconds)
        `reap` destroys it. `user_data` is a script of at most 16 KiB, which must not hold any of the `secrets`; these
        reach the machine by a token that is good once. `ssh_key` is a public key.

        It is at the first place that has room, of those and in the order that `explain` tells; `passed` of what is
        returned tells those that had none. The same call again returns the same machine. Raises Refused when
        the policy allows no place, InvalidArgument when none has what is needed, NoCapacity when none has room,
        AlreadyExists for a machine of that name that is another one, and StoreError.
        """
        workload = self._workload(
            label=label,
            image=image,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            arch=arch,
            attested=attested,
            near=near,
            at=at,
            ttl=ttl,
            user_data=user_data,
            ssh_key=ssh_key,
            owner=owner,
        )
        made = launch(self._around, name, workload, secrets=secrets or {}, deposit=self._deposit)
        return _node(made.entry, made.machine, made.plan)

    def explain(
        self,
        name: str,
        *,
        label: str | None = None,
        image: str = "debian-12",
        cpus: int = 1,
        memory: str | int = MEMORY,
        gpus: int = 0,
        arch: str = "x86_64",
        attested: Sequence[str] = (),
        near: str = "",
        at: Sequence[str] = (),
    ) -> Plan:
        """Return where `launch` would put the machine now, and for every other place why not there. Changes nothing."""
        workload = self._workload(
            label=label,
            image=image,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            arch=arch,
            attested=attested,
            near=near,
            at=at,
        )
        return plan(self._around, check_name(name), workload)

    def list(self) -> Sequence[Node]:
        """Return our machines, by name, with their state. One that its provider does not list is `unknown`."""
        entries = self._around.journal.entries()
        targets = sorted({entry.target for entry in entries} & self.places.keys())
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sovbroker-compute") as pool:
            listed = pool.map(self._listed, targets)
            machines = {launch_of(one): one for found in listed for one in found}
        return [_node(entry, machines.get(entry.launch)) for entry in entries]

    def get(self, name: str) -> Node:
        """Return a machine of ours. Raises NotFound."""
        entry = self._entry(name)
        return _node(entry, self._machine(entry))

    def start(self, name: str) -> Node:
        """Start a stopped machine. Raises Refused where the policy does not allow it there any more."""
        with self._around.journal.locked(name):
            entry = self._launched(name)
            self._check(entry)
            self._around.providers.provider(entry.target).start(entry.machine)
        return self.get(name)

    def stop(self, name: str) -> Node:
        """Stop a machine, which keeps its disk."""
        with self._around.journal.locked(name):
            entry = self._launched(name)
            self._around.providers.provider(entry.target).stop(entry.machine)
        return self.get(name)

    def reboot(self, name: str) -> Node:
        """Start a running machine anew. Raises Refused where the policy does not allow it there any more."""
        with self._around.journal.locked(name):
            entry = self._launched(name)
            self._check(entry)
            self._around.providers.provider(entry.target).reboot(entry.machine)
        return self.get(name)

    def destroy(self, name: str) -> None:
        """Destroy a machine, its own disk, and the key that was imported for it. Volumes stay. Raises NotFound."""
        with self._around.journal.locked(name):
            undo(self._around, self._entry(name))

    def sizes(self, target: str) -> Sequence[Size]:
        """Return the sizes of a place, those with known prices first, by price."""
        found = self._around.providers.sizes(target)
        return sorted(found, key=lambda one: (one.price is None, one.price or 0, one.cpus, one.memory, one.id))

    def images(self, target: str, pattern: str, *, owner: str = "") -> Sequence[Image]:
        """Return the images of an owner at a place whose names match a pattern."""
        return self._around.providers.provider(target).images(ImageSource(owner, pattern))

    def audit(self) -> Audit:
        """Compare every machine at every place with the policy. Changes nothing."""
        return audit(self._around)

    def reap(self, *, strays: bool = False) -> Reaped:
        """Destroy what is over: machines past their time, and what launches that were cut short left behind.

        With `strays`, also machines that this installation has launched and knows nothing of any more.
        """
        return reap(self._around, strays=strays)

    def close(self) -> None:
        """Give connections back. May be called twice."""
        self._around.providers.close()

    # --- inner

    @staticmethod
    def _workload(
        *,
        cpus: int,
        memory: str | int,
        gpus: int,
        arch: str,
        attested: Sequence[str],
        at: Sequence[str],
        label: str | None,
        image: str,
        near: str,
        ttl: str | float | None = None,
        user_data: bytes | str = b"",
        ssh_key: str | None = None,
        owner: str = "",
    ) -> Workload:
        if isinstance(attested, str) or isinstance(at, str):
            raise InvalidArgument("`attested` and `at` are lists")
        seconds = ttl_of(ttl).total_seconds() if isinstance(ttl, str) else ttl
        if seconds is not None and seconds <= 0:
            raise InvalidArgument(f"a machine cannot live for {seconds} seconds")
        return Workload(
            label=label,
            needs=Needs(cpus, memory_of(memory) if isinstance(memory, str) else memory, gpus, arch, tuple(attested)),
            image=image,
            near=near,
            at=tuple(at),
            ttl=seconds,
            user_data=user_data.encode() if isinstance(user_data, str) else user_data,
            ssh_key=_public(ssh_key),
            owner=owner,
        )

    def _listed(self, target: str) -> Sequence[Machine]:
        return self._around.providers.provider(target).machines()

    def _entry(self, name: str) -> Entry:
        entry = self._around.journal.get(check_name(name))
        if entry is None:
            raise NotFound(f"there is no machine `{name}`")
        return entry

    def _launched(self, name: str) -> Entry:
        entry = self._entry(name)
        if entry.step is not Step.LAUNCHED:
            raise InvalidArgument(f"the machine `{name}` is {entry.step}; launch it again, or destroy it")
        return entry

    def _machine(self, entry: Entry) -> Machine | None:
        if not entry.machine:
            return None
        try:
            return self._around.providers.provider(entry.target).machine(entry.machine)
        except NotFound:
            return None

    def _check(self, entry: Entry) -> None:
        """Ask the policy again, as things are now."""
        try:
            data = data_of(self._around, entry.near) if entry.near else None
        except InvalidArgument:
            data = None
        asked = decide(self._around, key=entry.key, label=entry.label, data=data)
        allowed = {choice.target for choice in (*asked.decision.targets, *asked.decision.alternatives)}
        if not asked.decision.allowed or entry.target not in allowed:
            raise Refused(asked.decision)


def _node(entry: Entry, machine: Machine | None, made: Plan | None = None) -> Node:
    return Node(
        name=entry.name,
        id=entry.machine or ("" if machine is None else machine.id),
        target=entry.target,
        state=MachineState.UNKNOWN if machine is None else machine.state,
        label=entry.label,
        size=entry.size,
        image=entry.image,
        created=datetime.fromisoformat(entry.created),
        expires=datetime.fromisoformat(entry.expires) if entry.expires else None,
        owner=entry.owner,
        near=entry.near,
        addresses=() if machine is None else machine.addresses,
        plan=made,
        passed=entry.passed,
    )


def _public(key: str | None) -> str | None:
    """Return a public key. Raises InvalidArgument for what is none, and repeats nothing of it: it may be the secret."""
    if key is None:
        return None
    parts = key.split()
    if len(parts) < 2 or "PRIVATE" in key or not parts[0].startswith(("ssh-", "ecdsa-", "sk-")):  # noqa: PLR2004 - its kind, and the key
        raise InvalidArgument("`ssh_key` is no public key; give one such as `ssh-ed25519 AAAA… you@example.org`")
    return key.strip()
