"""What the practice promises its patients, tested with its real policy; run it with `pytest`."""

from datetime import UTC, datetime

import pytest
from letters import Letters, main

from sovbroker import Broker
from sovbroker.errors import PermissionDenied
from sovbroker.testing.fakes import FakeClouds

NAME = "Camille Moreau"
LETTER = f"Dear colleague, I saw {NAME} on Tuesday."


@pytest.fixture
def letters(sov_clouds: FakeClouds, sov_broker: Broker) -> Letters:
    # A day on which the facts of the catalogue hold, so that the tests say the same next year.
    sov_clouds.set_time(datetime(2026, 11, 24, tzinfo=UTC))
    found = Letters(sov_broker)
    found.save(NAME, "2026-11-24", LETTER)
    return found


def test_a_letter_is_read_back(letters: Letters) -> None:
    assert letters.read(NAME, "2026-11-24") == LETTER
    assert letters.days(NAME) == ["2026-11-24"]


def test_no_provider_can_read_a_letter_or_whom_it_is_about(letters: Letters, sov_clouds: FakeClouds) -> None:
    sov_clouds.assert_never_saw(NAME)
    sov_clouds.assert_sealed("patients/**")


def test_letters_lie_in_france(letters: Letters, sov_clouds: FakeClouds) -> None:
    sov_clouds.assert_only_in("FR", "patients/**")
    assert sov_clouds.saw("aws") == []


def test_the_published_table_names_nobody(letters: Letters, sov_clouds: FakeClouds) -> None:
    letters.publish("2026-11")
    sov_clouds.assert_never_saw(NAME, "aws")
    (table,) = sov_clouds.saw("aws")
    assert table.body == b"day,letters\n2026-11-24,1\n"


def test_a_letter_is_read_while_a_provider_is_down(letters: Letters, sov_clouds: FakeClouds) -> None:
    for provider in ("outscale", "ovhcloud"):
        sov_clouds.fail(provider, "any", times=None)
        assert letters.read(NAME, "2026-11-24") == LETTER
        sov_clouds.mend(provider)


def test_a_letter_that_one_provider_refuses_is_not_half_stored(letters: Letters, sov_clouds: FakeClouds) -> None:
    sov_clouds.fail("ovhcloud", error=PermissionDenied)
    with pytest.raises(PermissionDenied):
        letters.save(NAME, "2026-11-25", LETTER)
    assert letters.days(NAME) == ["2026-11-24"]
    assert len(sov_clouds.held()) == len(("outscale", "ovhcloud"))


def test_the_whole_program_runs_over_the_faked_clouds(letters: Letters, sov_clouds: FakeClouds) -> None:
    key = main(["2026-11"])
    assert [held.key for held in sov_clouds.held("aws")] == [key]
