"""The section `keys` of a configuration: keyrings, and the recipients of each.

A keyring with one recipient is written in one go, `{service: file, path: …, passphrase: …}`; one with several lists
them under `recipients`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Final

from sovbroker.catalogue.facts import Qualification, Status
from sovbroker.document import (
    Day,
    Findings,
    Flag,
    Invalid,
    Kind,
    ListOf,
    MapOf,
    Node,
    Place,
    Record,
    Text,
    Whole,
    Word,
    optional,
    required,
    suggest,
)
from sovbroker.keys import PassphraseService
from sovbroker.policy.vocabulary import SCHEMES
from sovbroker.recipients import ESCROW, FILE, STATED, KeyConfig, RecipientConfig, Setting
from sovbroker.secrets import SecretSource
from sovbroker.shapes import CONTRADICTION, Countries, Secret, SettingShape, beside

__all__ = ["KEYRING", "KeySection"]

VERSION: Final = Text(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}", "a version such as 3.2", most=20)
NAME: Final = Text(pattern=r"[a-z0-9][a-z0-9-]*", wanted="a name of a-z, 0-9 and -")
BELONGS: Final[Mapping[str, tuple[str, ...]]] = {
    FILE: ("passphrase",),
    ESCROW: ("public", "private"),
    "": ("key", "endpoint", "region", "credentials", "settings"),
}
"""What each kind of recipient is told, beside where it is; "" stands for every key service of an adapter."""


@dataclass(frozen=True, slots=True)
class _Recipient:
    place: Place
    service: Word
    passphrase: SecretSource | None = None
    key: Word | None = None
    endpoint: Word | None = None
    region: Word | None = None
    credentials: Mapping[Word, SecretSource] | None = None
    settings: Mapping[Word, Setting] | None = None
    public: Word | None = None
    private: SecretSource | None = None
    located: frozenset[str] | None = None
    controlled: frozenset[str] | None = None
    qualified: tuple[Qualification, ...] = ()

    def config(self, name: str, folder: Path, findings: Findings) -> RecipientConfig:
        """Return it with paths made absolute, having found what does not go together."""
        kind = str(self.service) if self.service in BELONGS else ""
        for other, names in BELONGS.items():
            for field_name in names if other != kind else ():
                if getattr(self, field_name) is not None:
                    findings.error(
                        CONTRADICTION, self.place, f"`{field_name}` does not belong to the key service `{self.service}`"
                    )
        if kind == FILE and self.passphrase is None:
            findings.error(Kind.MISSING, self.place, "a recipient `service: file` needs the key `passphrase`")
        if kind == FILE and name != PassphraseService.name:
            findings.error(
                CONTRADICTION, self.place, f"the recipient whose service is `file` is called `{PassphraseService.name}`"
            )
        if kind == ESCROW and self.public is None and self.private is None:
            findings.error(Kind.MISSING, self.place, "an escrow needs the key `public`, the file with its public half")
        if not kind and self.key is None:
            message = f"a recipient `service: {self.service}` needs the `key`, as the service calls it"
            findings.error(Kind.MISSING, self.place, message)
        return RecipientConfig(
            name=name,
            service=str(self.service),
            passphrase=None if self.passphrase is None else beside(self.passphrase, folder),
            key=str(self.key or ""),
            endpoint=None if self.endpoint is None else str(self.endpoint),
            region=None if self.region is None else str(self.region),
            credentials={str(one): beside(source, folder) for one, source in (self.credentials or {}).items()},
            settings={str(one): value for one, value in (self.settings or {}).items()},
            public=None if self.public is None else folder / self.public,
            private=None if self.private is None else beside(self.private, folder),
            located=self.located,
            controlled=self.controlled,
            qualified=self.qualified,
        )


@dataclass(frozen=True, slots=True)
class KeySection:
    """One keyring, as it is written."""

    place: Place
    path: Word
    only: _Recipient | None = None
    recipients: Mapping[Word, _Recipient] = field(default_factory=dict[Word, _Recipient])
    quorum: int = 1
    recovery: bool = True
    located: frozenset[str] | None = None
    controlled: frozenset[str] | None = None
    stray: tuple[str, ...] = ()

    def config(self, name: str, folder: Path, findings: Findings) -> KeyConfig:
        """Return it with paths made absolute, having found what does not go together."""
        if self.only is not None and self.recipients:
            findings.error(
                CONTRADICTION, self.place, "a keyring has one `service`, or `recipients`; move the one to the others"
            )
        if self.only is None and not self.recipients:
            findings.error(Kind.MISSING, self.place, "a keyring needs the key `service`, or several `recipients`")
        if self.only is not None and self.quorum > 1:
            findings.error(CONTRADICTION, self.place, f"one `service` cannot be {self.quorum}; list `recipients`")
        if self.only is None and self.stray:
            findings.error(
                CONTRADICTION, self.place, f"`{self.stray[0]}` tells of one recipient; write it beside its `service`"
            )
        asked = [one for one in self.recipients.values() if one.service != ESCROW or one.private is not None]
        if self.recipients and len(asked) < self.quorum:
            findings.error(
                CONTRADICTION,
                self.place,
                f"a quorum of {self.quorum} cannot be met by {len(asked)} recipients that are at hand",
                "what lies offline does not count in daily work",
            )
        found: tuple[RecipientConfig, ...]
        if self.only is not None:
            word = str(self.only.service)
            found = (self.only.config(PassphraseService.name if word == FILE else word, folder, findings),)
        else:
            found = tuple(one.config(str(each), folder, findings) for each, one in self.recipients.items())
        return KeyConfig(
            name=str(name),
            path=folder / self.path,
            recipients=found,
            quorum=self.quorum,
            recovery=self.recovery,
            located=self.located,
            controlled=self.controlled,
            listed=self.only is None,
        )


def _keyring(place: Place, path: Word, **rest: object) -> KeySection:
    shared = {name: rest.pop(name) for name in ("quorum", "recovery", "recipients") if name in rest}
    only = None
    if "service" in rest:
        only = _Recipient(place, **rest)  # type: ignore[arg-type]  # the shapes have checked the types
    about = {name: rest.pop(name) for name in ("located", "controlled") if name in rest}
    stray = () if only is not None else tuple(rest)
    return KeySection(place, path, only, **shared, **about, stray=stray)  # type: ignore[arg-type]  # as above


def _qualification(*, scheme: str, until: date, version: Word | None = None) -> Qualification:
    numbers = () if version is None else tuple(map(int, version.split(".")))
    return Qualification(scheme, Status.QUALIFIED, replace(STATED, expires=until), numbers)


@dataclass(frozen=True, slots=True)
class _Scheme:
    """A scheme of qualification that is known."""

    def decode(self, node: Node, findings: Findings) -> str:
        """Return its name."""
        word = Text().decode(node, findings)
        if word not in SCHEMES:
            findings.error(Kind.VALUE, word.place, f"unknown qualification `{word}`", suggest(word, SCHEMES))
            raise Invalid
        return str(word)


ABOUT: Final = {
    "passphrase": optional(Secret()),
    "key": optional(Text()),
    "endpoint": optional(Text()),
    "region": optional(Text()),
    "credentials": optional(MapOf(Secret(), key=Text(pattern=r"[a-z][a-z_]*", wanted="a name of a-z and _"))),
    "settings": optional(
        MapOf(SettingShape(), key=Text(pattern=r"[a-z][a-z0-9-]*", wanted="a name of a-z, 0-9 and -"))
    ),
    "public": optional(Text()),
    "private": optional(Secret()),
    "located": optional(Countries()),
    "controlled": optional(Countries()),
    "qualified": optional(
        ListOf(
            Record(
                _qualification,
                {"scheme": required(_Scheme()), "version": optional(VERSION), "until": required(Day())},
                whole=True,
            ),
            least=1,
        )
    ),
}
KEYRING: Final = Record(
    _keyring,
    {
        "path": required(Text()),
        "service": optional(NAME),
        "recipients": optional(
            MapOf(Record(_Recipient, {"service": required(NAME), **ABOUT}, place=True), key=NAME, least=1)
        ),
        "quorum": optional(Whole(least=1, most=16)),
        "recovery": optional(Flag()),
        **ABOUT,
    },
    place=True,
)
