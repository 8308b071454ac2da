"""Price lists: what they may say, whose price counts, and what is chosen by them."""

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovbroker import catalogue
from sovbroker.compute.needs import Needs
from sovbroker.compute.prices import (
    PriceList,
    Rate,
    load_prices,
    priced,
    read_prices,
    shipped_files,
    shipped_prices,
)
from sovbroker.errors import ConfigError
from sovbroker.machines import Size

GIB = 1 << 30
DAY = date(2026, 8, 1)
EURO = """
schema: sovbroker.prices/1
provider: fr
currency: EUR
as_of: 2026-08-01
source: our contract
regions:
  paris: {small: 0.02, "42": 0.5}
"""
DOLLAR = EURO.replace("EUR", "USD") + 'rate: {per_euro: 1.25, as_of: 2026-07-31, source: "our bank"}\n'


def listed(text=EURO):
    return read_prices(text, "prices.yaml")


def test_a_list_says_what_it_says():
    assert listed() == PriceList(
        "fr", "EUR", DAY, "our contract", {"paris": {"small": Decimal("0.02"), "42": Decimal("0.5")}}
    )
    assert listed(DOLLAR).rate == Rate(Decimal("1.25"), date(2026, 7, 31), "our bank")
    assert listed(EURO + "note: before tax\n").note == "before tax"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.02", "-0.02", "`-0.02` is no price"),
        ("0.02", "NaN", "`NaN` is no price"),
        ("0.02", "inf", "`inf` is no price"),
        ("0.02", "1e-3", "`1e-3` is no price"),
        ("0.02", "0,02", "found nothing"),
        ("0.02", "00.02", "is no price"),
        ("0.02", "0.000000001", "is no price"),
        ("0.02", "٣", "is no price"),
        ("0.02", "[0.02]", "found a list"),
        ("0.02", "", "found nothing"),
        ("paris: {small: 0.02, ", "paris: {small: 0.02, small: 0.03, ", "`small` is here twice"),
        ('{small: 0.02, "42": 0.5}', "{}", "at least 1 key"),
        ("as_of: 2026-08-01", "as_of: 2026-02-30", "is not a day"),
        ("as_of: 2026-08-01", "as_of: 2026-08", "is not a day"),
        ("as_of: 2026-08-01\n", "", "`as_of` is missing"),
        ("source: our contract\n", "", "`source` is missing"),
        ("provider: fr", "provider: FR", "a provider's id"),
        ("currency: EUR", "currency: euro", "is not a currency"),
        ("currency: EUR", "currency: USD", "nothing says what one `USD` is in euro"),
        ("sovbroker.prices/1", "sovbroker.prices/2", "not one of `sovbroker.prices/1`"),
        ("source:", "colour: red\nsource:", "unknown key `colour`"),
    ],
)
def test_what_no_list_says(old, new, said):
    assert old in EURO
    with pytest.raises(ConfigError, match=said) as caught:
        listed(EURO.replace(old, new))
    assert "prices.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("per_euro: 1.25", "per_euro: 0.0", "more than nothing"),
        ("per_euro: 1.25", "per_euro: -1.25", "is no price"),
        ("per_euro: 1.25", "per_euro: NaN", "is no price"),
        ("as_of: 2026-07-31, ", "", "`as_of` is missing"),
        (', source: "our bank"', "", "`source` is missing"),
        ("currency: USD", "currency: EUR", "a price in euro needs no `rate`"),
    ],
)
def test_what_no_rate_says(old, new, said):
    assert old in DOLLAR
    with pytest.raises(ConfigError, match=said):
        listed(DOLLAR.replace(old, new))


@given(st.decimals(allow_nan=True, allow_infinity=True) | st.text(max_size=12))
def test_a_price_is_a_plain_number_or_refused(value):
    """Whatever is written, it is read as exactly that amount, or not at all."""
    written = str(value)
    text = EURO.replace("0.02", '"' + written.encode("unicode_escape").decode().replace('"', '\\"') + '"')
    try:
        found = listed(text).regions["paris"]["small"]
    except ConfigError:
        assert re.fullmatch(r"(0|[1-9][0-9]{0,5})(\.[0-9]{1,8})?", written, re.ASCII) is None
        return
    assert found == Decimal(written)
    assert str(found) == written
    assert found >= 0


@given(st.decimals("0", "999999", places=8), st.decimals("0.00000001", "1000", places=8))
def test_a_converted_price_is_near_and_no_less_than_nothing(price, per_euro):
    rate = Rate(per_euro, DAY, "s")
    found = PriceList("fr", "USD", DAY, "s", {"r": {"x": price}}, rate).euro(Size("x", 1, 1), region="r")
    assert found >= 0
    assert abs(found * per_euro - price) <= per_euro * Decimal("0.0000005") + abs(price) * Decimal("1e-20")


def test_a_size_is_known_by_its_id_or_its_name():
    known = listed()
    assert known.euro(Size("small", 1, GIB), region="paris") == Decimal("0.02")
    assert known.euro(Size("f-1", 1, GIB, name="small"), region="paris") == Decimal("0.02")
    assert known.euro(Size("42", 1, GIB, name="small"), region="paris") == Decimal("0.5")
    assert known.euro(Size("small", 1, GIB), region="lyon") is None
    assert known.euro(Size("SMALL", 1, GIB), region="paris") is None
    assert listed(DOLLAR).euro(Size("small", 1, GIB), region="paris") == Decimal("0.016")


def test_whose_price_counts():
    """The operator's own, then the provider's word, then the shipped list: of OVHcloud here."""
    told, untold = Size("1", 2, GIB, name="b3-8", price=Decimal("0.9")), Size("2", 2, GIB, name="b3-8")
    other = Size("3", 2, GIB, name="no-such-size")
    own = replace(listed(), regions={"gra": {"b3-8": Decimal("0.04")}})

    def prices(**kept):
        found = priced([told, untold, other], provider="ovhcloud", region="gra", **kept)
        return [(one.price, one.priced) for one in found]

    shipped = shipped_prices("ovhcloud")
    assert prices() == [(Decimal("0.9"), None), (Decimal("0.0512"), shipped.as_of), (None, None)]
    assert prices(own=own) == [(Decimal("0.04"), DAY), (Decimal("0.04"), DAY), (None, None)]
    elsewhere = replace(own, regions={"sbg": own.regions["gra"]})
    assert prices(own=elsewhere) == prices()


def test_a_provider_without_a_list_tells_its_own_prices_or_none():
    sizes = [Size("small", 1, GIB, price=Decimal(1)), Size("large", 2, GIB)]
    assert priced(sizes, provider="../providers/aws", region="gra") == sizes
    assert shipped_prices("nobody") is None


def test_a_price_makes_nothing_fit():
    lacking = Size("b3-8", 1, GIB)
    found = priced([lacking], provider="ovhcloud", region="gra")
    assert found[0].price is not None
    assert Needs(cpus=2).cheapest(found) is None


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the price list"):
        load_prices(tmp_path / "none.yaml")
    (tmp_path / "own.yaml").write_text(EURO)
    assert load_prices(tmp_path / "own.yaml") == listed()


# --- the shipped ones

NAMES = {"aws": r"[a-z][a-z0-9-]*\.[a-z0-9]+", "ovhcloud": r"[a-z]+[0-9]?(-[a-z]+)?-?[a-z]*[0-9]+"}


def test_the_shipped_lists_are_known():
    assert set(shipped_files()) == set(NAMES)


@pytest.mark.parametrize("provider", shipped_files())
def test_a_shipped_list_is_of_its_provider(provider):
    found = shipped_prices(provider)
    known = catalogue.load().provider(provider)
    assert found.provider == provider
    assert found.source.startswith(("https://", "PyPI "))
    assert set(found.regions) <= set(known.regions)
    assert len(shipped_files()[provider].read_bytes()) < 200_000
    for region, prices in found.regions.items():
        for size, price in prices.items():
            assert re.fullmatch(NAMES[provider], size), f"{region}: {size}"
            # 0 is how the sources say that they do not know.
            assert Decimal("0.001") < price < 200, f"{region}: {size}"


def test_figures_of_amazon_agree_with_another_source():
    """Some of Frankfurt, as Amazon's own pages told them on 2026-09-11, in dollars.

    By https://github.com/mixxor/eu-cloud-prices, prices/aws.json (commit 450b382).
    """
    told = {
        "c6a.2xlarge": "0.3492",
        "c6a.48xlarge": "8.3808",
        "c6g.large": "0.0776",
        "c7a.medium": "0.0586",
        "c7a.large": "0.1171",
        "c7a.xlarge": "0.2343",
        "c7a.8xlarge": "1.8741",
        "c7a.24xlarge": "5.6222",
    }
    listed = shipped_prices("aws").regions["eu-central-1"]
    compared = {size: round(listed[size], 4) for size in told if size in listed}
    assert len(compared) >= 5
    assert compared == {size: Decimal(told[size]) for size in compared}
    # What a dedicated one costs is in the source of the list, and not in the list.
    assert listed.get("c6a.large") in {None, Decimal("0.0873")}
    assert listed.get("c6g.medium") in {None, Decimal("0.0388")}


# --- what is chosen


def test_a_list_decides_between_sizes_and_places(house):
    for fake in house.fakes.values():
        fake.offered = [Size("small", 1, GIB), Size("odd", 4, 4 * GIB)]
    places = house.around.providers.places
    assert [one.size.price for one in house.compute.explain("web/x").options] == [None] * 3
    lists = {
        "us/compute@ohio": {"small": Decimal("0.05"), "odd": Decimal("0.03")},
        "de/compute@berlin": {"small": Decimal(1)},
    }
    for target, prices in lists.items():
        own = PriceList("x", "EUR", DAY, "s", {places[target].target.region: prices})
        object.__setattr__(places[target], "prices", own)
    plan = house.compute.explain("web/x")
    assert [(one.target, one.size.id) for one in plan.options] == [
        ("us/compute@ohio", "odd"),
        ("de/compute@berlin", "small"),
        ("fr/compute@paris", "small"),
    ]
    assert "odd, 0.03 EUR/h (list of 2026-08-01)" in str(plan)
    assert "small, no price known" in str(plan)
    told = plan.to_dict()["options"]
    assert [(one["price"], one["priced"]) for one in told] == [
        ("0.03", "2026-08-01"),
        ("1", "2026-08-01"),
        (None, None),
    ]
    assert [one.id for one in house.compute.sizes("us/ohio")] == ["odd", "small"]
    # What the policy refuses stays refused, whatever it costs.
    assert {one.target for one in house.compute.explain("hr/x").options} == {"fr/compute@paris"}
