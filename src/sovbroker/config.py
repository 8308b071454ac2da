"""The configuration: which targets, which keys, which policy, where the state is.

A file is read with positions, and every mistake in it is reported at once. Paths in it are relative to it. Secrets do
not stand in it; it says where they come from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sovbroker.catalogue.connection import on_this_machine
from sovbroker.computesection import (
    PLACES,
    SECRETS,
    ComputeConfig,
    PlaceSection,
    SecretsConfig,
    SecretsSection,
    check_twice,
)
from sovbroker.document import (
    Choice,
    Findings,
    Flag,
    Kind,
    ListOf,
    MapOf,
    Place,
    Record,
    Text,
    Whole,
    Word,
    decode,
    optional,
    read,
    required,
)
from sovbroker.errors import ConfigError
from sovbroker.keysection import KEYRING, KeySection
from sovbroker.placements import Durability
from sovbroker.recipients import KeyConfig, passphrase_of
from sovbroker.secrets import CREDENTIAL_NAMES, CredentialSource, SecretSource
from sovbroker.shapes import CONTRADICTION, SECRET_OR_TEXT, Countries, Secret, beside

__all__ = [
    "CODES",
    "AccountConfig",
    "Config",
    "KeyConfig",
    "TargetConfig",
    "embedded",
    "load_config",
    "parse_config",
]

CODES: Final[Mapping[Kind, str]] = {
    Kind.SYNTAX: "SF001",
    Kind.DUPLICATE: "SF002",
    Kind.UNKNOWN: "SF003",
    Kind.MISSING: "SF004",
    Kind.TYPE: "SF005",
    Kind.VALUE: "SF006",
}
FILE: Final = "sovbroker.yaml"
VARIABLE: Final = "SOVBROKER_CONFIG"
PASSPHRASE: Final = "SOVBROKER_PASSPHRASE"  # noqa: S105 - the name of a variable
OWN: Final = ("local", "memory")
"""Targets that are no provider's: the operator says where they are."""


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """A configured target: `at` as the catalogue spells it, or `local` or `memory`.

    `container` is the bucket, or the folder of a local target. `parameters` fill the placeholders of the provider's
    endpoint. `endpoint` replaces it, for emulators on this machine. `adapter` chooses another way to the same place,
    None the usual one; `fast` puts the adapter `obstore` in front of it.
    """

    at: str
    container: str
    endpoint: str | None = None
    emulated: bool = False
    credentials: CredentialSource = field(default_factory=CredentialSource)
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    located: frozenset[str] | None = None
    controlled: frozenset[str] | None = None
    create: bool = False
    adapter: str | None = None
    fast: bool = False


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """A project at a provider's account plane. `endpoint` replaces the catalogue's, for emulators on this machine."""

    provider: str
    project: str
    credentials: Mapping[str, SecretSource]
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration, with every path absolute. `policy` None: the built-in policy, everything sealed here.

    `reload` is how often, in seconds, to look whether the policy's files have changed; None: never. `overlay` is the
    operator's file that lies over the catalogue. `durability` is what an acknowledged write survives.
    """

    state: Path
    targets: tuple[TargetConfig, ...]
    keys: tuple[KeyConfig, ...] = ()
    policy: Path | None = None
    file: Path | None = None
    reload: int | None = None
    overlay: Path | None = None
    durability: Durability = Durability.POWER
    accounts: tuple[AccountConfig, ...] = ()
    compute: tuple[ComputeConfig, ...] = ()
    secrets: SecretsConfig | None = None


def embedded(folder: Path | None = None) -> Config:
    """Return the configuration that holds when there is none: one folder under the user's data folder."""
    home = folder or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "sovbroker"
    return Config(
        state=home / "state.db",
        targets=(TargetConfig(at="local", container=str(home / "objects"), create=True),),
        keys=(KeyConfig("main", home / "keyring.json", (passphrase_of(SecretSource(env=PASSPHRASE)),)),),
    )


def load_config(path: Path | None = None) -> Config:
    """Read `path`, else the file that SOVBROKER_CONFIG names, else `./sovbroker.yaml`, else give the embedded default.

    Raises ConfigError with every finding, each with file, line and column.
    """
    named = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is None and not Path(FILE).exists():
        return embedded()
    file = named or Path(FILE)
    if file.is_dir():
        file /= FILE
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration `{file}`: {error.strerror}; `sovbroker init DIR` writes one"
        ) from error
    return parse_config(text, file=file)


@dataclass(frozen=True, slots=True)
class _Account:
    project: Word
    credentials: Mapping[Word, SecretSource]
    endpoint: Word | None = None
    emulated: bool = False


@dataclass(frozen=True, slots=True)
class _Target:
    place: Place
    at: Word
    bucket: Word | None = None
    path: Word | None = None
    endpoint: Word | None = None
    emulated: bool = False
    credentials: CredentialSource | None = None
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    located: frozenset[str] | None = None
    controlled: frozenset[str] | None = None
    adapter: Word | None = None
    fast: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    targets: tuple[_Target, ...]
    policy: Word | None = None
    overlay: Word | None = None
    reload: int | None = None
    state: str = "state.db"
    durability: Durability = Durability.POWER
    keys: Mapping[Word, KeySection] = field(default_factory=dict[Word, KeySection])
    accounts: Mapping[Word, _Account] = field(default_factory=dict[Word, _Account])
    compute: tuple[PlaceSection, ...] = ()
    secrets: SecretsSection | None = None


def _file(sovbroker: int, **rest: object) -> _File:
    del sovbroker  # the version is checked by its shape
    return _File(**rest)  # type: ignore[arg-type]  # the shapes have checked the types


def _credentials(env: str | None = None, profile: str | None = None, **single: SecretSource) -> CredentialSource:
    return CredentialSource(env=env, profile=profile, single=single)


CREDENTIALS: Final = Record(
    _credentials,
    {
        "env": optional(Text()),
        "profile": optional(Text()),
        **{name: optional(SECRET_OR_TEXT) for name in CREDENTIAL_NAMES},
    },
)
ACCOUNT: Final = Record(
    _Account,
    {
        "project": required(Text()),
        "credentials": required(MapOf(Secret(), key=Text(pattern=r"[a-z][a-z_]*", wanted="a name of a-z and _"))),
        "endpoint": optional(Text()),
        "emulated": optional(Flag()),
    },
)
TARGET: Final = Record(
    _Target,
    {
        "at": required(Text()),
        "bucket": optional(Text()),
        "path": optional(Text()),
        "endpoint": optional(Text()),
        "emulated": optional(Flag()),
        "credentials": optional(CREDENTIALS),
        "parameters": optional(MapOf(Text())),
        "located": optional(Countries()),
        "controlled": optional(Countries()),
        "adapter": optional(Text()),
        "fast": optional(Flag()),
    },
    place=True,
)
SHAPE: Final = Record(
    _file,
    {
        "sovbroker": required(Choice({"1": 1})),
        "policy": optional(Text()),
        "overlay": optional(Text()),
        "reload": optional(Whole(least=1, most=86_400)),
        "state": optional(Text()),
        "durability": optional(Choice({kind.value: kind for kind in Durability})),
        "keys": optional(MapOf(KEYRING, key=Text(pattern=r"[a-z0-9][a-z0-9-]*", wanted="a name of a-z, 0-9 and -"))),
        "targets": required(ListOf(TARGET, least=1)),
        "accounts": optional(MapOf(ACCOUNT)),
        "compute": optional(PLACES),
        "secrets": optional(SECRETS),
    },
)


def parse_config(text: str | bytes, *, file: Path) -> Config:
    """Read a configuration's text; `file` names it in findings, and paths in it are relative to its folder."""
    findings = Findings(CODES, excerpts=False)
    read_file = decode(read(text, str(file), findings), SHAPE, findings)
    folder = file.parent.absolute()
    targets: list[TargetConfig] = []
    accounts: tuple[AccountConfig, ...] = ()
    keys: tuple[KeyConfig, ...] = ()
    compute: tuple[ComputeConfig, ...] = ()
    if read_file is not None:
        overlaid = read_file.overlay is not None
        targets = [_target(target, folder, findings, overlaid=overlaid) for target in read_file.targets]
        seen: dict[str, Place] = {}
        for target in read_file.targets:
            if target.at in seen:
                findings.error(Kind.DUPLICATE, target.place, f"the target `{target.at}` is here twice")
            seen[target.at] = target.place
        accounts = tuple(_account(name, one, folder, findings) for name, one in read_file.accounts.items())
        keys = tuple(section.config(name, folder, findings) for name, section in read_file.keys.items())
        compute = tuple(section.config(folder, findings) for section in read_file.compute)
        check_twice(read_file.compute, findings)
    if read_file is None or findings.failed:
        raise ConfigError("\n\n".join(str(d) for d in findings.diagnostics))
    return Config(
        file=file.absolute(),
        policy=None if read_file.policy is None else folder / read_file.policy,
        reload=read_file.reload,
        overlay=None if read_file.overlay is None else folder / read_file.overlay,
        state=folder / read_file.state,
        durability=read_file.durability,
        keys=keys,
        targets=tuple(targets),
        accounts=accounts,
        compute=compute,
        secrets=None if read_file.secrets is None else read_file.secrets.config(folder),
    )


def _account(provider: Word, account: _Account, folder: Path, findings: Findings) -> AccountConfig:
    endpoint = account.endpoint
    if (endpoint is None) == account.emulated or (endpoint is not None and not on_this_machine(endpoint)):
        findings.error(
            CONTRADICTION,
            provider.place if endpoint is None else endpoint.place,
            f"the endpoint of the account at `{provider}` comes from the catalogue",
            "remove `endpoint` and `emulated`; an emulator on this machine (127.0.0.1, ::1 or localhost) has both",
        )
    return AccountConfig(
        provider=str(provider),
        project=str(account.project),
        credentials={str(name): beside(source, folder) for name, source in account.credentials.items()},
        endpoint=None if endpoint is None else str(endpoint),
    )


def _target(target: _Target, folder: Path, findings: Findings, *, overlaid: bool) -> TargetConfig:
    """Check what one target says against itself. With an overlay, its endpoint may stand there."""
    own = target.at in OWN
    container = target.path if own else target.bucket
    wanted = "path" if own else "bucket"
    if container is None and target.at != "memory":
        findings.error(Kind.MISSING, target.place, f"the target `{target.at}` needs the key `{wanted}`")
    if own and (target.bucket or target.endpoint or target.credentials or target.adapter):
        findings.error(
            CONTRADICTION, target.place, f"`{target.at}` has a path, and no bucket, endpoint, credentials or adapter"
        )
    if not own and (target.path or target.located or target.controlled):
        findings.error(
            CONTRADICTION,
            target.place,
            f"where `{target.at}` is and who controls it comes from the catalogue, not from the configuration",
            "remove `path`, `located` and `controlled`; what a document of yours says stands in the `overlay`",
        )
    if target.endpoint is not None and not (target.emulated and on_this_machine(target.endpoint)):
        findings.error(
            CONTRADICTION,
            target.endpoint.place,
            f"the endpoint `{target.endpoint}` is not the one that the catalogue knows for `{target.at}`",
            "remove it; for an emulator on this machine (127.0.0.1, ::1 or localhost) add `emulated: true`; one of a "
            "contract stands in the `overlay`",
        )
    if target.emulated and target.endpoint is None and not own and not overlaid:
        findings.error(CONTRADICTION, target.place, "an emulated target needs an `endpoint` on this machine")
    credentials = target.credentials or CredentialSource()
    if not target.emulated and any(source.literal is not None for source in credentials.single.values()):
        findings.error(
            CONTRADICTION,
            target.place,
            f"the credentials of `{target.at}` stand in the file",
            "name an environment variable, `{env: NAME}`, or a private file, `{file: PATH}`",
        )
    return TargetConfig(
        at=str(target.at),
        container=str(folder / container) if own and container else str(container or ""),
        endpoint=None if target.endpoint is None else str(target.endpoint),
        emulated=target.emulated,
        credentials=CredentialSource(
            env=credentials.env,
            profile=credentials.profile,
            single={name: beside(source, folder) for name, source in credentials.single.items()},
        ),
        parameters={str(name): str(value) for name, value in target.parameters.items()},
        located=target.located,
        controlled=target.controlled,
        adapter=None if target.adapter is None else str(target.adapter),
        fast=target.fast,
    )
