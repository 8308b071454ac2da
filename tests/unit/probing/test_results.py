"""What a stored probe changes: it tightens what it can show, and loosens next to nothing."""

from datetime import UTC, datetime

import pytest

from sovbroker.ports import Binding, Feature, Support
from sovbroker.probing import Aspect, Line, Probe, bound

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NATIVE, EMULATED, ABSENT, UNSAFE = Support


def probe(*lines, version="adapters 1"):
    return Probe("t", "b", "", "s3", version, NOW, lines)


def line(feature, declared, found):
    return Line(feature, found, "because", declared)


def changes(found, *, settings=None, version="adapters 1"):
    own = bound(found, Binding("t", "b", settings=settings or {}), version=version)
    return dict(own.settings), dict(own.found)


@pytest.mark.parametrize("feature", Feature)
@pytest.mark.parametrize("declared", Support)
@pytest.mark.parametrize("found", [UNSAFE, ABSENT])
@pytest.mark.parametrize("version", ["adapters 1", "adapters 2", ""])
def test_less_is_always_taken_over(feature, declared, found, version):
    settings = {str(feature): "native"}
    assert changes(probe(line(feature, declared, found)), settings=settings, version=version) == ({}, {feature: found})


@pytest.mark.parametrize("feature", Feature)
@pytest.mark.parametrize("declared", [ABSENT, UNSAFE])
def test_more_is_taken_over_of_retention_alone(feature, declared):
    expected = {feature: NATIVE} if feature is Feature.RETENTION else {}
    assert changes(probe(line(feature, declared, NATIVE))) == (expected, {})


def test_a_condition_that_several_writers_met_is_no_proof():
    assert changes(probe(line(Feature.CONDITIONAL_PUT, ABSENT, NATIVE))) == ({}, {})


@pytest.mark.parametrize("said", ["absent", "unsafe"])
def test_what_somebody_wrote_down_is_not_loosened(said):
    found = probe(line(Feature.RETENTION, ABSENT, NATIVE))
    assert changes(found, settings={"retention": said}) == ({}, {})


@pytest.mark.parametrize(("then", "now"), [("adapters 1", "adapters 2"), ("", ""), ("adapters 1", "")])
def test_what_another_adapter_found_does_not_loosen(then, now):
    assert changes(probe(line(Feature.RETENTION, ABSENT, NATIVE), version=then), version=now) == ({}, {})


def test_an_order_that_has_to_be_made_is_made():
    assert changes(probe(line(Feature.ORDERED_LIST, NATIVE, EMULATED))) == ({Feature.ORDERED_LIST: EMULATED}, {})


@pytest.mark.parametrize(
    ("declared", "found"), [(NATIVE, NATIVE), (EMULATED, EMULATED), (EMULATED, NATIVE), (NATIVE, None)]
)
def test_what_is_as_it_was_declared_or_not_known_changes_nothing(declared, found):
    assert changes(probe(line(Feature.COPY, declared, found))) == ({}, {})


def test_an_aspect_changes_nothing():
    assert changes(probe(Line(Aspect.KEYS, UNSAFE), Line("PutObjectTagging", UNSAFE))) == ({}, {})


def test_settings_come_on_top_of_those_of_a_binding():
    own = bound(probe(line(Feature.RETENTION, ABSENT, NATIVE)), Binding("t", "b"), version="adapters 1")
    binding = Binding("t", "b", settings={"page": 3})
    assert own.over(binding).settings == {"page": 3, "retention": "native"}
    nothing = bound(probe(), binding, version="adapters 1")
    assert nothing.over(binding) is binding


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (Line(Feature.COPY, ABSENT, "", NATIVE), True),
        (Line(Feature.COPY, UNSAFE, "", EMULATED), True),
        (Line(Feature.COPY, None, "", NATIVE), True),
        (Line(Feature.COPY, NATIVE, "", EMULATED), False),
        (Line(Feature.COPY, UNSAFE, "", ABSENT), False),
        (Line(Feature.COPY, None, "", UNSAFE), False),
        (Line(Aspect.BODIES, UNSAFE), True),
        (Line(Aspect.LISTING, None), True),
        (Line(Aspect.KEYS, ABSENT), False),
        (Line(Aspect.NESTED, UNSAFE), True),
        (Line(Aspect.VERSIONS, UNSAFE), False),
        (Line(Aspect.PAGES, None), False),
        (Line("PutObjectTagging", UNSAFE), False),
    ],
)
def test_what_was_promised_and_is_not_there_is_wrong(found, wrong):
    assert found.wrong is wrong
    assert probe(found).wrong == ((found,) if wrong else ())


def test_what_was_found_of_a_line():
    found = probe(line(Feature.COPY, NATIVE, ABSENT))
    assert (found.support(Feature.COPY), found.support(Feature.RANGE)) == (ABSENT, None)
