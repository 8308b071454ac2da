"""The words that files about facts are written in: names, countries, versions, settings."""

from __future__ import annotations

import re
from typing import Final

from sovbroker.catalogue.countries import COUNTRIES
from sovbroker.document import Choice, Parsed, Text

__all__ = ["KEY", "LINK", "LONG", "NAME", "OFFER", "OFFERS", "country", "plain", "setting", "version_of"]

OFFERS: Final = (
    "object-storage",
    "block-storage",
    "compute",
    "bare-metal",
    "vmware",
    "kubernetes",
    "database",
    "paas",
    "paas-openshift",
    "saas-collaboration",
)
"""What a provider may offer. A qualification is of an offer, so that offers need common names."""


def version_of(text: str) -> tuple[int, ...]:
    """Read a version, `3.2`."""
    if re.fullmatch(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}", text) is None:
        raise ValueError(f"`{text}` is not a version such as 3.2")
    return tuple(int(part) for part in text.split("."))


def country(text: str) -> str:
    """Read the code of a country."""
    if text not in COUNTRIES:
        raise ValueError(f"`{text}` is not a country; use a code of ISO 3166-1 such as `FR`")
    return text


def setting(text: str) -> str | int | bool:
    """Read a setting: digits are a number, `true` and `false` are a boolean."""
    match text:
        case "true" | "false":
            return text == "true"
        case _:
            return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,17}", text) else str(text)


def plain(text: str) -> str:
    """Leave a text as it is, without its place."""
    return str(text)


LONG: Final = Parsed(plain, Text(most=2000))
"""A text of people's."""

KEY: Final = Text(pattern=r"[a-z0-9]+(?:-[a-z0-9]+)*", wanted="a name of a-z, 0-9 and hyphens between them", most=64)
"""A name, with its place."""

NAME: Final = Parsed(plain, KEY)
"""A name."""

OFFER: Final = Choice({offer: offer for offer in OFFERS})
"""An offer."""

LINK: Final = Parsed(
    plain, Text(pattern=r"[a-z0-9-]+/[a-z0-9-]+", wanted="a region of a provider, such as `outscale/eu-west-2`")
)
"""A region of a provider."""
