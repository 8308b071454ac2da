"""The settings of one S3 target, read from its binding and checked."""

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
    {
        "addressing": ("path", "virtual"),
        "signature": ("s3v4", "s3"),
        "checksums": ("when-required", "when-supported"),
        "etags": ("md5", "opaque"),
        "keys": ("any", "files"),
        "versions": ("purge", "leave"),
        "retention-mode": ("compliance", "governance"),
    }
)
SWITCHES: Final = MappingProxyType({"anonymous": False, "ambient": False, "bulk-delete": True})
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60, "page": 1000})
TEXTS: Final = ("ca-bundle",)
KNOWN: Final = (*CHOICES, *SWITCHES, *NUMBERS, *TEXTS, *LIMITS, *Feature)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, each with its default filled in; `sovbroker_adapters.s3` says what they mean."""

    addressing: str
    signature: str
    checksums: str
    etags: str
    keys: str
    versions: str
    retention_mode: str
    anonymous: bool
    ambient: bool
    bulk_delete: bool
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
        capabilities = reader.capabilities(_offered(anonymous=reader.switch("anonymous")))
        if not capabilities[Feature.COPY].usable:
            # It is a copy, too; and a service that does not know them would store nothing in the place of the body.
            capabilities = MappingProxyType({**capabilities, Feature.SET_METADATA: capabilities[Feature.COPY]})
        if capabilities[Feature.RETENTION].usable and binding.settings.get("versions") == "leave":
            why = "a removal that leaves versions would hide what is retained; set `purge`, or `retention: absent`"
            raise reader.wrong("versions", why)
        return cls(
            addressing=reader.choice("addressing", CHOICES["addressing"]),
            signature=reader.choice("signature", CHOICES["signature"]),
            checksums=reader.choice("checksums", CHOICES["checksums"]),
            etags=reader.choice("etags", CHOICES["etags"]),
            keys=reader.choice("keys", CHOICES["keys"]),
            versions=reader.choice("versions", CHOICES["versions"]),
            retention_mode=reader.choice("retention-mode", CHOICES["retention-mode"]),
            anonymous=reader.switch("anonymous", default=SWITCHES["anonymous"]),
            ambient=reader.switch("ambient", default=SWITCHES["ambient"]),
            bulk_delete=reader.switch("bulk-delete", default=SWITCHES["bulk-delete"]),
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            page=reader.number("page", NUMBERS["page"]),
            ca_bundle=reader.path("ca-bundle"),
            limits=reader.limits(Limits()),
            capabilities=capabilities,
        )


def _offered(*, anonymous: bool) -> Mapping[Feature, Support]:
    """Return what S3 offers where the settings say nothing else."""
    found = dict.fromkeys(Feature, Support.NATIVE)
    # A service that ignores the condition overwrites the object and says that all is well.
    found[Feature.CONDITIONAL_PUT] = Support.ABSENT
    # A bucket has it only if it was made so.
    found[Feature.RETENTION] = Support.ABSENT
    if anonymous:
        found[Feature.PRESIGN] = Support.ABSENT
    return found
