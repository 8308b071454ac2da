"""What several sections of the configuration are made of: where a secret comes from, and countries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sovbroker.catalogue.countries import expand
from sovbroker.document import ByKind, Findings, Invalid, Kind, ListOf, Node, Parsed, Record, Scalar, Text, optional
from sovbroker.secrets import SecretSource

__all__ = ["CONTRADICTION", "SECRET_OR_TEXT", "Countries", "Secret", "SettingShape", "beside"]

CONTRADICTION: Final = "SF007"
"""The code of what is well formed and says two things that cannot both be."""


def _secret(env: str | None = None, file: str | None = None) -> SecretSource:
    return SecretSource(env=env, file=None if file is None else Path(file))


def _literal(text: str) -> SecretSource:
    return SecretSource(literal=text)


def _one(text: str) -> frozenset[str]:
    return expand([text])


@dataclass(frozen=True, slots=True)
class Countries:
    """One country or group, or a list of them."""

    def decode(self, node: Node, findings: Findings) -> frozenset[str]:
        """Return the countries, as codes."""
        if isinstance(node, Scalar):
            return Parsed(_one).decode(node, findings)
        return frozenset[str]().union(*ListOf(Parsed(_one), least=1).decode(node, findings))


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret comes from. A text in its place is likely the secret itself, so no message repeats it."""

    def decode(self, node: Node, findings: Findings) -> SecretSource:
        """Return the source."""
        if isinstance(node, Scalar):
            findings.error(
                Kind.TYPE,
                node.place,
                "a secret does not stand in the file",
                "name an environment variable, `{env: NAME}`, or a private file, `{file: PATH}`",
            )
            raise Invalid
        return SOURCE.decode(node, findings)


@dataclass(frozen=True, slots=True)
class SettingShape:
    """A setting of an adapter, in its own words."""

    def decode(self, node: Node, findings: Findings) -> str | int | bool:
        """Return a number for what is written as one, a truth value for `true` and `false`, else the text."""
        word = Text().decode(node, findings)
        plain = isinstance(node, Scalar) and node.plain
        if plain and word in {"true", "false"}:
            return word == "true"
        return int(word) if plain and word.isdecimal() else str(word)


SOURCE: Final = Record(_secret, {"env": optional(Text()), "file": optional(Text())})
SECRET_OR_TEXT: Final[ByKind[SecretSource]] = ByKind(text=Parsed(_literal), entries=SOURCE)


def beside(source: SecretSource, folder: Path) -> SecretSource:
    """Return a source whose file, if it has one, is relative to a folder."""
    return source if source.file is None else SecretSource(file=folder / source.file)
