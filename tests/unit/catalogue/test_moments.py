"""Dates as sources give them."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue.moments import first_day, known_day, moment

DAYS = st.dates(date(1, 1, 1), date(9998, 12, 31))


@given(DAYS)
@settings(max_examples=200, deadline=None)
def test_a_year_a_month_and_a_day_hold_their_days(day: date):
    for text in (day.isoformat(), day.isoformat()[:7], day.isoformat()[:4]):
        found = moment(text)
        assert found.first <= day <= found.last
        assert first_day(text) == found.first
        assert known_day(text) == found.first
    assert moment(day.isoformat()).first == moment(day.isoformat()).last == day
    assert (moment(day.isoformat()[:7]).last + timedelta(1)).day == 1
    assert moment(day.isoformat()[:4]).last.strftime("%m-%d") == "12-31"


def test_unknown_is_no_day():
    assert known_day("unknown") is None


@pytest.mark.parametrize(
    "text", ["", "26", "2026-1", "2026-13", "2026-02-30", "2026-00", "0000", "soon", "2026-11-23 ", "20261123", "²026"]
)
def test_what_is_no_date_is_refused(text: str):
    with pytest.raises(ValueError, match="is not a date such as"):
        moment(text)
