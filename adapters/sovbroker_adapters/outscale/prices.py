"""What an hour of a machine costs an account, by the catalog that it is billed by.

A size has a price of its own there (`BoxUsage:NAME`), or it is made of cores (`CustomCore:v5-p2`, by generation and
performance) and GiB of memory (`CustomRam`). The catalog does not name its currency; the call for a single price does,
and is made for memory: where both agree on that, the currency is the catalog's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from sovbroker.errors import InvalidArgument, StoreError
from sovbroker.machines import Size
from sovbroker_adapters.answers import entries, entry
from sovbroker_adapters.outscale.client import Connection

__all__ = ["priced"]

HOURLY: Final = {"Service": "TinaOS-FCU", "Operation": "RunInstances-OD"}
"""Machines on demand; what runs under Linux costs nothing beside."""

MEMORY: Final = "CustomRam"
MONTHLY: Final = "PER_MONTH"
EURO: Final = "EUR"
CUSTOM: Final = re.compile(r"tinav([0-9]+)\.c[0-9]+r[0-9]+(?:p([123]))?", re.ASCII)
USUAL: Final = "2"
"""The performance of a size that names none."""

FINE: Final = Decimal("0.000001")
NEAR: Final = 1e-4
"""The catalog tells floats of four bytes, the call for a single price of eight."""

GIB: Final = 1 << 30


def priced(sizes: Sequence[Size], connection: Connection) -> Sequence[Size]:
    """Return sizes with what they cost an hour in euro, as far as the account may know it.

    A price is for putting places in an order. So an account that may not read its catalog, or has another currency,
    keeps its sizes: their prices stay unknown.
    """
    try:
        known = _hourly(connection)
        currency = _currency(connection, known.get(MEMORY))
    except (StoreError, InvalidArgument):
        return sizes
    if currency != EURO:
        return sizes
    return [replace(one, price=_price(one, known)) for one in sizes]


def _hourly(connection: Connection) -> Mapping[str, Decimal]:
    """Return the price of an hour by type; what has two prices has none."""
    catalog = connection.ask("ReadCatalog", {}, again=True).get("Catalog")
    found: dict[str, set[Decimal]] = {}
    for one in entries(catalog, "Entries", target=connection.target):
        if one.get("Flags") != MONTHLY and all(one.get(name) == value for name, value in HOURLY.items()):
            price = _amount(one)
            if price is not None:
                found.setdefault(str(one.get("Type", "")), set()).add(price)
    return {name: prices.pop() for name, prices in found.items() if len(prices) == 1}


def _currency(connection: Connection, memory: Decimal | None) -> str:
    """Return the currency of the catalog; "" where it is not known."""
    answer = connection.ask("ReadUnitPrice", {**HOURLY, "Type": MEMORY}, again=True)
    told = entry(answer.get("UnitPriceEntry"), target=connection.target)
    price = _amount(told)
    if memory is None or price is None or not math.isclose(price, memory, rel_tol=NEAR):
        return ""
    return str(told.get("Currency", ""))


def _price(size: Size, known: Mapping[str, Decimal]) -> Decimal | None:
    whole = known.get(f"BoxUsage:{size.id}")
    custom = CUSTOM.fullmatch(size.id)
    if whole is not None or custom is None or size.gpus:
        return whole
    core, memory = known.get(f"CustomCore:v{custom[1]}-p{custom[2] or USUAL}"), known.get(MEMORY)
    if core is None or memory is None:
        return None
    return (size.cpus * core + Decimal(size.memory) / GIB * memory).quantize(FINE)


def _amount(found: Mapping[str, Any]) -> Decimal | None:
    """Return a price; None for what is none."""
    value = found.get("UnitPrice")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return Decimal(str(value))
