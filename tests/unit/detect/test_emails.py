import pytest

from sovbroker.detect import scan


def count(text: str | bytes) -> int:
    return scan(text.encode() if isinstance(text, str) else text, ["email"]).counts["email"]


@pytest.mark.parametrize(
    "text",
    [
        "write to a@example.org.",
        "a@example.org, A@Example.ORG",
        "mailto:a@example.org?subject=x a@example.org",
        "email=a@example.org&x=1, a@example.org",
        "..a@example.org a@example.org",
        "......................................................................a@example.org",
        "'a@example.org' \"a@example.org\"",
        "«a@example.org» “a@example.org” — a@example.org—",
        "« a@example.org »".replace(" ", "\u00a0"),
        "a@example.org_",
        "a@example.org.123",
        "a@example.org- he said, <a@example.org>",
        "a@example.org…",
    ],
)
def test_what_stands_around_an_address_is_no_part_of_it(text: str):
    assert count(text) == 1


def test_latin_1_quotation_marks_are_no_part_of_it():
    assert count("«\u00a0a@example.org\u00a0» a@example.org".encode("latin-1")) == 1


@pytest.mark.parametrize(
    "text", ["a@b", "a@b.c", "@example.org", "a@.org", "a@-.1", "a@b..org", "a @example.org", "a@ example.org", "a@1.2"]
)
def test_what_has_no_name_or_no_domain_is_no_address(text: str):
    assert count(text) == 0


def test_every_name_and_every_domain_is_another_address():
    assert count("a@example.org b@example.org a@mail.example.org a@example.com aé@example.org") == 5


def test_a_name_that_is_too_long_is_cut_but_found():
    assert count("x" * 5000 + "@example.org") == 1


def test_a_domain_that_is_too_long_is_no_reason_to_miss_an_address():
    assert count("a@" + "label." * 1000 + "org") == 1
