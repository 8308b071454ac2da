"""The settings of one WebDAV target, read from its binding and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sovbroker.ports import Binding, Feature, Limits, Support
from sovbroker_adapters.settings import Reading

__all__ = ["Settings"]

CHOICES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "letters": ("lower", "any"),
        "digests": ("sha1", "md5", "none"),
        "etags": ("opaque", "digest"),
        "trash": ("keep", "skip"),
    }
)
SWITCHES: Final = ("anonymous", "cleartext")
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60})
LIMITS: Final = ("key_max", "put_max")
WEBDAV: Final = Limits(key_max=1024, metadata_max=0, put_max=1 << 50)
OFFERS: Final[Mapping[Feature, Support]] = MappingProxyType(
    {
        # Most servers look whether there is something, and then move: two writers may both win.
        Feature.CONDITIONAL_PUT: Support.ABSENT,
        Feature.RANGE: Support.NATIVE,
        Feature.METADATA: Support.ABSENT,
        Feature.SET_METADATA: Support.ABSENT,
        Feature.COPY: Support.NATIVE,
        Feature.MULTIPART: Support.ABSENT,
        Feature.DELIMITER: Support.EMULATED,
        Feature.ORDERED_LIST: Support.EMULATED,
        Feature.PRESIGN: Support.ABSENT,
        Feature.RETENTION: Support.ABSENT,
    }
)
CHANGEABLE: Final = (Feature.CONDITIONAL_PUT, Feature.RANGE, Feature.COPY)
VALUES: Final = (Support.NATIVE, Support.ABSENT, Support.UNSAFE)
KNOWN: Final = (*CHOICES, *SWITCHES, *NUMBERS, "ca-bundle", *LIMITS, *CHANGEABLE)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, each with its default filled in; `sovbroker_adapters.webdav` says what they mean."""

    letters: str
    digests: str
    etags: str
    trash: str
    anonymous: bool
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
        letters, digests, etags, trash = (reader.choice(name, known) for name, known in CHOICES.items())
        if etags == "digest" and digests == "none":
            raise reader.wrong("etags", "say by `digests` which digest they are")
        return cls(
            letters=letters,
            digests=digests,
            etags=etags,
            trash=trash,
            anonymous=reader.switch("anonymous"),
            cleartext=reader.switch("cleartext"),
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            ca_bundle=reader.path("ca-bundle"),
            limits=reader.limits(WEBDAV),
            capabilities=reader.capabilities(OFFERS, known=VALUES, changeable=CHANGEABLE),
        )
