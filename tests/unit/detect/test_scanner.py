import sys
from types import ModuleType

import pytest

from sovbroker.detect import Scan, Scanner, names, scan
from sovbroker.detect.numbers import Numbers
from sovbroker.errors import InvalidArgument

SECRET = b"2 95 10 99 126 111 93"


class Clock:
    """A clock that only detectors move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def add(offers, monkeypatch: pytest.MonkeyPatch):
    """Make a detector known whose feed and finish are given."""

    def add(name: str, feed=lambda chunk: None, finish=lambda: 1) -> None:
        def make() -> object:
            detector = type("Made", (), {})()
            detector.feed, detector.finish = feed, finish
            return detector

        module = ModuleType(f"made_{name}")
        module.make = make
        monkeypatch.setitem(sys.modules, module.__name__, module)
        offers.add(name, f"{module.__name__}:make")

    return add


def raising(error: BaseException):
    def fail(*chunk: object) -> int:
        raise error

    return fail


def scanner(*wanted: str, size: int = 1 << 30, seconds: float = 1e9, clock=lambda: 0.0) -> Scanner:
    return Scanner(wanted, bytes_max=size, seconds_max=seconds, clock=clock)


def test_what_was_found_is_said_for_every_name():
    assert scan(SECRET, ["fr.nir", "email"]) == Scan({"email": 0, "fr.nir": 1}, complete=True, why="")


def test_nothing_asked_is_nothing_found():
    one = scanner()
    one.feed(SECRET)
    assert not one.done
    assert one.finish() == Scan({})


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_pieces_are_bytes_of_any_kind(kind):
    one = scanner("fr.nir")
    one.feed(kind(SECRET[:7]))
    one.feed(kind(SECRET[7:]))
    assert one.finish() == Scan({"fr.nir": 1})


def test_content_of_just_the_limit_is_complete():
    one = scanner("fr.nir", size=len(SECRET))
    one.feed(SECRET)
    assert not one.done
    one.feed(b"")
    assert not one.done
    assert one.finish() == Scan({"fr.nir": 1})


@pytest.mark.parametrize("cuts", [[22], [10, 12], [21, 1], [1] * 22])
def test_content_beyond_the_limit_is_not_complete(cuts: list[int]):
    one = scanner("fr.nir", size=len(SECRET))
    data = SECRET + b"!"
    for cut in cuts:
        assert not one.done
        one.feed(data[:cut])
        data = data[cut:]
    assert one.done
    one.feed(b"295109912611194, 253072B07300470")
    found = one.finish()
    assert found.counts == {"fr.nir": 1}
    assert not found.complete
    assert found.why == "only the first 21 bytes were looked at; raise the limit of a scan"


def test_nothing_beyond_the_limit_is_looked_at():
    assert scan(b"x" * 100_000 + SECRET, ["fr.nir"], bytes_max=100_000).counts == {"fr.nir": 0}
    assert scan(b"x" * 100_000 + SECRET, ["fr.nir"], bytes_max=100_030) == Scan({"fr.nir": 1})


def test_a_slow_detector_ends_the_scan(add, clock: Clock):
    def slow(chunk: bytes) -> None:
        clock.now += 1

    add("acme.slow", slow, lambda: 3)
    one = scanner("acme.slow", "fr.nir", seconds=2.5, clock=clock)
    one.feed(SECRET + b"\n" * (1 << 20))
    assert one.done
    assert clock.now == 3
    found = one.finish()
    assert found.counts == {"acme.slow": 3, "fr.nir": 1}
    assert not found.complete
    assert found.why == "the detectors took more than 2.5 seconds; raise the limit of a scan"


def test_the_time_of_a_slow_source_is_not_the_scans(clock: Clock):
    one = scanner("fr.nir", seconds=1, clock=clock)
    for byte in SECRET:
        clock.now += 60
        one.feed(bytes([byte]))
    assert one.finish() == Scan({"fr.nir": 1})


def test_truncated_content_is_not_complete():
    one = scanner("fr.nir")
    one.feed(SECRET)
    found = one.finish(truncated=True)
    assert found.counts == {"fr.nir": 1}
    assert not found.complete
    assert found.why == "the content could be read in part only; store it from bytes or from a file"


@pytest.mark.parametrize("place", ["feed", "finish"])
@pytest.mark.parametrize("error", [ValueError("2 95 10"), MemoryError(), RecursionError(), StopIteration()])
def test_a_detector_that_raises_does_not_stop_the_others(add, place: str, error: Exception):
    add("acme.broken", **{place: raising(error)})
    add("acme.sound")
    one = scanner("acme.broken", "acme.sound", "fr.nir")
    one.feed(SECRET[:10])
    one.feed(SECRET[10:])
    assert not one.done
    found = one.finish()
    assert found.counts == {"acme.broken": 0, "acme.sound": 1, "fr.nir": 1}
    assert not found.complete
    assert found.why.startswith(f"the detector `acme.broken` failed with {type(error).__name__}; repair it")
    assert "2 95 10" not in found.why  # an error may quote the content


def test_a_detector_that_raised_is_not_asked_again(add):
    asked = []

    def feed(chunk: bytes) -> None:
        asked.append(chunk)
        raise ValueError

    add("acme.broken", feed, lambda: asked.append(b"finish"))
    one = scanner("acme.broken")
    one.feed(b"a")
    assert one.done
    one.feed(b"b")
    one.finish()
    assert asked == [b"a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_is_let_out(add, error: type[BaseException]):
    add("acme.broken", raising(error()))
    one = scanner("acme.broken")
    with pytest.raises(error):
        one.feed(b"a")


@pytest.mark.parametrize("answer", [None, "1", 1.0, True, -1])
def test_an_answer_that_is_no_count_is_a_failure(add, answer: object):
    add("acme.odd", finish=lambda: answer)
    found = scan(b"", ["acme.odd"])
    assert found.counts == {"acme.odd": 0}
    assert "TypeError" in found.why
    assert not found.complete


def test_the_brokers_own_fail_closed_too(monkeypatch: pytest.MonkeyPatch, add):
    look = Numbers.look

    def once(self: Numbers, text: bytes, start: int, stop: int, base: int) -> None:
        if base:
            raise ValueError
        look(self, text, start, stop, base)

    monkeypatch.setattr(Numbers, "look", once)
    found = scan(SECRET + b"x" * 200_000, ["fr.nir", "iban"])
    assert found.counts == {"fr.nir": 1, "iban": 0}
    assert not found.complete
    assert found.why.startswith("the broker's own detectors failed with ValueError")


def test_an_unknown_name_is_a_failure():
    found = scan(SECRET, ["fr.nri", "fr.nir"])
    assert found.counts == {"fr.nir": 1, "fr.nri": 0}
    assert not found.complete
    assert found.why == "there is no detector `fr.nri`; install the package that has it"
    assert scanner("fr.nri").done


def test_every_reason_is_said(add):
    add("acme.broken", raising(ValueError()))
    found = scan(SECRET * 2, ["acme.broken", "fr.nir"], bytes_max=30)
    assert "ValueError" in found.why
    assert "first 30 bytes" in found.why


@pytest.mark.parametrize(("size", "seconds"), [(-1, 1), (1, -1), (1, float("nan"))])
def test_a_limit_that_limits_nothing_is_refused(size: int, seconds: float):
    with pytest.raises(InvalidArgument, match="not negative"):
        Scanner(["email"], bytes_max=size, seconds_max=seconds)


def test_a_limit_of_nothing_is_passed_by_any_byte():
    assert scan(b"", ["email"], bytes_max=0).complete
    assert not scan(b"a", ["email"], bytes_max=0).complete
    assert scan(b"a", names(), seconds_max=float("inf")).complete


def test_a_scan_ends_once():
    one = scanner("fr.nir")
    one.feed(SECRET)
    assert one.finish() is one.finish(truncated=True)
    with pytest.raises(InvalidArgument, match="make a new Scanner"):
        one.feed(b"a")


def test_a_detector_is_given_bytes_that_nobody_changes(add):
    given = []
    add("acme.keeps", given.append)
    data = bytearray(b"abc")
    one = scanner("acme.keeps")
    one.feed(memoryview(data))
    data[:] = b"xyz"
    one.finish()
    assert given == [b"abc"]
