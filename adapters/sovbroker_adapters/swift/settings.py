"""The settings of one Swift target, read from its binding and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sovbroker.ports import Binding, Feature, Limits, Support
from sovbroker_adapters.settings import LIMITS, Reading

__all__ = ["Settings"]

CHOICES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"auth": ("v3", "v1"), "interface": ("public", "internal"), "link-digest": ("sha256", "sha512", "sha1")}
)
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60})
KNOWN: Final = ("authority", *CHOICES, "cleartext", *NUMBERS, "ca-bundle", *LIMITS, *Feature)
SWIFT: Final = Limits(key_max=1024, metadata_max=2048, put_max=5 << 30, part_min=1, part_max=5 << 30, parts_max=1000)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, each with its default filled in; `sovbroker_adapters.swift` says what they mean."""

    auth: str
    authority: str
    interface: str
    link_digest: str
    cleartext: bool
    attempts: int
    connect_timeout: int
    read_timeout: int
    ca_bundle: Path | None
    limits: Limits
    capabilities: Mapping[Feature, Support]

    @classmethod
    def of(cls, binding: Binding) -> Settings:
        """Read the settings of a binding. Raises ConfigError for one that is unknown or of the wrong kind."""
        reader = Reading(binding)
        reader.check_names(KNOWN)
        authority = reader.url("authority")
        if authority is None:
            raise reader.wrong("authority", "give the URL of what gives tokens, such as `https://auth.example/v3`")
        return cls(
            auth=reader.choice("auth", CHOICES["auth"]),
            authority=authority.rstrip("/"),
            interface=reader.choice("interface", CHOICES["interface"]),
            link_digest=reader.choice("link-digest", CHOICES["link-digest"]),
            cleartext=reader.switch("cleartext"),
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            ca_bundle=reader.path("ca-bundle"),
            limits=reader.limits(SWIFT),
            capabilities=reader.capabilities(_offered(links=binding.credentials.get("temp_url_key") is not None)),
        )


def _offered(*, links: bool) -> Mapping[Feature, Support]:
    """Return what Swift offers where the settings say nothing else."""
    found = dict.fromkeys(Feature, Support.NATIVE)
    # It looks before it takes the body, and not again when it stores it: writers who race all win.
    found[Feature.CONDITIONAL_PUT] = Support.UNSAFE
    # Ids, metadata, listing and abort of an upload are ours.
    found[Feature.MULTIPART] = Support.EMULATED
    # It removes objects at a moment; it keeps none until one.
    found[Feature.RETENTION] = Support.ABSENT
    if not links:
        found[Feature.PRESIGN] = Support.ABSENT
    return found
