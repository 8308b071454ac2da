"""How the price list of AWS is made: which figures are proved by their family, and which are left out."""

import importlib.util
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from sovbroker.compute.prices import read_prices, shipped_prices


@pytest.fixture(scope="module")
def making(root: Path) -> ModuleType:
    sys.path.insert(0, str(root))
    try:
        spec = importlib.util.find_spec("prices.__main__")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(root))
    return module


def proved(making: ModuleType, **costs: str) -> set[str]:
    """Return the sizes that are proved, `x2` standing for `2xlarge`."""
    names = {name: f"{name[1:]}xlarge" if name[0] == "x" and name[1:].isdigit() else name for name in costs}
    found = making.proved({names[name]: Decimal(cost) for name, cost in costs.items()})
    return {name for name, size in names.items() if size in found}


def test_shared_machines_are_told_from_dedicated_ones(making: ModuleType):
    """Dedicated: 10% more for each unit. One shared one proves that the others are not, and they prove it."""
    assert proved(making, medium="0.1", large="0.2", xlarge="0.44", x2="0.88") == {"medium", "large"}
    assert proved(making, medium="0.1", large="0.22", xlarge="0.44") == {"medium"}


def test_those_that_all_agree_have_to_be_many(making: ModuleType):
    four = {"medium": "0.1", "large": "0.2", "xlarge": "0.4", "x2": "0.8"}
    assert proved(making, **four) == set()
    assert proved(making, **four, x4="1.6") == {*four, "x4"}


def test_nothing_is_no_price(making: ModuleType):
    assert proved(making, nano="0", medium="0.1", large="0.22", metal="99") == {"medium"}
    assert proved(making, medium="0", large="0") == set()


@pytest.mark.parametrize("odd", ["0.03", "0.206", "0.25"])
def test_a_family_of_which_nothing_is_sure_is_left_out(making: ModuleType, odd: str):
    sure = {"medium": "0.1", "xlarge": "0.4", "x2": "0.8", "x4": "1.6", "x8": "3.2"}
    assert proved(making, **sure, large=odd) == set()
    assert proved(making, **sure) == set(sure)


def test_the_list_is_what_is_kept(making: ModuleType):
    """Old families, other regions and regions of which nothing is kept are no part of it."""
    figures = {
        f"{family}.{size}": {"here": Decimal(cost), "there": Decimal(0)}
        for family in ("m5", "m3", "g5", "t3", "u-6tb1")
        for size, cost in (("large", "0.10"), ("xlarge", "0.22"), ("2xlarge", "0.40"))
    }
    head = making.HEAD.format(day="2026-01-01", version="1").replace("provider: aws", "provider: none")
    found = read_prices(head + making.listed(figures, ["here", "there"]), "made.yaml")
    kept = {"large": Decimal("0.1"), "2xlarge": Decimal("0.4")}
    assert found.regions == {"here": {f"{family}.{size}": p for family in ("m5", "t3") for size, p in kept.items()}}


def test_the_shipped_list_was_made_so(making: ModuleType):
    """Its own figures prove themselves as far as they can: each family costs the same for each unit."""
    shipped = shipped_prices("aws")
    assert shipped is not None
    for region, prices in shipped.regions.items():
        rates: dict[str, set[Decimal]] = {}
        for name, price in prices.items():
            family, _, size = name.partition(".")
            assert making.FAMILY.fullmatch(family), name
            rates.setdefault(family, set()).add(price / making.units(size))
        assert all(max(one) <= min(one) * making.ALIKE for one in rates.values()), region
