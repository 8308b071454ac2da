"""One launch, from the plan to the machine, such that a crash at any step leaves nothing unknown and nothing twice."""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Final

from sovbroker.compute.journal import Entry, Step
from sovbroker.compute.planning import Option, Plan, Surroundings, Workload, plan
from sovbroker.errors import (
    AlreadyExists,
    ConfigError,
    InvalidArgument,
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
    "check_name",
    "check_user_data",
    "found",
    "launch",
    "launch_of",
    "machines_of",
    "tags_of",
    "undo",
]

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9./-]{0,61}[a-z0-9])?")
TAG: Final = "sovbroker"
"""What the names of our tags begin with."""

GRACE: Final = timedelta(minutes=15)
"""How long a provider may take to show a machine that it has made."""

USER_DATA_MAX: Final = 16 << 10
SECRET_LEAST: Final = 4
SECRET_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
ENCODINGS: Final = ("utf-8", "utf-16-le", "utf-16-be")

Secrets = Callable[[str, Mapping[str, str], bytes], bytes]
"""Puts secrets by name where the machine of a launch finds them; returns its script with what it finds them by."""


def check_name(name: str) -> str:
    """Return the name of a machine. Raises InvalidArgument for one that not every provider takes."""
    if NAME.fullmatch(name) is None:
        raise InvalidArgument(
            f"`{name[:80]}` cannot name a machine; use 1 to 63 of a-z, 0-9, `.`, `/` and `-`, a letter or digit at "
            "either end"
        )
    return name


def check_user_data(script: bytes, secrets: Mapping[str, str]) -> None:
    """Raise InvalidArgument for a script that is too long, or that holds a declared secret in any usual encoding."""
    if len(script) > USER_DATA_MAX:
        raise InvalidArgument(
            f"user_data takes {len(script)} bytes, and at most {USER_DATA_MAX} are allowed; fetch more"
        )
    for name, secret in secrets.items():
        if len(secret) < SECRET_LEAST:
            raise InvalidArgument(f"the secret `{name}` is shorter than {SECRET_LEAST} characters")
        if SECRET_NAME.fullmatch(name) is None:
            raise InvalidArgument(f"`{name[:80]}` cannot name a secret; use 1 to 64 letters, digits, `_`, `-` and `.`")
        if any(form in script for form in _spellings(secret)):
            raise InvalidArgument(
                f"user_data holds the secret `{name}`, and every provider keeps user_data where others read it; pass "
                "it as `secrets=` alone"
            )


def _spellings(secret: str) -> Iterator[bytes]:
    """Yield how a secret may stand in a text: plain, percent-encoded, hexadecimal, base64 at each alignment."""
    yield urllib.parse.quote(secret, safe="").encode()
    for encoding in ENCODINGS:
        plain = secret.encode(encoding)
        yield from (plain, plain.hex().encode(), plain.hex().upper().encode())
        for shift in range(3):
            # The characters that only the secret decides: whatever stands around it.
            coded = base64.b64encode(bytes(shift) + plain)
            inner = coded[-(-shift * 8 // 6) : (shift + len(plain)) * 8 // 6]
            yield from (inner, inner.translate(bytes.maketrans(b"+/", b"-_")))


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


def launch(
    around: Surroundings, name: str, workload: Workload, *, secrets: Mapping[str, str], deposit: Secrets | None
) -> Launched:
    """Launch a machine, or return the one of that name that the same workload has already.

    Raises Refused, InvalidArgument, AlreadyExists, StoreError. After Unavailable there may be a machine: the same call
    finds it, and so does `reap`.
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
        made = plan(around, name, workload)
        if not made.allowed:
            if not made.decision.allowed:
                raise Refused(made.decision, f"no place may have the machine\n{made}")
            raise InvalidArgument(f"no place that may have the machine has what it needs\n{made}")
        resumed = before if before is not None and _still(made, before) else None
        if before is not None and resumed is None:
            undo(around, before)
        entry = resumed or _entry(around, name, workload, made, digest)
        option = next(one for one in made.options if one.target == entry.target)
        around.journal.put(entry)
        provider = around.providers.provider(entry.target)
        machine = None if resumed is None else found(provider, entry)
        if machine is None or _cut_short(provider, machine):
            entry, machine = _carried_out(around, entry, workload, option, provider, secrets=secrets, deposit=deposit)
        entry = replace(entry, step=Step.LAUNCHED, machine=machine.id)
        around.journal.put(entry)
        return Launched(entry, machine, made)


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


def _entry(around: Surroundings, name: str, workload: Workload, made: Plan, digest: str) -> Entry:
    now, option = around.clock(), made.options[0]
    return Entry(
        name=name,
        launch=token_hex(12),
        target=option.target,
        key=made.key,
        label=made.label,
        near=workload.near,
        request=digest,
        size=option.size.id,
        image=option.image,
        step=Step.LAUNCHING,
        created=now.isoformat(),
        expires="" if workload.ttl is None else (now + timedelta(seconds=workload.ttl)).isoformat(),
        owner=workload.owner,
        hidden=_hides(around, made),
        policy=made.decision.policy,
    )


def _hides(around: Surroundings, made: Plan) -> bool:
    """Whether the policy lets some place have such data only under hidden names: then names and labels tell much."""
    policy = around.governing()
    mask = policy.lattice.mask(made.decision.label)
    return any(mode.names_encrypted for mode in policy.modes(mask).values())


def _carried_out(
    around: Surroundings,
    entry: Entry,
    workload: Workload,
    option: Option,
    provider: ComputeProvider,
    *,
    secrets: Mapping[str, str],
    deposit: Secrets | None,
) -> tuple[Entry, Machine]:
    """Do what a launch takes at its provider, and undo it where the provider would not have it."""
    try:
        script = workload.user_data
        if deposit is not None and secrets:
            script = deposit(entry.launch, secrets, script)
            check_user_data(script, secrets)
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
    except (InvalidArgument, PermissionDenied, NotFound, NotSupported, ConfigError, SealError):
        # The provider would not have it, or never heard of it: what is not there now never will be.
        undo(around, entry, certain=True)
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
    there = machines_of(provider, entry)
    young = around.clock() - datetime.fromisoformat(entry.created) < GRACE
    if not there and young and not certain and entry.step is not Step.DESTROYING:
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
