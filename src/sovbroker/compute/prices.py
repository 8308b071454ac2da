"""What sizes cost where their provider does not tell it: price lists, each with its day and its source.

The shipped ones lie beside the catalogue, one file a provider, and are read when a place of that provider is first
asked for its sizes. A configuration may name one of the operator's own for a place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from sovbroker.catalogue.schema import CODES
from sovbroker.document import Choice, Day, Findings, MapOf, Parsed, Record, Text, decode, optional, read, required
from sovbroker.errors import ConfigError
from sovbroker.machines import Size

__all__ = ["PriceList", "Rate", "load_prices", "priced", "read_prices", "shipped_files", "shipped_prices"]

SCHEMA: Final = "sovbroker.prices/1"
EURO: Final = "EUR"
SUFFIX: Final = ".yaml"
AMOUNT: Final = re.compile(r"(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,8})?")
SHOWN: Final = 40
CONVERTED: Final = Decimal("0.000001")
"""How fine a price is told that was converted: a millionth of a euro, which keeps the order of the cheapest sizes."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many units of a currency for one euro, as a source said it on a day."""

    per_euro: Decimal
    as_of: date
    source: str


@dataclass(frozen=True, slots=True)
class PriceList:
    """What the sizes of a provider cost an hour, before tax, as a source said it on a day.

    `regions` has prices in `currency` by region, then by a size's id or name. `rate` is there for every currency but
    the euro.
    """

    provider: str
    currency: str
    as_of: date
    source: str
    regions: Mapping[str, Mapping[str, Decimal]]
    rate: Rate | None = None
    note: str = ""

    def euro(self, size: Size, *, region: str) -> Decimal | None:
        """Return what an hour of a size costs in a region, in euro; None where the list does not say."""
        known = self.regions.get(region, {})
        price = known.get(size.id, known.get(size.name))
        if price is None or self.rate is None:
            return price
        return (price / self.rate.per_euro).quantize(CONVERTED)


def priced(sizes: Sequence[Size], *, provider: str, region: str, own: PriceList | None = None) -> Sequence[Size]:
    """Return sizes with their prices: of the operator's own list, else as the provider tells, else of the shipped list.

    A price decides an order, and never whether a size is enough. What nobody tells stays unknown.
    """
    shipped = shipped_prices(provider)
    return [_priced(one, region, own=own, shipped=shipped) for one in sizes]


def _priced(size: Size, region: str, *, own: PriceList | None, shipped: PriceList | None) -> Size:
    for known in (own, shipped if size.price is None else None):
        price = None if known is None else known.euro(size, region=region)
        if known is not None and price is not None:
            return replace(size, price=price, priced=known.as_of)
    return size


@cache
def shipped_prices(provider: str) -> PriceList | None:
    """Return the shipped price list of a provider, read when it is first asked for; None where there is none."""
    file = shipped_files().get(provider)
    return None if file is None else read_prices(file.read_bytes(), file.name)


def shipped_files() -> Mapping[str, Traversable]:
    """Return the files of the shipped price lists by the provider's id."""
    folder = files("sovbroker.catalogue") / "prices"
    return {file.name.removesuffix(SUFFIX): file for file in folder.iterdir() if file.name.endswith(SUFFIX)}


def load_prices(path: Path) -> PriceList:
    """Read the operator's own price list. Raises ConfigError with every finding, or when it cannot be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the price list `{path}`: {error.strerror}") from error
    return read_prices(text, str(path))


def read_prices(text: str | bytes, file: str) -> PriceList:
    """Read a price list; `file` names it in findings. Raises ConfigError with every finding."""
    findings = Findings(CODES)
    found = decode(read(text, file, findings), SHAPE, findings)
    if found is None or findings.failed:
        raise ConfigError("\n\n".join(map(str, findings.diagnostics)))
    if (found.currency == EURO) is not (found.rate is None):
        mend = "remove it" if found.rate else "add `rate: {per_euro: …, as_of: …, source: …}`"
        why = (
            "a price in euro needs no `rate`" if found.rate else f"nothing says what one `{found.currency}` is in euro"
        )
        raise ConfigError(f"{file}: {why}; {mend}")
    return found


def _amount(text: str) -> Decimal:
    """Read a number without a sign, an exponent or any other words for it. Raises ValueError."""
    if AMOUNT.fullmatch(text) is None:
        raise ValueError(f"`{text[:SHOWN]}` is no price; write a number such as `0.0432`, with up to 8 decimals")
    return Decimal(text)


def _rate(text: str) -> Decimal:
    found = _amount(text)
    if not found:
        raise ValueError("a euro is worth more than nothing of another currency")
    return found


def _list(*, schema: str, **rest: object) -> PriceList:
    del schema  # its shape has checked it
    return PriceList(**rest)  # type: ignore[arg-type]  # the shapes have checked the types


PROVIDER: Final = Text(pattern=r"[a-z0-9]+(?:-[a-z0-9]+)*", wanted="a provider's id as the catalogue spells it")
CURRENCY: Final = Text(pattern=r"[A-Z]{3}", wanted="a currency such as `EUR`, by its code of ISO 4217")
RATE: Final = Record(
    Rate,
    {"per_euro": required(Parsed(_rate)), "as_of": required(Day()), "source": required(Text())},
    whole=True,
)
SHAPE: Final = Record(
    _list,
    {
        "schema": required(Choice({SCHEMA: SCHEMA})),
        "provider": required(PROVIDER),
        "currency": required(CURRENCY),
        "as_of": required(Day()),
        "source": required(Text()),
        "note": optional(Text()),
        "rate": optional(RATE),
        "regions": required(MapOf(MapOf(Parsed(_amount), least=1, noun="size"), least=1, noun="region")),
    },
)
