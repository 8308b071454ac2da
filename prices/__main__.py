"""`python -m prices`: make the price list of AWS, `aws.yaml`, again from the figures that apache-libcloud ships.

These are Amazon's own, of its price list on the day that libcloud's file names. But for many sizes libcloud has what
a dedicated machine costs, which is 6 to 10% more, or 0, and does not say so. So a figure is kept only where the sizes
of its family prove it. Within a family, an hour costs the same for each unit of size:

- those that are at the family's lowest rate in the region are kept;
- where others are 5 to 11% above it, the lowest rate is that of shared machines; where none is, five have to agree;
- a family in which anything else is seen proves nothing, and is left out there.

The families are the general ones that are made today; those with GPUs do not cost the same for each unit. The list of
OVHcloud is short, and written by hand.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

from sovbroker import catalogue

Figures = Mapping[str, Mapping[str, Decimal]]
"""What an hour of a size costs, by size and region."""

FAMILY = re.compile(r"t3a?|t4g|[cmr][5-9](?:[a-z]|-flex)*")
WORDS = {
    "nano": Decimal("0.25"),
    "micro": Decimal("0.5"),
    "small": Decimal(1),
    "medium": Decimal(2),
    "large": Decimal(4),
    "xlarge": Decimal(8),
}
ALIKE = Decimal("1.003")
DEDICATED = (Decimal("1.05"), Decimal("1.11"))
ENOUGH = 5
TARGET = Path(__file__).parents[1] / "src" / "sovbroker" / "catalogue" / "prices" / "aws.yaml"
HEAD = """\
schema: sovbroker.prices/1
provider: aws
currency: USD
as_of: {day}
source: "PyPI apache-libcloud {version} data/pricing.json, ec2_linux: Amazon's on-demand prices, Linux, shared machines"
note: "made by `python -m prices`, which says what is left out; before tax"
rate:
  per_euro: 1.0411
  as_of: 2025-02-28
  source: "ECB euro foreign exchange reference rates, by https://eurodripusa.net/?p=3470"
regions:
"""


def units(size: str) -> Decimal | None:
    """Return how large a size of a family is, such as `2xlarge`; None for what is no multiple (`metal`)."""
    many = re.fullmatch(r"([1-9][0-9]*)xlarge", size)
    return int(many[1]) * WORDS["xlarge"] if many else WORDS.get(size)


def proved(costs: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """Return those prices of one family in one region that are proved, by size; none where nothing is."""
    rates = {size: price / amount for size, price in costs.items() if price and (amount := units(size))}
    lowest = min(rates.values(), default=Decimal(1))
    shared = {size: costs[size] for size, rate in rates.items() if rate <= lowest * ALIKE}
    others = [rate / lowest for size, rate in rates.items() if size not in shared]
    if not all(DEDICATED[0] <= ratio <= DEDICATED[1] for ratio in others):
        return {}
    return shared if others or len(shared) >= ENOUGH else {}


def kept(figures: Figures, region: str) -> Iterator[tuple[str, Decimal]]:
    """Return the proved prices of a region by family and size."""
    families: dict[str, dict[str, Decimal]] = {}
    for name, prices in figures.items():
        family, _, size = name.partition(".")
        if FAMILY.fullmatch(family) and region in prices:
            families.setdefault(family, {})[size] = prices[region]
    for family, costs in sorted(families.items()):
        for size, price in sorted(proved(costs).items(), key=lambda one: units(one[0]) or Decimal(0)):
            yield f"{family}.{size}", price


def listed(figures: Figures, regions: Iterator[str] | list[str]) -> str:
    """Return the part of the list that tells prices."""
    lines: list[str] = []
    for region in regions:
        found = [f"    {name}: {price.normalize():f}\n" for name, price in kept(figures, region)]
        lines += [f"  {region}:\n", *found] if found else []
    return "".join(lines)


def main() -> None:
    """Write the list, and say how much of what there was is in it."""
    import libcloud  # noqa: PLC0415  # the tests need none

    file = Path(libcloud.__file__).parent / "data" / "pricing.json"
    told = json.loads(file.read_text("utf-8"), parse_float=Decimal)
    day = datetime.fromtimestamp(int(told["updated"]), UTC).date()
    figures = cast("Figures", told["compute"]["ec2_linux"])
    regions = list(catalogue.load().provider("aws").regions)
    text = HEAD.format(day=day, version=libcloud.__version__) + listed(figures, regions)
    TARGET.write_text(text, encoding="utf-8")
    for region in regions:
        there = sum(
            1 for name, prices in figures.items() if FAMILY.fullmatch(name.partition(".")[0]) and region in prices
        )
        sys.stdout.write(f"{region}: {len(list(kept(figures, region)))} of {there} sizes\n")


if __name__ == "__main__":
    main()
