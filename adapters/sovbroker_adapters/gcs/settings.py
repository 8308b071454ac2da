"""The settings of one GCS target, read from its binding and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Feature, Limits, Support
from sovbroker_adapters.settings import LIMITS, SCHEMES, Reading

__all__ = ["Settings"]

DEFAULT_UNIVERSE: Final = "googleapis.com"
DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+")
BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
SWITCHES: Final = ("anonymous", "ambient")
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60, "page": 1000})
TEXTS: Final = ("universe-domain", "token-endpoint", "ca-bundle", "addressing")
# Composing knows no least length of a part.
GCS: Final = Limits(part_min=1)
SUPPORTS: Final = (Support.NATIVE, Support.ABSENT, Support.UNSAFE)
KNOWN: Final = (*TEXTS, *SWITCHES, *NUMBERS, *LIMITS, *Feature)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, each with its default filled in; `sovbroker_adapters.gcs` says what they mean."""

    universe: str
    endpoint: str
    token_endpoint: str
    anonymous: bool
    ambient: bool
    attempts: int
    connect_timeout: int
    read_timeout: int
    page: int
    ca_bundle: Path | None
    limits: Limits
    capabilities: Mapping[Feature, Support]

    @classmethod
    def of(cls, binding: Binding) -> Settings:
        """Read the settings of a binding. Raises ConfigError for one that is unknown or of the wrong kind."""
        _check(binding)
        reader = Reading(binding)
        reader.check_names(KNOWN)
        reader.choice("addressing", ("path",))
        universe = (reader.text("universe-domain") or DEFAULT_UNIVERSE).lower()
        if DOMAIN.fullmatch(universe) is None:
            raise reader.wrong("universe-domain", f"`{universe}` is not a domain")
        return cls(
            universe=universe,
            endpoint=(binding.endpoint or f"https://storage.{universe}").rstrip("/"),
            token_endpoint=reader.url("token-endpoint") or f"https://oauth2.{universe}/token",
            anonymous=reader.switch("anonymous"),
            ambient=reader.switch("ambient"),
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            page=reader.number("page", NUMBERS["page"]),
            ca_bundle=reader.path("ca-bundle"),
            limits=reader.limits(GCS),
            capabilities=_capabilities(reader),
        )


def _check(binding: Binding) -> None:
    """Refuse what could only fail later, and less clearly."""
    target, endpoint = binding.target, binding.endpoint
    if BUCKET.fullmatch(binding.container) is None:
        raise ConfigError(f"{target}: a GCS target needs the name of its bucket, not `{binding.container}`")
    if not binding.hosts:
        raise ConfigError(f"{target}: a GCS target needs the hosts that it may talk to")
    if endpoint is not None and urlsplit(endpoint).scheme not in SCHEMES:
        raise ConfigError(f"{target}: the endpoint `{endpoint}` does not begin with https:// or http://")


def _capabilities(reader: Reading) -> Mapping[Feature, Support]:
    """Return what the service offers, with what the settings change."""
    offers = dict.fromkeys(Feature, Support.NATIVE)
    # A bucket has it only if it was made so.
    offers[Feature.RETENTION] = Support.ABSENT
    found = reader.capabilities(offers, known=SUPPORTS)
    if found[Feature.MULTIPART] is not Support.NATIVE:
        return found
    # The service composes objects, and this adapter makes uploads of that.
    return MappingProxyType({**found, Feature.MULTIPART: Support.EMULATED})
