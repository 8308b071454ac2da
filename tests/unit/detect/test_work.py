"""Nothing that a stream may hold costs more than a constant for each of its bytes: by counting, not by the clock."""

import re
from collections.abc import Iterator
from re import _constants as ops
from re import _parser as parser

import pytest

from sovbroker.detect import checks, emails, ibans, shapes
from sovbroker.detect.emails import Emails
from sovbroker.detect.numbers import NUMBERS, Numbers
from sovbroker.detect.reader import AHEAD, BEHIND, BLOCK, Reader

PATTERNS = {
    f"{module.__name__}.{name}": pattern
    for module in (checks, emails, shapes, ibans)
    for name, pattern in vars(module).items()
    if isinstance(pattern, re.Pattern)
} | {f"IBAN of {country}": ibans._shape(country) for country in ibans.COUNTRIES}

HOSTILE = [
    b"1",
    b"12345678 ",
    b"1 ",
    b"1 / ",
    b"1\xc2\xa0",
    b"123 456 ",
    b"4111 ",
    b"2 95 10 99 126 111 ",
    b"12345&#160;",
    b"&aaaaaa",
    b"1&1&",
    b"\\u00a01",
    b"%201",
    b"FR76 ",
    b"FR76",
    b"LC76 A ",
    b"@",
    b"a@",
    b"a@a.",
    b"a@a.a ",
    b"a" * 63 + b"@" + b"a" * 63 + b".",
    b"\xc2\xa0a@a.fr",
    b".a@b.fr",
    b"\0",
    b"1\0",
    b"-",
]


def nodes(tree: parser.SubPattern) -> Iterator[tuple[object, object]]:
    """Return every part of a parsed pattern."""
    for op, argument in tree:
        yield op, argument
        for below in argument if isinstance(argument, (tuple, list)) else [argument]:
            if isinstance(below, parser.SubPattern):
                yield from nodes(below)
            elif isinstance(below, list):
                for branch in below:
                    if isinstance(branch, parser.SubPattern):
                        yield from nodes(branch)


def flaws(pattern: re.Pattern[bytes]) -> list[str]:
    """Return why a pattern could cost more than a constant at one place."""
    found = []
    for op, argument in nodes(parser.parse(pattern.pattern, pattern.flags)):
        if op in {ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT}:
            least, most, _ = argument
            if most is ops.MAXREPEAT:
                found.append("repeats without a bound")
            elif least != most and (least, most) != (0, 1) and op is not ops.POSSESSIVE_REPEAT:
                found.append("takes back what a repeat took")
        elif op in {ops.ASSERT, ops.ASSERT_NOT}:
            direction, below = argument
            if below.getwidth()[1] > (AHEAD if direction > 0 else BEHIND):
                found.append("looks further than the reader shows")
    return found


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_repeats_without_a_bound_or_goes_back(name: str):
    assert flaws(PATTERNS[name]) == []
    if name != "sovbroker.detect.emails._DOMAIN":  # is given an end where it is used
        assert parser.parse(PATTERNS[name].pattern, PATTERNS[name].flags).getwidth()[1] <= AHEAD


@pytest.mark.parametrize(
    ("pattern", "flaw"),
    [
        (rb"(?=a*+)", "repeats without a bound"),
        (rb"(?:(?:a|b+)|c)", "repeats without a bound"),
        (rb"x(?:a{1,3}){2}", "takes back what a repeat took"),
        (rb"(?!(a{1,600}+))", "looks further than the reader shows"),
        (rb"(?<=a{97})", "looks further than the reader shows"),
    ],
)
def test_the_look_at_patterns_sees_flaws(pattern: bytes, flaw: str):
    assert flaw in flaws(re.compile(pattern))


def test_the_patterns_are_looked_at():
    assert len(PATTERNS) > len(ibans.COUNTRIES) + 10


@pytest.mark.parametrize("unit", HOSTILE)
def test_what_is_tried_grows_no_faster_than_the_stream(unit: bytes):
    def tried(size: int) -> int:
        sieves = [Numbers(NUMBERS), Emails(["email"])]
        reader = Reader(sieves)
        reader.feed(unit * (size // len(unit)))
        reader.finish()
        return sum(sieve.tried for sieve in sieves)

    once, twice = tried(40_000), tried(80_000)
    assert once <= 40_000
    assert twice <= 2 * once + 8


class Looked:
    """How many bytes a sieve is shown, and how many at once."""

    def __init__(self) -> None:
        self.all = self.most = self.due = 0

    def look(self, text: bytes, start: int, stop: int, base: int) -> None:
        assert base + start == self.due
        self.due = base + stop
        self.all += len(text)
        self.most = max(self.most, len(text))


@pytest.mark.parametrize("size", [1, 7, 4096, BLOCK, 300_000])
def test_every_byte_is_shown_about_once_and_few_are_kept(size: int):
    data = b"x" * 300_000
    looked = Looked()
    reader = Reader([looked])
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    reader.finish()
    assert looked.due == len(data)
    assert looked.all <= len(data) + (len(data) // BLOCK + 1) * (AHEAD + BEHIND)
    assert looked.most <= 2 * BLOCK + AHEAD + BEHIND
