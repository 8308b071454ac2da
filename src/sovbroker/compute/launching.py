"""One launch, from the plan to the machine, such that a crash at any step leaves nothing unknown and nothing twice."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Final

from sovbroker.compute.checks import check_name, check_user_data
from sovbroker.compute.journal import Entry, Step
from sovbroker.compute.planning import Option, Plan, Surroundings, Workload, plan
from sovbroker.errors import (
    AlreadyExists,
    ConfigError,
    InvalidArgument,
    NoCapacity,
    NotFound,
    NotSupported,
    PermissionDenied,
    Refused,
    SealError,
    Unavailable,
)
from sovbroker.machines import ComputeFeature, ComputeProvider, Launch, Machine, MachineState
from sovbroker.ports import Support

__all__ = [
    "GRACE",
    "TAG",
    "Launched",
    "Secrets",
    "found",
    "launch",
    "launch_of",
    "machines_of",
    "tags_of",
    "undo",
]

log = logging.getLogger("sovbroker")

TAG: Final = "sovbroker"
"""What the names of our tags begin with."""

GRACE: Final = timedelta(minutes=15)
"""How long a provider may take to show a machine that it has made."""


Secrets = Callable[[str, Mapping[str, str], bytes], bytes]
"""Puts secrets by name where the machine of a launch finds them; returns its script with what it finds them by."""


def tags_of(entry: Entry, installation: str) -> dict[str, str]:
    """Return the tags of a machine. Of a hidden one, its provider is told the launch alone, which tells nothing."""
    tags = {f"{TAG}-launch": entry.launch, f"{TAG}-installation": installation}
    if not entry.hidden:
        told = {"name": entry.name, "label": entry.label, "policy": entry.policy[:16], "owner": entry.owner}
        tags |= {f"{TAG}-{key}": value for key, value in told.items() if value}
    if entry.expires:
        tags[f"{TAG}-expires"] = entry.expires
    return tags


@dataclass(frozen=True, slots=True)
class Launched:
    """A launch that stands: its entry, its machine, and the plan, None where it was there already."""

    entry: Entry
    machine: Machine
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be launched, wherever that will be."""

    name: str
    workload: Workload
    plan: Plan
    request: str
    secrets: Mapping[str, str] = field(repr=False)
    deposit: Secrets | None


def launch(
    around: Surroundings, name: str, workload: Workload, *, secrets: Mapping[str, str], deposit: Secrets | None
) -> Launched:
    """Launch a machine, or return the one of that name that the same workload has already.

    It is at the first option of the plan whose provider has room for it. Raises Refused, InvalidArgument,
    AlreadyExists, StoreError; NoCapacity where no option has room, and then there is nothing. After Unavailable there
    may be a machine: the same call finds it, and so does `reap`.
    """
    check_name(name)
    check_user_data(workload.user_data, secrets)
    if secrets and deposit is None:
        raise InvalidArgument("nothing keeps secrets for machines; add `secrets` to the configuration")
    digest = workload.digest(secrets)
    with around.journal.locked(name):
        before = around.journal.get(name)
        if before is not None:
            standing = _standing(around, before, digest)
            if standing is not None:
                return Launched(before, standing)
            before = around.journal.get(name)
        # A machine asks for its secrets by its script.
        made = plan(around, name, workload, scripted=bool(secrets))
        if not made.allowed:
            if not made.decision.allowed:
                raise Refused(made.decision, f"no place may have the machine\n{made}")
            raise InvalidArgument(f"no place that may have the machine has what it needs\n{made}")
        resumed = before if before is not None and _still(made, before) else None
        if before is not None and resumed is None:
            undo(around, before)
        return _placed(around, Task(name, workload, made, digest, secrets, deposit), resumed)


def _placed(around: Surroundings, task: Task, resumed: Entry | None) -> Launched:
    """Launch at the first option that has room: first where it was begun, then as the plan has them.

    An entry is undone before the next one is written, and that one is there before its provider is asked. So there is
    never more than one place at which there may be something.
    """
    begun = "" if resumed is None else resumed.target
    full: dict[str, NoCapacity] = {}
    for option in sorted(task.plan.options, key=lambda one: one.target != begun):
        if resumed is not None and option.target == begun:
            entry, again = resumed, True
        else:
            told = {target: _words(error, target) for target, error in full.items()}
            if told:
                before, why = list(told.items())[-1]
                log.warning("%s has no room for `%s`, and %s is asked next: %s", before, task.name, option.target, why)
            entry, again = _entry(around, task, option, told), False
        around.journal.put(entry)
        provider = around.providers.provider(entry.target)
        machine = found(provider, entry) if again else None
        try:
            if machine is None or _cut_short(provider, machine):
                entry, machine = _carried_out(around, task, entry, option, again=again)
        except NoCapacity as error:
            full[option.target] = error
            continue
        entry = replace(entry, step=Step.LAUNCHED, machine=machine.id)
        around.journal.put(entry)
        return Launched(entry, machine, task.plan)
    raise _nowhere(full)


def _words(error: Exception, target: str) -> str:
    """Return what an error of a place says, without the place."""
    return str(error).removeprefix(f"{target}: ")


def _nowhere(full: Mapping[str, NoCapacity]) -> NoCapacity:
    """Return the error of a launch that no place has room for: the place's own, where there is only one."""
    if len(full) == 1:
        return next(iter(full.values()))
    width = max(len(target) for target in full)
    lines = [f"  {target:<{width}}  {_words(error, target)}" for target, error in full.items()]
    head = "no place that may have the machine has room for it now, and nothing was launched; try again later"
    return NoCapacity("\n".join([head, *lines]))


def _standing(around: Surroundings, entry: Entry, digest: str) -> Machine | None:
    """Return the machine of an entry where it stands; None where there is none (any more), or maybe one."""
    provider = around.providers.provider(entry.target)
    if entry.step is Step.LAUNCHED:
        try:
            machine = provider.machine(entry.machine)
        except NotFound:
            undo(around, entry)
            return None
        if entry.request != digest:
            raise AlreadyExists(
                f"there is a machine `{entry.name}` at {entry.target}, launched for something else; destroy it, or "
                "choose another name"
            )
        return machine
    if entry.step is Step.DESTROYING or entry.request != digest:
        undo(around, entry)
    return None


def _still(made: Plan, entry: Entry) -> bool:
    """Whether what was begun may go on: where it was begun, with what it was begun with."""
    return entry.label == made.label and any(
        (one.target, one.size.id, one.image) == (entry.target, entry.size, entry.image) for one in made.options
    )


def _entry(around: Surroundings, task: Task, option: Option, passed: Mapping[str, str]) -> Entry:
    now, made, workload = around.clock(), task.plan, task.workload
    return Entry(
        name=task.name,
        launch=token_hex(12),
        target=option.target,
        key=made.key,
        label=made.label,
        near=workload.near,
        request=task.request,
        size=option.size.id,
        image=option.image,
        step=Step.LAUNCHING,
        created=now.isoformat(),
        expires="" if workload.ttl is None else (now + timedelta(seconds=workload.ttl)).isoformat(),
        owner=workload.owner,
        hidden=_hides(around, made),
        policy=made.decision.policy,
        passed=passed,
    )


def _hides(around: Surroundings, made: Plan) -> bool:
    """Whether the policy lets some place have such data only under hidden names: then names and labels tell much."""
    policy = around.governing()
    mask = policy.lattice.mask(made.decision.label)
    return any(mode.names_encrypted for mode in policy.modes(mask).values())


def _carried_out(
    around: Surroundings, task: Task, entry: Entry, option: Option, *, again: bool
) -> tuple[Entry, Machine]:
    """Do what a launch takes at its provider, and undo it where the provider would not have it.

    Raises NoCapacity when nothing is left there. `again`: an earlier try may have been carried out.
    """
    provider, workload = around.providers.provider(entry.target), task.workload
    try:
        script = workload.user_data
        if task.deposit is not None and task.secrets:
            script = task.deposit(entry.launch, task.secrets, script)
            check_user_data(script, task.secrets)
        if workload.ssh_key is not None:
            key = provider.import_key(f"{TAG}-{entry.launch}", workload.ssh_key)
            entry = replace(entry, public_key=key.id)
            around.journal.put(entry)
        machine = provider.launch(
            Launch(
                token=entry.launch,
                name=f"{TAG}-{entry.launch}" if entry.hidden else _told(provider, entry),
                size=option.size.id,
                image=option.image,
                user_data=script,
                key=entry.public_key or None,
                tags=tags_of(entry, around.journal.installation()) if _tagged(provider) else {},
                attested=_attested(workload, option),
            )
        )
    except (InvalidArgument, PermissionDenied, NotFound, NotSupported, NoCapacity, ConfigError, SealError) as error:
        # The provider would not have it, or never heard of it: what is not there now never will be. Unless an earlier
        # try has made it: then that may be why there is no room, and it may not be shown yet.
        made = found(provider, entry) if again else None
        if made is not None and not _cut_short(provider, made):
            return entry, made
        try:
            undo(around, entry, certain=not again)
        except Unavailable as unseen:
            said = f"{_words(error, entry.target)}; {_words(unseen, entry.target)}"
            raise Unavailable(said, target=entry.target) from error
        raise
    return entry, machine


def _tagged(provider: ComputeProvider) -> bool:
    return provider.capabilities[ComputeFeature.TAGS].usable


def _cut_short(provider: ComputeProvider, machine: Machine) -> bool:
    """Whether a launch of several steps ended between them: the same launch goes on with what is there."""
    steps = provider.capabilities[ComputeFeature.IDEMPOTENT_LAUNCH] is Support.EMULATED
    return steps and machine.state is MachineState.STOPPED


def _attested(workload: Workload, option: Option) -> str | None:
    """Return the first kind of confidential computing that was asked for and that the size can prove."""
    return next((kind for kind in workload.needs.attested if kind in option.size.attested), None)


def _told(provider: ComputeProvider, entry: Entry) -> str:
    """Return what a machine is called at its provider: where there are no tags, the name is all that tells it apart."""
    name = entry.name.replace("/", "-").replace(".", "-")
    return name if _tagged(provider) else f"{name[:30]}-{entry.launch}"


def found(provider: ComputeProvider, entry: Entry) -> Machine | None:
    """Return the machine that a launch has made at a provider, if it is there."""
    return next((one for one in provider.machines() if launch_of(one) == entry.launch), None)


LAUNCH: Final = re.compile(r"(?:.*-)?([0-9a-f]{24})")


def launch_of(machine: Machine) -> str:
    """Return the launch that a machine says it is of; "" for one that is not ours."""
    told = machine.tags.get(f"{TAG}-launch", "")
    if not told and (match := LAUNCH.fullmatch(machine.name)) is not None:
        told = match[1]
    return told


def undo(around: Surroundings, entry: Entry, *, certain: bool = False) -> bool:
    """Destroy what an entry tells of, all of it, and forget it; whether there was a machine.

    The caller has the lock of its name. Raises StoreError where something is left: the entry stays. So it does where
    nothing is seen and the launch is young, unless it is `certain` that there is nothing: providers may take their time
    to show what they made, and what is forgotten is never found again.
    """
    provider = around.providers.provider(entry.target)
    if certain:
        # Kept before the provider is asked again, so that a crash or a lost answer makes nobody wait.
        entry = replace(entry, step=Step.DESTROYING)
        around.journal.put(entry)
    there = machines_of(provider, entry)
    young = around.clock() - datetime.fromisoformat(entry.created) < GRACE
    if not there and young and entry.step is not Step.DESTROYING:
        raise Unavailable(
            f"its machine `{entry.name}` is not to be seen, and may still appear; try again in a quarter of an hour",
            target=entry.target,
        )
    around.journal.put(replace(entry, step=Step.DESTROYING))
    for machine in there:
        provider.destroy(machine)
    if provider.capabilities[ComputeFeature.KEYS].usable and (entry.public_key or entry.step is not Step.LAUNCHED):
        for key in provider.public_keys():
            if key.id == entry.public_key or key.name == f"{TAG}-{entry.launch}":
                provider.delete_key(key.id)
    around.journal.remove(entry.name)
    return bool(there)


def machines_of(provider: ComputeProvider, entry: Entry) -> Sequence[str]:
    """Return the machines of a launch by their ids: the one that is known, and any that says that it is of it."""
    seen = {one.id for one in provider.machines() if launch_of(one) == entry.launch}
    if entry.machine:
        with suppress(NotFound):
            seen.add(provider.machine(entry.machine).id)
    return sorted(seen)
