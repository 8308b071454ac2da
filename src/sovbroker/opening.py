"""From a configuration to a broker: facts, keys, policy, stores and state, put together in this one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sovbroker.accounts import find_accounts
from sovbroker.broker import Broker, Machines
from sovbroker.catalogue import Catalogue
from sovbroker.catalogue import load as load_catalogue
from sovbroker.catalogue.connection import on_this_machine
from sovbroker.catalogue.digest import digest_of
from sovbroker.catalogue.facts import KeyHolder, Target
from sovbroker.catalogue.overlay import Overlay, vouched_in
from sovbroker.compute import Journal, Providers
from sovbroker.config import OWN, Config, TargetConfig, load_config
from sovbroker.errors import ConfigError
from sovbroker.keyrings import Keyrings, Service
from sovbroker.placements import SqliteIndex
from sovbroker.policy import DEFAULT, Policy, load, loads
from sovbroker.ports import Accounts, Binding, Credentials
from sovbroker.probing import ProbeFile
from sovbroker.recipients import attested, holders_of, service_of
from sovbroker.reloading import Reloader
from sovbroker.router import Place, Stores
from sovbroker.secrets import CredentialSource
from sovbroker.siting import deposit_of, sites_of

__all__ = [
    "World",
    "accounts_of",
    "assemble",
    "catalogue_of",
    "open_broker",
    "place_of",
    "policy_of",
    "services_of",
    "utc_now",
    "world_of",
]

ACCOUNT: Final = "account-api"
"""The fact of a provider's compute side that begins with the endpoint of its account plane."""

FAST: Final = ("azure", "s3")
"""The adapters that `fast: true` puts `obstore` in front of."""

NOT_FAST: Final[Mapping[str, str]] = MappingProxyType(
    {"gcs": "object_store would neither compare the checksums of what is read nor leave the metadata service alone"}
)


def open_broker(path: str | os.PathLike[str] | None = None, *, clock: Callable[[], datetime] | None = None) -> Broker:
    """Open the broker of a configuration file.

    Without `path`: the file that SOVBROKER_CONFIG names, else `sovbroker.yaml` here, else the embedded default under
    the user's data folder. `clock` returns the time by which the policy decides (UTC; default: now). Raises
    ConfigError (for a missing keyring too), PolicyError, StateError.
    """
    return assemble(load_config(None if path is None else Path(path)), clock=clock)


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def assemble(
    config: Config,
    *,
    clock: Callable[[], datetime] | None = None,
    services: Mapping[str, Service] | None = None,
) -> Broker:
    """Put a broker together. No request is made, and no keyring opened, before the first call that needs it.

    `services` take the place of the configured keyrings.
    """
    now = clock or utc_now
    catalogue = catalogue_of(config, clock=now)
    places: dict[str, Place] = {}
    for target in config.targets:
        place = place_of(target, catalogue)
        if place.target.id in places:
            raise ConfigError(f"`{target.at}` is the target `{place.target.id}` once more; keep one of the two")
        places[place.target.id] = place
    for key in config.keys if services is None else ():
        if not key.path.exists():
            raise ConfigError(
                f"the keyring `{key.path}` of `keys: {key.name}` does not exist; create it, once, with "
                "`sovbroker keys init`"
            )
    if services is None:
        services = services_of(config)
    policy = policy_of(config, places, services, clock=now, overlay=catalogue.overlay)
    config.state.parent.mkdir(parents=True, exist_ok=True)
    return Broker(
        policy=policy,
        index=SqliteIndex(config.state, durability=config.durability),
        stores=Stores(places, ProbeFile(config.state)),
        keyrings=Keyrings(services),
        clock=now,
        reloader=_reloader(config, places, services, current=policy, clock=now, overlay=catalogue.overlay),
        machines=Machines(
            Providers(sites_of(config.compute, catalogue)), Journal(config.state), deposit_of(config.secrets)
        ),
    )


def _reloader(
    config: Config,
    places: Mapping[str, Place],
    services: Mapping[str, Service],
    *,
    current: Policy,
    clock: Callable[[], datetime],
    overlay: Overlay | None,
) -> Reloader | None:
    """Return what loads the policy anew, for the targets and keys that the broker has; None for the built-in one."""
    if config.policy is None:
        return None

    def load_again() -> Policy:
        return policy_of(config, places, services, clock=clock, overlay=overlay)

    return Reloader(load_again, config.policy, current=current, every=config.reload)


def policy_of(
    config: Config,
    places: Mapping[str, Place],
    services: Mapping[str, Service],
    *,
    clock: Callable[[], datetime],
    overlay: Overlay | None = None,
) -> Policy:
    """Load the policy of a configuration, or the built-in one, for its targets and key services."""
    targets = [place.target for place in places.values()]
    keys = [holder for service in services.values() for holder in service.holders]
    # Over the very facts that are used, those that the operator attests included.
    digest = digest_of(targets, keys, overlay="" if overlay is None else overlay.digest)
    if config.policy is None:
        return loads(DEFAULT, targets=targets, keys=keys, catalogue_digest=digest, clock=clock)
    return load(config.policy, targets=targets, keys=keys, catalogue_digest=digest, clock=clock)


def catalogue_of(config: Config, *, clock: Callable[[], datetime] = utc_now) -> Catalogue:
    """Return the catalogue, under the overlay of a configuration. Raises ConfigError with what is wrong with that."""
    return load_catalogue(overlay=config.overlay, today=clock().astimezone(UTC).date())


@dataclass(frozen=True, slots=True)
class World:
    """What a policy is judged with in a configuration: its targets, its key services, and the digest of their facts."""

    targets: tuple[Target, ...]
    keys: tuple[KeyHolder, ...]
    digest: str


def world_of(config: Config) -> World:
    """Return what a policy is judged with in a configuration. Opens nothing. Raises ConfigError."""
    catalogue = catalogue_of(config)
    targets = tuple(place_of(target, catalogue).target for target in config.targets)
    keys = tuple(holder for key in config.keys for holder in holders_of(key))
    overlay = "" if catalogue.overlay is None else catalogue.overlay.digest
    return World(targets, keys, digest_of(targets, keys, overlay=overlay))


def place_of(target: TargetConfig, catalogue: Catalogue) -> Place:
    """Return where a configured target is, and how to reach it: facts and hosts come from the catalogue.

    Raises ConfigError for what is unknown, for a target that the operator has to bind first, and for an address on this
    machine that would pass for a provider's.
    """
    if target.at in OWN:
        if target.fast:
            raise ConfigError(f"`fast` does nothing for `{target.at}`, which is no service; remove it")
        facts = attested(located=target.located, controlled=target.controlled)
        own = Target(id=target.at, provider=target.at, region="", facts=facts, site=target.at, emulated=target.emulated)
        binding = Binding(target.at, target.container, settings={"create": target.create})
        return Place(own, adapter=target.at, binding=binding)
    facts_of = catalogue.target(target.at)
    connection = catalogue.connection(target.at, adapter=target.adapter)
    if connection.adapter is None:
        raise connection.lacking()
    if target.fast and connection.adapter not in FAST:
        why = NOT_FAST.get(connection.adapter, "object_store does not speak its protocol")
        raise ConfigError(f"`{target.at}` cannot be `fast`: its adapter is `{connection.adapter}`, and {why}")
    endpoint = target.endpoint or connection.endpoint(target.parameters)
    settings = dict(connection.settings)
    _check_emulation(target, endpoint, own=connection.own)
    if target.emulated:
        here = (url for url in (endpoint, str(settings.get("authority", ""))) if on_this_machine(url))
        hosts = frozenset(urlsplit(url).netloc for url in here)
        settings |= _emulated(target, connection.adapter)
    else:
        hosts = connection.hosts(target.parameters, bucket=target.container)
    return Place(
        target=replace(facts_of, emulated=target.emulated),
        adapter="obstore" if target.fast else connection.adapter,
        beside=connection.adapter if target.fast else None,
        binding=Binding(
            target=facts_of.id,
            container=target.container,
            endpoint=endpoint,
            region=connection.region,
            hosts=hosts,
            settings=settings,
        ),
        credentials=partial(target.credentials.resolve, connection.adapter),
        vouched=(*vouched_in(facts_of.facts), *connection.vouched),
    )


def _emulated(target: TargetConfig, adapter: str) -> dict[str, str | int | bool]:
    """Return the settings that emulators need."""
    settings: dict[str, str | int | bool] = {}
    if adapter in {"azure", "gcs", "s3"}:
        # They live on one host, and have no names for buckets.
        settings["addressing"] = "path"
    if adapter == "gcs" and target.credentials == CredentialSource():
        # Its keys are key files, which an emulator has no use for.
        settings["anonymous"] = True
    return settings


def _check_emulation(target: TargetConfig, endpoint: str, *, own: bool) -> None:
    """Check that what is played here is said to be, and that what is said to be played is here."""
    if target.emulated and not on_this_machine(endpoint):
        raise ConfigError(f"`{target.at}` is emulated, and `{endpoint}` is not on this machine; give it an `endpoint`")
    if on_this_machine(endpoint) and not target.emulated and not own:
        raise ConfigError(
            f"the overlay binds `{target.at}` to `{endpoint}`, on this machine; say `emulated: true` of the target"
        )


def services_of(config: Config) -> dict[str, Service]:
    """Return the configured key services by name. No keyring is opened."""
    return {key.name: service_of(key) for key in config.keys}


def accounts_of(config: Config, provider: str) -> Accounts:
    """Open the account plane of a provider, of which `accounts` names the project. Raises ConfigError."""
    account = next((one for one in config.accounts if one.provider == provider), None)
    if account is None:
        raise ConfigError(f"the configuration has no account at `{provider}`; add it under `accounts`")
    opener = find_accounts(provider)
    endpoint = account.endpoint
    if endpoint is None:
        fact = catalogue_of(config).provider(provider).compute.facts.get(ACCOUNT)
        endpoint = str(fact.value).split()[0] if fact is not None and fact.value is not None else ""
        if urlsplit(endpoint).scheme != "https":
            raise ConfigError(f"the catalogue knows no account plane of `{provider}`")
    return opener(
        Binding(
            target=provider,
            container=account.project,
            endpoint=endpoint,
            hosts=frozenset({urlsplit(endpoint).netloc}),
            credentials=Credentials({name: source.resolve() for name, source in account.credentials.items()}),
        )
    )
