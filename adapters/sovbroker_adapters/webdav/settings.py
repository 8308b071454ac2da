"""The settings of one WebDAV target, read from its binding and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Feature, Limits, Support

__all__ = ["Settings"]

CHOICES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"letters": ("lower", "any"), "digests": ("sha1", "md5", "none"), "etags": ("opaque", "digest")}
)
SWITCHES: Final = ("anonymous", "cleartext")
NUMBERS: Final = MappingProxyType({"attempts": 3, "connect-timeout": 10, "read-timeout": 60})
LIMITS: Final = MappingProxyType({"key_max": 1024, "put_max": 1 << 50})
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
        reader.check_names()
        if reader.choice("etags") == "digest" and reader.choice("digests") == "none":
            raise reader.wrong("etags", "say by `digests` which digest they are")
        return cls(
            letters=reader.choice("letters"),
            digests=reader.choice("digests"),
            etags=reader.choice("etags"),
            anonymous=reader.switch("anonymous"),
            cleartext=reader.switch("cleartext"),
            attempts=reader.number("attempts"),
            connect_timeout=reader.number("connect-timeout"),
            read_timeout=reader.number("read-timeout"),
            ca_bundle=reader.path("ca-bundle"),
            limits=Limits(metadata_max=0, key_max=reader.number("key_max"), put_max=reader.number("put_max")),
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
        """Return a boolean; false by default."""
        value = self.binding.settings.get(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, f"`{value}` is neither true nor false")
        return value

    def number(self, name: str) -> int:
        """Return a whole number from 1."""
        value = self.binding.settings.get(name, {**NUMBERS, **LIMITS}[name])
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, f"`{value}` is not a whole number from 1")
        return value

    def path(self, name: str) -> Path | None:
        """Return a path, if there is one."""
        value = self.binding.settings.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self.wrong(name, f"`{value}` is not a path")
        return Path(value)

    def capabilities(self) -> Mapping[Feature, Support]:
        """Return what WebDAV offers, with what the settings change."""
        found = dict(OFFERS)
        for feature in CHANGEABLE:
            value = self.binding.settings.get(feature, found[feature])
            if value not in VALUES:
                raise self.wrong(feature, f"`{value}` is none of {', '.join(VALUES)}")
            found[feature] = Support(str(value))
        return MappingProxyType(found)

    def wrong(self, name: str, why: str) -> ConfigError:
        """Return the error of one setting."""
        return ConfigError(f"{self.binding.target}: setting `{name}`: {why}")
