"""The settings of one target, read from its binding and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sovbroker.ports import Binding, Feature, Limits, Support
from sovbroker_adapters.settings import LIMITS, Reading

__all__ = ["DRIVERS", "Settings"]

DRIVERS: Final = ("minio", "s3", "digitalocean-spaces", "scaleway")
"""The drivers that keep the promises of a store, as the conformance suite asserts them: one protocol, S3."""

REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "aliyun-oss": "nothing here could prove it; the service speaks S3, too: use the adapter `s3`",
        "auroraobjects": "the service has ended",
        "azure-blobs": "use the adapter `azure`",
        "backblaze-b2": "the driver takes the first hundred files for all of them; the service speaks S3: use `s3`",
        "cloudfiles": "use the adapter `swift`",
        "google-storage": "use the adapter `gcs`",
        "ktucloud": "nothing here could prove it",
        "local": "the driver keeps no metadata that it gives back; use the adapter `local`",
        "nimbus": "the service has ended",
        "ninefold": "the service has ended",
        "openstack-swift": "use the adapter `swift`",
        "ovh": "the driver knows two hosts that are stale; use the adapter `s3`",
        "s3-rgw": "the driver signs by an old scheme or another; use the adapter `s3`",
        "s3-rgw-outscale": "the driver's hosts are stale; use the adapter `s3`",
    }
)
"""The others, and why not."""

NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60})
CHOICES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"etags": ("md5", "opaque"), "keys": ("any", "files"), "addressing": ("path",)}
)
FILE_NAME_MAX: Final = 255
KNOWN: Final = ("driver", *NUMBERS, *CHOICES, "ca-bundle", *LIMITS)
CAPABILITIES: Final[Mapping[Feature, Support]] = MappingProxyType(
    dict.fromkeys(Feature, Support.ABSENT)
    | {
        Feature.RANGE: Support.NATIVE,
        Feature.METADATA: Support.NATIVE,
        Feature.ORDERED_LIST: Support.EMULATED,
        Feature.DELIMITER: Support.EMULATED,
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, each with its default filled in; `sovbroker_adapters.libcloud` says what they mean."""

    driver: str
    digests: bool
    files: bool
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
        driver = reader.text("driver")
        if driver is None:
            raise reader.wrong("driver", f"it has to be given: {', '.join(DRIVERS)}")
        if driver not in DRIVERS:
            why = REFUSED.get(driver, f"it is none of {', '.join(DRIVERS)}")
            raise reader.wrong("driver", f"`{driver}` is refused: {why}")
        for name, known in CHOICES.items():
            reader.choice(name, known)
        files = reader.choice("keys", CHOICES["keys"]) == "files"
        return cls(
            driver=driver,
            digests=reader.choice("etags", CHOICES["etags"]) == "md5",
            files=files,
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            ca_bundle=reader.path("ca-bundle"),
            limits=reader.limits(Limits(segment_max=FILE_NAME_MAX) if files else Limits()),
            capabilities=CAPABILITIES,
        )
