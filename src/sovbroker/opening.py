"""From a configuration to a broker: facts, keys, policy, stores and state, put together in this one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from sovbroker.broker import Broker
from sovbroker.catalogue import Catalogue
from sovbroker.catalogue import load as load_catalogue
from sovbroker.catalogue.facts import Basis, Confidence, Evidence, Fact, Facts, KeyHolder, Target
from sovbroker.config import OWN, Config, KeyConfig, TargetConfig, load_config
from sovbroker.errors import ConfigError
from sovbroker.keyrings import Keyrings, Service
from sovbroker.keys import Keyring, PassphraseService
from sovbroker.placements import SqliteIndex
from sovbroker.policy import DEFAULT, Policy, load, loads
from sovbroker.ports import Binding
from sovbroker.probing import ProbeFile
from sovbroker.reloading import Reloader
from sovbroker.router import Place, Stores
from sovbroker.secrets import CredentialSource

__all__ = ["assemble", "holder_of", "open_broker", "place_of", "policy_of", "services_of", "utc_now"]


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


def assemble(config: Config, *, clock: Callable[[], datetime] | None = None) -> Broker:
    """Put a broker together. No request is made, and no keyring opened, before the first call that needs it."""
    now = clock or utc_now
    catalogue = load_catalogue()
    places: dict[str, Place] = {}
    for target in config.targets:
        place = place_of(target, catalogue)
        if place.target.id in places:
            raise ConfigError(f"`{target.at}` is the target `{place.target.id}` once more; keep one of the two")
        places[place.target.id] = place
    services = services_of(config)
    for key in config.keys:
        if not key.path.exists():
            raise ConfigError(
                f"the keyring `{key.path}` of `keys: {key.name}` does not exist; create it, once, with "
                "`sovbroker keys init`"
            )
    policy = policy_of(config, places, services, clock=now)
    config.state.parent.mkdir(parents=True, exist_ok=True)
    return Broker(
        policy=policy,
        index=SqliteIndex(config.state),
        stores=Stores(places, ProbeFile(config.state)),
        keyrings=Keyrings(services),
        clock=now,
        reloader=_reloader(config, places, services, current=policy, clock=now),
    )


def _reloader(
    config: Config,
    places: Mapping[str, Place],
    services: Mapping[str, Service],
    *,
    current: Policy,
    clock: Callable[[], datetime],
) -> Reloader | None:
    """Return what loads the policy anew, for the targets and keys that the broker has; None for the built-in one."""
    if config.policy is None:
        return None

    def load_again() -> Policy:
        return policy_of(config, places, services, clock=clock)

    return Reloader(load_again, config.policy, current=current, every=config.reload)


def policy_of(
    config: Config,
    places: Mapping[str, Place],
    services: Mapping[str, Service],
    *,
    clock: Callable[[], datetime],
) -> Policy:
    """Load the policy of a configuration, or the built-in one, for its targets and key services."""
    targets = [place.target for place in places.values()]
    keys = [service.holder for service in services.values()]
    # No digest is passed: it is computed over the very facts that are used, those that the operator attests included.
    if config.policy is None:
        return loads(DEFAULT, targets=targets, keys=keys, clock=clock)
    return load(config.policy, targets=targets, keys=keys, clock=clock)


def place_of(target: TargetConfig, catalogue: Catalogue) -> Place:
    """Return where a configured target is, and how to reach it: facts and hosts come from the catalogue."""
    if target.at in OWN:
        facts = attested(located=target.located, controlled=target.controlled)
        own = Target(id=target.at, provider=target.at, region="", facts=facts, site=target.at, emulated=target.emulated)
        binding = Binding(target.at, target.container, settings={"create": target.create})
        return Place(own, adapter=target.at, binding=binding)
    facts_of = catalogue.target(target.at)
    connection = catalogue.connection(target.at)
    if connection.adapter is None:
        raise ConfigError(f"`{target.at}` cannot be opened yet: {connection.supply}")
    if target.endpoint is not None:
        endpoint = target.endpoint
        hosts = frozenset({urlsplit(endpoint).netloc})
        settings = dict(connection.settings)
        if connection.adapter in {"azure", "gcs", "s3"}:
            # Emulators live on one host, and have no names for buckets.
            settings["addressing"] = "path"
        if connection.adapter == "gcs" and target.credentials == CredentialSource():
            # Its keys are key files, which an emulator has no use for.
            settings["anonymous"] = True
    else:
        endpoint = connection.endpoint(target.parameters)
        hosts = connection.hosts(target.parameters, bucket=target.container)
        settings = dict(connection.settings)
    return Place(
        target=replace(facts_of, emulated=target.emulated),
        adapter=connection.adapter,
        binding=Binding(
            target=facts_of.id,
            container=target.container,
            endpoint=endpoint,
            region=connection.region,
            hosts=hosts,
            settings=settings,
        ),
        credentials=partial(target.credentials.resolve, connection.adapter),
    )


def services_of(config: Config) -> dict[str, Service]:
    """Return the configured key services by name. No keyring is opened."""
    return {key.name: Service(holder_of(key), _opener(key)) for key in config.keys}


def holder_of(key: KeyConfig) -> KeyHolder:
    """Return what the policy knows of a configured key service: what the operator vouches for."""
    return KeyHolder(key.name, attested(located=key.located, controlled=key.controlled))


def attested(*, located: frozenset[str] | None, controlled: frozenset[str] | None) -> Facts:
    """Return facts that the operator states in the configuration; what is not stated is unknown."""
    evidence = Evidence(Basis.ATTESTED, Confidence.HIGH, note="stated in the configuration")
    return Facts(
        located=Fact(located, evidence), controlled=Fact(controlled, evidence), technology=Fact(None, evidence)
    )


def _opener(key: KeyConfig) -> Callable[[], Keyring]:
    def open_keyring() -> Keyring:
        return Keyring.open(key.path, PassphraseService(key.passphrase.resolve()))

    return open_keyring
