from datetime import UTC, datetime
from itertools import product

import pytest

from sovbroker.errors import InvalidArgument
from sovbroker.policy.sensitivity import LABEL, QUESTIONS, Answer, assess

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


def ask(**answers):
    return assess({name: Answer(text) for name, text in answers.items()}, about="health records", by="dpo", at=AT)


def test_only_all_conditions_together_give_the_label():
    for scope, sensitive, harm in product(Answer, repeat=3):
        found = ask(scope=scope, sensitive=sensitive, harm=harm)
        assert (found.label == LABEL) == (Answer.NO not in {scope, sensitive, harm})


def test_what_is_not_known_counts_as_yes_and_is_said():
    found = ask(scope="yes", sensitive="unknown", harm="unknown")
    assert found.label == LABEL
    assert found.because == "every condition holds, as long as `sensitive` and `harm` are not known"


def test_the_first_no_settles_it():
    found = ask(scope="no")
    assert (found.label, found.because) == (None, "`scope` is answered no, and every condition has to hold")
    assert [entry["id"] for entry in found.to_dict()["answers"]] == ["scope"]


def test_a_record_says_who_answered_what_and_when():
    record = ask(scope="yes", sensitive="yes", harm="yes").to_dict()
    assert (record["about"], record["by"], record["at"]) == ("health records", "dpo", AT.isoformat())
    assert [entry["question"] for entry in record["answers"]] == [question.text for question in QUESTIONS]
    assert len(record["questions"]) == 64


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"scope": "yes"}, "the question `sensitive` is not answered"),
        ({"scope": "yes", "colour": "no"}, "there is no question `colour`"),
    ],
)
def test_what_is_missing_or_unknown_is_refused(answers, message):
    with pytest.raises(InvalidArgument, match=message):
        ask(**answers)


def test_evidence_needs_somebody_something_and_a_time():
    for about, by in (("", "dpo"), ("data", " ")):
        with pytest.raises(InvalidArgument, match="evidence"):
            assess({"scope": Answer.NO}, about=about, by=by, at=AT)
    with pytest.raises(InvalidArgument, match="no zone"):
        assess({"scope": Answer.NO}, about="data", by="dpo", at=AT.replace(tzinfo=None))
