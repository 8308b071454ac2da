"""From the places for machines of a configuration to what speaks to their providers: endpoints from the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sovbroker.catalogue import Catalogue
from sovbroker.catalogue.connection import Connection, on_this_machine
from sovbroker.catalogue.facts import Fact, Target
from sovbroker.catalogue.provider import Provider
from sovbroker.compute import ComputePlace, Secrets
from sovbroker.compute.boot import depositing
from sovbroker.compute.places import OFFER
from sovbroker.compute.prices import PriceList, load_prices
from sovbroker.computesection import ComputeConfig, SecretsConfig
from sovbroker.document import suggest
from sovbroker.errors import ConfigError
from sovbroker.machines import SecretBox
from sovbroker.plugins import entry_of
from sovbroker.ports import Binding, Credentials
from sovbroker.recipients import attested
from sovbroker.secrets import SecretSource

__all__ = ["SECRET_BOXES", "box_of", "deposit_of", "site_of", "sites_of"]

SECRET_BOXES: Final = "sovbroker.secret_boxes"  # noqa: S105 - the name of a group
"""The entry-point group in which those are found who keep secrets for machines."""

SERVICES: Final = "services"
"""The fact of a provider's compute side that names further hosts, which its log-in may lead to."""

LOCAL: Final = "local"
AUTHORITY: Final = "authority"
"""The fact of a provider's compute side that is who gives tokens, and the setting by which an adapter is told."""

ENDPOINT: Final[Mapping[str, str]] = MappingProxyType({"ovhcloud": "account-api"})
"""The fact of a provider's compute side that begins with its endpoint, by adapter; `endpoint` for all others."""


def sites_of(configs: tuple[ComputeConfig, ...], catalogue: Catalogue) -> dict[str, ComputePlace]:
    """Return the configured places for machines by id. Opens nothing. Raises ConfigError."""
    found = (site_of(config, catalogue) for config in configs)
    return {place.target.id: place for place in found}


def site_of(config: ComputeConfig, catalogue: Catalogue) -> ComputePlace:
    """Return where a configured place is, and how to reach it. Raises ConfigError for what is unknown."""
    credentials = partial(_credentials, config.credentials)
    if config.at == LOCAL:
        facts = attested(located=config.located, controlled=config.controlled)
        own = Target(id=f"{LOCAL}/compute", provider=LOCAL, region="", offer=OFFER, facts=facts, site=LOCAL)
        binding = Binding(own.id, config.project, settings={"create": True, **config.settings})
        return ComputePlace(own, LOCAL, binding, images=config.images)
    provider, _, region = config.at.partition("/")
    target = catalogue.target(f"{provider}/{OFFER}@{region}")
    compute = catalogue.provider(provider).compute
    if not compute.adapter:
        raise ConfigError(f"no adapter here speaks to the machines of `{provider}` ({compute.api})")
    fact = compute.facts.get(ENDPOINT.get(compute.adapter, "endpoint"))
    template = str(fact.value).split()[0].replace("{region}", region) if fact is not None and fact.value else None
    endpoint = config.endpoint or Connection(target.id, compute.adapter, template, region).endpoint(config.parameters)
    settings = _with_authority(config, compute.facts.get(AUTHORITY))
    authority = str(settings.get(AUTHORITY, ""))
    given = urlsplit(authority if "://" in authority else f"//{authority}").netloc
    return ComputePlace(
        target=target,
        adapter=compute.adapter,
        binding=Binding(
            target=target.id,
            container=config.project,
            endpoint=endpoint,
            region=region,
            hosts=frozenset(
                {urlsplit(endpoint).netloc, given, *_services(config, compute.facts.get(SERVICES), region)} - {""}
            ),
            settings=settings,
        ),
        credentials=credentials,
        images=config.images,
        prices=None if config.prices is None else _prices(config.prices, catalogue.provider(provider)),
    )


def _prices(path: Path, provider: Provider) -> PriceList:
    """Return the operator's own price list of a provider. Raises ConfigError for one that would silently not count."""
    found = load_prices(path)
    if found.provider != provider.id:
        raise ConfigError(f"the price list `{path}` is of `{found.provider}`, and the place is at `{provider.id}`")
    for region in found.regions:
        if region not in provider.regions:
            mend = suggest(region, provider.regions)
            raise ConfigError(f"`{region}` in the price list `{path}` is no region of `{provider.id}`; {mend}")
    return found


def box_of(config: SecretsConfig) -> SecretBox:
    """Return what keeps secrets for machines. Makes no request. Raises ConfigError."""
    entry = entry_of(
        SECRET_BOXES, config.service, lacking=f"nothing here keeps secrets by the name of `{config.service}`"
    )
    opener: Callable[[Binding], SecretBox] = entry.load()
    return opener(
        Binding(
            target="secrets",
            container="",
            endpoint=config.endpoint,
            hosts=frozenset({urlsplit(config.endpoint).netloc}),
            credentials=_credentials(config.credentials),
            settings=config.settings,
        )
    )


def deposit_of(config: SecretsConfig | None) -> Secrets | None:
    """Return what keeps secrets for machines, opened when there are some to keep; None where nothing is configured."""
    if config is None:
        return None

    def deposit(machine: str, secrets: Mapping[str, str], script: bytes) -> bytes:
        box = box_of(config)
        try:
            return depositing(box)(machine, secrets, script)
        finally:
            box.close()

    return deposit


def _with_authority(config: ComputeConfig, fact: Fact[object] | None) -> dict[str, str | int | bool]:
    """Return the settings with who gives tokens: of a provider, by the catalogue; of an emulator, on this machine.

    Raises ConfigError for any other: whoever it is would be told the credentials.
    """
    own = config.settings.get(AUTHORITY)
    if own is not None and not (config.emulated and on_this_machine(str(own))):
        raise ConfigError(
            f"setting `{AUTHORITY}` of `{config.at}`: who gives tokens comes from the catalogue; an emulated place has "
            "one on this machine (127.0.0.1, ::1 or localhost)"
        )
    preset = {} if config.emulated or fact is None or not fact.value else {AUTHORITY: str(fact.value)}
    return {**preset, **config.settings}


def _services(config: ComputeConfig, fact: Fact[object] | None, region: str) -> list[str]:
    """Return the hosts that a provider's services are at besides its endpoint; of an emulator, there are none."""
    if config.endpoint is not None or fact is None or not fact.value:
        return []
    return str(fact.value).replace("{region}", region).split()


def _credentials(sources: Mapping[str, SecretSource]) -> Credentials:
    return Credentials({name: source.resolve() for name, source in sources.items()})
