"""What can be wrong with an installation, found before it hurts. Nothing is printed, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, assert_never

from sovbroker import policy as policies
from sovbroker.config import Config, KeyConfig, load_config
from sovbroker.doctor.findings import Check, Finding, Patient, Severity, mend_of
from sovbroker.doctor.machines import check_machines
from sovbroker.doctor.targets import check_targets
from sovbroker.errors import ConfigError, Diagnostic, PolicyError, SovbrokerError
from sovbroker.keys import KeyringStatus
from sovbroker.keys.file import load as load_keyring
from sovbroker.opening import catalogue_of, place_of, world_of
from sovbroker.placements import SqliteIndex
from sovbroker.policy import Policy
from sovbroker.recipients import open_keyring, recipients_at_hand

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "KeyringState",
    "Patient",
    "Severity",
    "diagnose_policy",
    "examine",
    "keyrings",
]

SOON: Final = timedelta(days=30)
BUILT_IN: Final = "(built-in policy)"


def examine(
    path: Path | None = None, *, clock: Callable[[], datetime] | None = None, checks: Sequence[Check] | None = None
) -> Iterator[Finding]:
    """Yield what is found in the configuration `path` (default: as `sovbroker.open` looks for it), check by check.

    Makes a few harmless calls to every target. Raises nothing: what stops a check is its finding.
    """
    subject = "configuration"
    try:
        config = load_config(path)
    except SovbrokerError as error:
        yield Finding(Severity.ERROR, subject, str(error))
        return
    where = "the built-in one: no file was found" if config.file is None else f"`{config.file}`"
    yield Finding(Severity.OK, subject, where)
    now = clock or _now
    try:
        patient = Patient(config, catalogue_of(config, clock=now), now)
    except SovbrokerError as error:
        yield Finding(Severity.ERROR, "overlay", str(error))
        return
    for check in CHECKS if checks is None else checks:
        try:
            yield from check(patient)
        except SovbrokerError as error:
            yield Finding(Severity.ERROR, check.__name__.removeprefix("check_"), str(error), mend_of(error))


def check_overlay(patient: Patient) -> Iterator[Finding]:
    """Tell what the operator's overlay attests: by which documents, which of them are at hand, and who accepts what."""
    overlay = patient.catalogue.overlay
    if overlay is None:
        return
    yield Finding(Severity.OK, "overlay", f"`{overlay.file}` can be used")
    today = patient.clock().astimezone(UTC).date()
    for held in overlay.held:
        subject = f"document: {held.attestation.document}"
        if held.attestation.expires <= today:
            mend = "what it attests counts no more: get a new one, and write its dates and its SHA-256"
            yield Finding(Severity.WARNING, subject, f"ended on {held.attestation.expires}", mend)
        elif held.attestation.expires <= today + SOON:
            mend = "get a new one before: what it attests will count no more"
            yield Finding(Severity.WARNING, subject, f"ends on {held.attestation.expires}", mend)
        elif not held.seen:
            mend = "put it there under this name, or keep it where its readers find it"
            what = "it is not beside the overlay, so that its SHA-256 was not compared"
            yield Finding(Severity.WARNING, subject, what, mend)
        else:
            yield Finding(Severity.OK, subject, f"of {held.attestation.by}, until {held.attestation.expires}")
    for target in patient.config.targets:
        try:
            place = place_of(target, patient.catalogue)
        except ConfigError:
            # Whoever looks at the targets tells why.
            continue
        for what, evidence in place.vouched:
            yield Finding(Severity.OK, f"attested: {place.target.id}", f"{what} by {evidence}")


def check_keys(patient: Patient) -> Iterator[Finding]:
    """Look whether every keyring is there, private, and opens."""
    if not patient.config.keys:
        yield Finding(
            Severity.WARNING, "keys", "no key service is configured, so nothing can be sealed", "add one under `keys`"
        )
    for state in keyrings(patient.config):
        subject = f"keys: {state.name}"
        if state.error is not None:
            yield Finding(Severity.ERROR, subject, str(state.error))
        elif state.locked:
            yield Finding(Severity.WARNING, subject, f"`{state.path}` is there, and was not opened: {state.locked}")
        else:
            yield Finding(Severity.OK, subject, f"`{state.path}` opens")


def check_policy(patient: Patient) -> Iterator[Finding]:
    """Load the policy with the targets and keys of the configuration."""
    found = diagnose_policy(None, config=patient.config, clock=patient.clock)
    for diagnostic in found:
        match diagnostic.severity:
            case "error":
                yield Finding(Severity.ERROR, "policy", str(diagnostic))
            case "warning":
                yield Finding(Severity.WARNING, "policy", str(diagnostic))
            case _:
                assert_never(diagnostic.severity)
    if not found:
        name = "the built-in policy" if patient.config.policy is None else f"`{patient.config.policy}`"
        yield Finding(Severity.OK, "policy", f"{name} loads, and every label that it names has a placement today")


def check_state(patient: Patient) -> Iterator[Finding]:
    """Open the state database, and count what is left over."""
    path = patient.config.state
    if not path.exists():
        yield Finding(Severity.OK, "state", f"`{path}` is made by the first command that stores something")
        return
    index = SqliteIndex(path)
    try:
        left = index.leftovers()
    finally:
        index.close()
    yield Finding(Severity.OK, "state", f"`{path}` opens")
    if not left:
        yield Finding(Severity.OK, "leftovers", "none")
    for item in left:
        what = "an unfinished write" if item.kind == "intent" else "a copy that should be gone"
        tried = f", {item.attempts} failed removals: {item.error}" if item.attempts else ""
        yield Finding(
            Severity.WARNING,
            "leftovers",
            f"{what} of `{item.key}` at {item.target}{tried}",
            "run `sovbroker sweep`; what a running process still writes is left alone",
        )


CHECKS: Final[tuple[Check, ...]] = (
    check_overlay,
    check_keys,
    check_policy,
    check_targets,
    check_machines,
    check_state,
)
"""The checks in the order in which they are made."""


@dataclass(frozen=True, slots=True)
class KeyringState:
    """A configured keyring: its `status` when it was opened, why it stays `locked`, or the `error` that it has.

    Locked is one that is there, private and whole, and whose passphrase is not at hand.
    """

    name: str
    path: Path
    status: KeyringStatus | None = None
    locked: str = ""
    error: SovbrokerError | None = None

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "name": self.name,
            "path": str(self.path),
            "status": None if self.status is None else asdict(self.status),
            "locked": self.locked or None,
            "error": None if self.error is None else str(self.error),
        }


def keyrings(config: Config) -> tuple[KeyringState, ...]:
    """Look at every configured keyring, opening those whose passphrase is at hand."""
    return tuple(_keyring(key) for key in config.keys)


def _keyring(key: KeyConfig) -> KeyringState:
    state = KeyringState(key.name, key.path)
    try:
        # What is wrong with the file shows without a passphrase.
        load_keyring(key.path)
    except SovbrokerError as error:
        return replace(state, error=error)
    try:
        for service in recipients_at_hand(key):
            service.close()
    except ConfigError as error:
        return replace(state, locked=str(error))
    try:
        with open_keyring(key) as keyring:
            return replace(state, status=keyring.status())
    except SovbrokerError as error:
        return replace(state, error=error)


def diagnose_policy(
    file: Path | None, *, config: Config | None = None, clock: Callable[[], datetime] | None = None
) -> tuple[Diagnostic, ...]:
    """Load a policy and return every finding, errors first.

    `file` None means the policy of `config`. With `config` its targets and keys are what labels can be placed on,
    without it every target of the catalogue, and a key service
    in each zone that the policy wants keys in.
    """
    try:
        return tuple(_load_policy(file, config, clock or _now).warnings)
    except PolicyError as error:
        return error.diagnostics


def _load_policy(file: Path | None, config: Config | None, clock: Callable[[], datetime]) -> Policy:
    place = None if config is None else config.policy
    source = place if file is None else file
    world = None if config is None else world_of(config)
    targets, keys, digest = (None, None, "") if world is None else (world.targets, world.keys, world.digest)
    if source is None:
        text, name = policies.DEFAULT, BUILT_IN
        return policies.loads(text, file=name, targets=targets, keys=keys, catalogue_digest=digest, clock=clock)
    return policies.load(source, targets=targets, keys=keys, catalogue_digest=digest, clock=clock)


def _now() -> datetime:
    return datetime.now(UTC)
