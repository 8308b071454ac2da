"""From the places for machines of a configuration to what speaks to their providers: endpoints from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sovbroker.catalogue import Catalogue
from sovbroker.catalogue.connection import Connection
from sovbroker.catalogue.facts import Target
from sovbroker.compute import ComputePlace
from sovbroker.config import ComputeConfig
from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Credentials
from sovbroker.recipients import attested
from sovbroker.secrets import SecretSource

__all__ = ["OFFER", "site_of", "sites_of"]

OFFER: Final = "compute"
"""The offer of a provider that machines are."""

LOCAL: Final = "local"
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
    return ComputePlace(
        target=target,
        adapter=compute.adapter,
        binding=Binding(
            target=target.id,
            container=config.project,
            endpoint=endpoint,
            region=region,
            hosts=frozenset({urlsplit(endpoint).netloc}),
            settings=config.settings,
        ),
        credentials=credentials,
        images=config.images,
    )


def _credentials(sources: Mapping[str, SecretSource]) -> Credentials:
    return Credentials({name: source.resolve() for name, source in sources.items()})
