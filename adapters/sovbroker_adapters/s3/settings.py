"""The settings of one S3 target, read from its binding and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Feature, Limits, Support

__all__ = ["Settings"]

CHOICES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "addressing": ("path", "virtual"),
        "signature": ("s3v4", "s3"),
        "checksums": ("when-required", "when-supported"),
        "etags": ("md5", "opaque"),
        "keys": ("any", "files"),
    }
)
SWITCHES: Final = MappingProxyType({"anonymous": False, "ambient": False, "bulk-delete": True})
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60})
TEXTS: Final = ("ca-bundle",)
LIMITS: Final = tuple(f.name for f in fields(Limits))
KNOWN: Final = (*CHOICES, *SWITCHES, *NUMBERS, *TEXTS, *LIMITS, *Feature)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings, each with its default filled in; `sovbroker_adapters.s3` says what they mean."""

    addressing: str
    signature: str
    checksums: str
    etags: str
    keys: str
    anonymous: bool
    ambient: bool
    bulk_delete: bool
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
        reader.check_names()
        return cls(
            addressing=reader.choice("addressing"),
            signature=reader.choice("signature"),
            checksums=reader.choice("checksums"),
            etags=reader.choice("etags"),
            keys=reader.choice("keys"),
            anonymous=reader.switch("anonymous"),
            ambient=reader.switch("ambient"),
            bulk_delete=reader.switch("bulk-delete"),
            attempts=reader.number("attempts", NUMBERS["attempts"]),
            connect_timeout=reader.number("connect-timeout", NUMBERS["connect-timeout"]),
            read_timeout=reader.number("read-timeout", NUMBERS["read-timeout"]),
            ca_bundle=reader.path("ca-bundle"),
            limits=reader.limits(),
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

    def choice(self, name: str) -> str:
        """Return one of the words that the setting may be; the first by default."""
        known = CHOICES[name]
        value = self.binding.settings.get(name, known[0])
        if value not in known:
            raise self.wrong(name, f"`{value}` is none of {', '.join(known)}")
        return str(value)

    def switch(self, name: str) -> bool:
        """Return a boolean."""
        value = self.binding.settings.get(name, SWITCHES[name])
        if not isinstance(value, bool):
            raise self.wrong(name, f"`{value}` is neither true nor false")
        return value

    def number(self, name: str, default: int) -> int:
        """Return a whole number from 1."""
        value = self.binding.settings.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, f"`{value}` is not a whole number from 1")
        return value

    def path(self, name: str) -> Path | None:
        """Return a path."""
        value = self.binding.settings.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self.wrong(name, f"`{value}` is not a path")
        return Path(value)

    def limits(self) -> Limits:
        """Return the limits of S3, with those that the settings change."""
        plain = Limits()
        return Limits(**{name: self.number(name, getattr(plain, name)) for name in LIMITS})

    def capabilities(self) -> Mapping[Feature, Support]:
        """Return what S3 offers, with what the settings change."""
        found = dict.fromkeys(Feature, Support.NATIVE)
        # A service that ignores the condition overwrites the object and says that all is well.
        found[Feature.CONDITIONAL_PUT] = Support.ABSENT
        # A bucket has it only if it was made so.
        found[Feature.RETENTION] = Support.ABSENT
        if self.switch("anonymous"):
            found[Feature.PRESIGN] = Support.ABSENT
        for feature in Feature:
            value = self.binding.settings.get(feature)
            if value is None:
                continue
            if value not in tuple(Support):
                raise self.wrong(feature, f"`{value}` is none of {', '.join(Support)}")
            found[feature] = Support(value)
        return MappingProxyType(found)

    def wrong(self, name: str, why: str) -> ConfigError:
        """Return the error of one setting."""
        return ConfigError(f"{self.binding.target}: setting `{name}`: {why}")
