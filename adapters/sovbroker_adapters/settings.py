"""The settings of a binding, read by name and kind: what is wrong with one is a ConfigError that names it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Feature, Limits, Support

__all__ = ["LIMITS", "SCHEMES", "Reading"]

LIMITS: Final = tuple(f.name for f in fields(Limits))
"""The names of the settings that are fields of `Limits`."""

SCHEMES: Final = ("https", "http")
"""The schemes that an endpoint may have."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A binding whose settings are being read."""

    binding: Binding

    def check_names(self, known: Collection[str]) -> None:
        """Refuse a setting that nobody reads: a misspelt one must not count as the default."""
        for name in self.binding.settings:
            if name not in known:
                raise self.wrong(name, f"there is no such setting; known: {', '.join(known)}")

    def choice(self, name: str, known: Collection[str]) -> str:
        """Return one of the words that the setting may be; the first by default."""
        value = self.binding.settings.get(name, next(iter(known)))
        if value not in known:
            raise self.wrong(name, f"`{value}` is none of {', '.join(known)}")
        return str(value)

    def switch(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean."""
        value = self.binding.settings.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, f"`{value}` is neither true nor false")
        return value

    def number(self, name: str, default: int) -> int:
        """Return a whole number from 1."""
        value = self.binding.settings.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, f"`{value}` is not a whole number from 1")
        return value

    def text(self, name: str) -> str | None:
        """Return a text that is not empty, or None."""
        value = self.binding.settings.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self.wrong(name, f"`{value}` is not a text")
        return value

    def path(self, name: str) -> Path | None:
        """Return a path, or None."""
        value = self.text(name)
        return None if value is None else Path(value)

    def url(self, name: str) -> str | None:
        """Return a URL, or None."""
        value = self.text(name)
        if value is not None and (urlsplit(value).scheme not in SCHEMES or not urlsplit(value).hostname):
            raise self.wrong(name, f"`{value}` is not a URL")
        return value

    def limits(self, preset: Limits) -> Limits:
        """Return `preset` with the limits that the settings change."""
        return replace(preset, **{name: self.number(name, 1) for name in LIMITS if name in self.binding.settings})

    def capabilities(
        self,
        preset: Mapping[Feature, Support],
        *,
        known: Collection[Support] = tuple(Support),
        changeable: Collection[Feature] = tuple(Feature),
    ) -> Mapping[Feature, Support]:
        """Return `preset`, in which every feature stands, with what the settings change."""
        found = dict(preset)
        for feature in changeable:
            value = self.binding.settings.get(feature)
            if value is None:
                continue
            if value not in known:
                raise self.wrong(feature, f"`{value}` is none of {', '.join(known)}")
            found[feature] = Support(str(value))
        return MappingProxyType(found)

    def wrong(self, name: str, why: str) -> ConfigError:
        """Return the error of one setting."""
        return ConfigError(f"{self.binding.target}: setting `{name}`: {why}")
