"""The settings of one Azure target, read from its binding and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Feature, Limits, Support

__all__ = ["Settings"]

ADDRESSINGS: Final = ("host", "path")
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60, "page": 1000})
TEXTS: Final = ("account", "addressing", "api-version", "authority", "ca-bundle", "suffix")
LIMITS: Final = tuple(f.name for f in fields(Limits))
KNOWN: Final = (*TEXTS, *NUMBERS, *LIMITS, *Feature)
VERSION: Final = "2023-11-03"
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
MIB: Final = 1 << 20
AZURE: Final = Limits(
    key_max=1024, metadata_max=4096, put_max=5000 * MIB, part_min=1, part_max=4000 * MIB, parts_max=50_000
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, each with its default filled in; `sovbroker_adapters.azure` says what they mean."""

    account: str | None
    suffix: str | None
    in_path: bool
    api_version: str
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
        reader.check_names()
        reader.text("authority")
        suffix, bundle = reader.text("suffix"), reader.text("ca-bundle")
        return cls(
            account=reader.text("account"),
            suffix=None if suffix is None else suffix.lower().strip("."),
            in_path=reader.addressing() == "path",
            api_version=reader.version(),
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            page=reader.number("page", NUMBERS["page"]),
            ca_bundle=None if bundle is None else Path(bundle),
            limits=Limits(**{name: reader.number(name, getattr(AZURE, name)) for name in LIMITS}),
            capabilities=reader.capabilities(),
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """A binding whose settings are being read."""

    binding: Binding

    def check_names(self) -> None:
        """Refuse a setting that nobody reads: a misspelt one must not count as the default."""
        for name in self.binding.settings:
            if name not in KNOWN:
                raise self.wrong(name, f"there is no such setting; known: {', '.join(KNOWN)}")

    def text(self, name: str) -> str | None:
        """Return a text."""
        value = self.binding.settings.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self.wrong(name, f"`{value}` is not a text")
        return value

    def addressing(self) -> str:
        """Return where the account stands in the URL."""
        value = self.text("addressing") or ADDRESSINGS[0]
        if value not in ADDRESSINGS:
            raise self.wrong("addressing", f"`{value}` is none of {', '.join(ADDRESSINGS)}")
        return value

    def version(self) -> str:
        """Return the version of the protocol."""
        value = self.text("api-version") or VERSION
        if DATE.fullmatch(value) is None:
            raise self.wrong("api-version", f"`{value}` is not a date like {VERSION}")
        return value

    def number(self, name: str, default: int) -> int:
        """Return a whole number from 1."""
        value = self.binding.settings.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, f"`{value}` is not a whole number from 1")
        return value

    def capabilities(self) -> Mapping[Feature, Support]:
        """Return what Azure offers, with what the settings change."""
        found = dict.fromkeys(Feature, Support.NATIVE)
        # Ids, metadata, listing and abort of an upload are ours.
        found[Feature.MULTIPART] = Support.EMULATED
        # A container has it only if it was made so.
        found[Feature.RETENTION] = Support.ABSENT
        for feature in Feature:
            value = self.binding.settings.get(feature)
            if value is None:
                continue
            if value not in tuple(Support):
                raise self.wrong(feature, f"`{value}` is none of {', '.join(Support)}")
            found[feature] = Support(value)
        if self.binding.credentials.get("access_key") is None:
            # There is nothing to sign a link with, whatever is said.
            found[Feature.PRESIGN] = Support.ABSENT
        return MappingProxyType(found)

    def wrong(self, name: str, why: str) -> ConfigError:
        """Return the error of one setting."""
        return ConfigError(f"{self.binding.target}: setting `{name}`: {why}")
