"""The settings of one Azure target, read from its binding and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sovbroker.ports import Binding, Feature, Limits, Support
from sovbroker_adapters.settings import LIMITS, Reading

__all__ = ["Settings"]

ADDRESSINGS: Final = ("host", "path")
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60, "page": 1000})
TEXTS: Final = ("account", "addressing", "api-version", "authority", "ca-bundle", "suffix")
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
        reader.check_names(KNOWN)
        reader.text("authority")
        suffix = reader.text("suffix")
        return cls(
            account=reader.text("account"),
            suffix=None if suffix is None else suffix.lower().strip("."),
            in_path=reader.choice("addressing", ADDRESSINGS) == "path",
            api_version=_version(reader),
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            page=reader.number("page", NUMBERS["page"]),
            ca_bundle=reader.path("ca-bundle"),
            limits=reader.limits(AZURE),
            capabilities=_capabilities(reader),
        )


def _version(reader: Reading) -> str:
    """Return the version of the protocol."""
    value = reader.text("api-version") or VERSION
    if DATE.fullmatch(value) is None:
        raise reader.wrong("api-version", f"`{value}` is not a date like {VERSION}")
    return value


def _capabilities(reader: Reading) -> Mapping[Feature, Support]:
    """Return what Azure offers, with what the settings change."""
    offers = dict.fromkeys(Feature, Support.NATIVE)
    # Ids, metadata, listing and abort of an upload are ours.
    offers[Feature.MULTIPART] = Support.EMULATED
    # A container has it only if it was made so.
    offers[Feature.RETENTION] = Support.ABSENT
    found = reader.capabilities(offers)
    if reader.binding.credentials.get("access_key") is not None:
        return found
    # There is nothing to sign a link with, whatever is said.
    return MappingProxyType({**found, Feature.PRESIGN: Support.ABSENT})
