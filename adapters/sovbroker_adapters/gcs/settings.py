"""The settings of one GCS target, read from its binding and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Feature, Limits, Support

__all__ = ["Settings"]

DEFAULT_UNIVERSE: Final = "googleapis.com"
DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+")
BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
SCHEMES: Final = ("https", "http")
SWITCHES: Final = ("anonymous", "ambient")
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60, "page": 1000})
TEXTS: Final = ("universe-domain", "token-endpoint", "ca-bundle", "addressing")
# Composing knows no least length of a part.
LIMITS: Final = MappingProxyType({f.name: getattr(Limits(), f.name) for f in fields(Limits)} | {"part_min": 1})
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
        reader = Reading(binding)
        reader.check()
        universe = reader.text("universe-domain", DEFAULT_UNIVERSE).lower()
        if DOMAIN.fullmatch(universe) is None:
            raise reader.wrong("universe-domain", f"`{universe}` is not a domain")
        bundle = reader.text("ca-bundle", "")
        return cls(
            universe=universe,
            endpoint=(binding.endpoint or f"https://storage.{universe}").rstrip("/"),
            token_endpoint=reader.url("token-endpoint", f"https://oauth2.{universe}/token"),
            anonymous=reader.switch("anonymous"),
            ambient=reader.switch("ambient"),
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            page=reader.number("page", NUMBERS["page"]),
            ca_bundle=Path(bundle) if bundle else None,
            limits=Limits(**{name: reader.number(name, default) for name, default in LIMITS.items()}),
            capabilities=reader.capabilities(),
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """A binding whose settings are being read."""

    binding: Binding

    def check(self) -> None:
        """Refuse what could only fail later, and a setting that nobody reads: a misspelt one is not the default."""
        target, endpoint = self.binding.target, self.binding.endpoint
        if BUCKET.fullmatch(self.binding.container) is None:
            raise ConfigError(f"{target}: a GCS target needs the name of its bucket, not `{self.binding.container}`")
        if not self.binding.hosts:
            raise ConfigError(f"{target}: a GCS target needs the hosts that it may talk to")
        if endpoint is not None and urlsplit(endpoint).scheme not in SCHEMES:
            raise ConfigError(f"{target}: the endpoint `{endpoint}` does not begin with https:// or http://")
        for name in self.binding.settings:
            if name not in KNOWN:
                raise self.wrong(name, f"there is no such setting; known: {', '.join(KNOWN)}")
        if self.text("addressing", "path") != "path":
            raise self.wrong("addressing", "only `path` is known")

    def text(self, name: str, default: str) -> str:
        """Return a text."""
        value = self.binding.settings.get(name, default)
        if not isinstance(value, str) or (not value and name in self.binding.settings):
            raise self.wrong(name, f"`{value}` is not a text")
        return value

    def url(self, name: str, default: str) -> str:
        """Return a URL."""
        value = self.text(name, default)
        parts = urlsplit(value)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise self.wrong(name, f"`{value}` is not a URL")
        return value

    def switch(self, name: str) -> bool:
        """Return a boolean, false by default."""
        value = self.binding.settings.get(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, f"`{value}` is neither true nor false")
        return value

    def number(self, name: str, default: int) -> int:
        """Return a whole number from 1."""
        value = self.binding.settings.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, f"`{value}` is not a whole number from 1")
        return value

    def capabilities(self) -> Mapping[Feature, Support]:
        """Return what the service offers, with what the settings change."""
        found = dict.fromkeys(Feature, Support.NATIVE)
        # The service composes objects, and this adapter makes uploads of that.
        found[Feature.MULTIPART] = Support.EMULATED
        # A bucket has it only if it was made so.
        found[Feature.RETENTION] = Support.ABSENT
        for feature in Feature:
            value = self.binding.settings.get(feature)
            if value is None:
                continue
            if value not in SUPPORTS:
                raise self.wrong(feature, f"`{value}` is none of {', '.join(SUPPORTS)}")
            if not (feature is Feature.MULTIPART and value == Support.NATIVE):
                found[feature] = Support(value)
        return MappingProxyType(found)

    def wrong(self, name: str, why: str) -> ConfigError:
        """Return the error of one setting."""
        return ConfigError(f"{self.binding.target}: setting `{name}`: {why}")
