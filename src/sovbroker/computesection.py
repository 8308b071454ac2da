"""The section `compute` of a configuration: places for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sovbroker.catalogue.connection import on_this_machine
from sovbroker.document import (
    Findings,
    Flag,
    Kind,
    ListOf,
    MapOf,
    Place,
    Record,
    Text,
    Word,
    optional,
    required,
)
from sovbroker.machines import ImageSource
from sovbroker.recipients import Setting
from sovbroker.secrets import SecretSource
from sovbroker.shapes import CONTRADICTION, Countries, Secret, SettingShape, beside

__all__ = [
    "LOCAL",
    "PLACES",
    "SECRETS",
    "ComputeConfig",
    "PlaceSection",
    "SecretsConfig",
    "SecretsSection",
    "check_twice",
]

LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class ComputeConfig:
    """A configured place for machines: `at` as the catalogue spells it, or `local`.

    `project` is the account, project or resource group at the provider; of `local`, the folder. `parameters` fill the
    placeholders of the provider's endpoint; `endpoint` replaces it, for emulators on this machine. `images` are sources
    of images by name. `prices` is the file of the operator's own price list.
    """

    at: str
    project: str = ""
    endpoint: str | None = None
    emulated: bool = False
    credentials: Mapping[str, SecretSource] = field(default_factory=dict[str, SecretSource])
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    images: Mapping[str, ImageSource] = field(default_factory=dict[str, ImageSource])
    prices: Path | None = None
    located: frozenset[str] | None = None
    controlled: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class PlaceSection:
    """One place, as it is written."""

    place: Place
    at: Word
    project: Word | None = None
    path: Word | None = None
    endpoint: Word | None = None
    emulated: bool = False
    credentials: Mapping[Word, SecretSource] = field(default_factory=dict[Word, SecretSource])
    parameters: Mapping[Word, Word] = field(default_factory=dict[Word, Word])
    settings: Mapping[Word, Setting] = field(default_factory=dict[Word, Setting])
    images: Mapping[Word, ImageSource] = field(default_factory=dict[Word, ImageSource])
    prices: Word | None = None
    located: frozenset[str] | None = None
    controlled: frozenset[str] | None = None

    def config(self, folder: Path, findings: Findings) -> ComputeConfig:
        """Return it with paths made absolute, having found what does not go together."""
        own = self.at == LOCAL
        if own and self.path is None:
            findings.error(Kind.MISSING, self.place, "the machines of this machine need the key `path`, a folder")
        if own and (self.project or self.endpoint or self.credentials or self.prices):
            findings.error(
                CONTRADICTION, self.place, "`local` has a path, and no project, endpoint, credentials or prices"
            )
        if not own and (self.path or self.located or self.controlled):
            findings.error(
                CONTRADICTION,
                self.place,
                f"where `{self.at}` is and who controls it comes from the catalogue, not from the configuration",
                "remove `path`, `located` and `controlled`",
            )
        if (self.endpoint is not None) is not self.emulated or (
            self.endpoint is not None and not on_this_machine(self.endpoint)
        ):
            findings.error(
                CONTRADICTION,
                self.place if self.endpoint is None else self.endpoint.place,
                f"the endpoint of `{self.at}` comes from the catalogue",
                "remove `endpoint` and `emulated`; an emulator on this machine (127.0.0.1, ::1 or localhost) has both",
            )
        return ComputeConfig(
            at=str(self.at),
            project=str(folder / self.path) if self.path is not None else str(self.project or ""),
            endpoint=None if self.endpoint is None else str(self.endpoint),
            emulated=self.emulated,
            credentials={str(name): beside(source, folder) for name, source in self.credentials.items()},
            parameters={str(name): str(value) for name, value in self.parameters.items()},
            settings={str(name): value for name, value in self.settings.items()},
            images={str(name): source for name, source in self.images.items()},
            prices=None if self.prices is None else folder / self.prices,
            located=self.located,
            controlled=self.controlled,
        )


@dataclass(frozen=True, slots=True)
class SecretsConfig:
    """What keeps secrets for machines: a `service`, and how it is reached."""

    service: str
    endpoint: str
    credentials: Mapping[str, SecretSource]
    settings: Mapping[str, Setting] = field(default_factory=dict[str, Setting])


@dataclass(frozen=True, slots=True)
class SecretsSection:
    """The section `secrets`, as it is written."""

    service: Word
    endpoint: Word
    credentials: Mapping[Word, SecretSource]
    settings: Mapping[Word, Setting] = field(default_factory=dict[Word, Setting])

    def config(self, folder: Path) -> SecretsConfig:
        """Return it with paths made absolute."""
        return SecretsConfig(
            service=str(self.service),
            endpoint=str(self.endpoint),
            credentials={str(name): beside(source, folder) for name, source in self.credentials.items()},
            settings={str(name): value for name, value in self.settings.items()},
        )


def check_twice(sections: tuple[PlaceSection, ...], findings: Findings) -> None:
    """Find a place that is there twice."""
    seen: set[str] = set()
    for section in sections:
        if section.at in seen:
            findings.error(Kind.DUPLICATE, section.place, f"the place `{section.at}` is here twice")
        seen.add(str(section.at))


def _source(pattern: Word, owner: Word | None = None) -> ImageSource:
    return ImageSource("" if owner is None else str(owner), str(pattern))


BY_NAME: Final = MapOf(Secret(), key=Text(pattern=r"[a-z][a-z_]*", wanted="a name of a-z and _"))
SETTINGS: Final = MapOf(SettingShape(), key=Text(pattern=r"[a-z][a-z0-9-]*", wanted="a name of a-z, 0-9 and -"))
SECRETS: Final = Record(
    SecretsSection,
    {
        "service": required(Text()),
        "endpoint": required(Text()),
        "credentials": required(BY_NAME),
        "settings": optional(SETTINGS),
    },
)
PLACES: Final = ListOf(
    Record(
        PlaceSection,
        {
            "at": required(Text()),
            "project": optional(Text()),
            "path": optional(Text()),
            "endpoint": optional(Text()),
            "emulated": optional(Flag()),
            "credentials": optional(BY_NAME),
            "parameters": optional(MapOf(Text())),
            "settings": optional(SETTINGS),
            "images": optional(MapOf(Record(_source, {"owner": optional(Text()), "pattern": required(Text())}))),
            "prices": optional(Text()),
            "located": optional(Countries()),
            "controlled": optional(Countries()),
        },
        place=True,
    )
)
