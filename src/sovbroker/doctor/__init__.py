"""What can be wrong with an installation, found before it hurts. Nothing is printed, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, assert_never

from sovbroker import policy as policies
from sovbroker.catalogue import load as load_catalogue
from sovbroker.config import Config, KeyConfig, load_config
from sovbroker.doctor.findings import Check, Finding, Patient, Severity, mend_of
from sovbroker.doctor.targets import check_targets
from sovbroker.errors import ConfigError, Diagnostic, PolicyError, SovbrokerError
from sovbroker.keys import Keyring, KeyringStatus, PassphraseService
from sovbroker.keys.file import load as load_keyring
from sovbroker.opening import holder_of, place_of
from sovbroker.placements import SqliteIndex
from sovbroker.policy import Policy

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
    patient = Patient(config, load_catalogue(), clock or _now)
    for check in CHECKS if checks is None else checks:
        try:
            yield from check(patient)
        except SovbrokerError as error:
            yield Finding(Severity.ERROR, check.__name__.removeprefix("check_"), str(error), mend_of(error))


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


CHECKS: Final[tuple[Check, ...]] = (check_keys, check_policy, check_targets, check_state)
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
        passphrase = key.passphrase.resolve()
    except ConfigError as error:
        return replace(state, locked=str(error))
    try:
        with Keyring.open(key.path, PassphraseService(passphrase)) as keyring:
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
    catalogue = load_catalogue()
    place = None if config is None else config.policy
    source = place if file is None else file
    targets = None if config is None else [place_of(target, catalogue).target for target in config.targets]
    keys = None if config is None else [holder_of(key) for key in config.keys]
    if source is None:
        text = policies.DEFAULT
        return policies.loads(text, file=BUILT_IN, targets=targets, keys=keys, clock=clock)
    return policies.load(source, targets=targets, keys=keys, clock=clock)


def _now() -> datetime:
    return datetime.now(UTC)
