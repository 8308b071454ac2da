"""New facts are called looser exactly when some zone, on some day, is met by them and was not before."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.catalogue.facts import (
    Basis,
    Confidence,
    Evidence,
    Fact,
    Facts,
    Qualification,
    SealScore,
    Status,
)
from sovbroker.catalogue.tightening import loosened
from sovbroker.policy.zones import Axis, Qualified, Seal, Subject, Within

DAYS = [date(2026, 1, 1) + timedelta(days=91 * step) for step in range(5)]
PROBES = sorted({day + timedelta(days=shift) for day in DAYS for shift in (-1, 0, 1)})
COUNTRIES = ("FR", "DE", "US")
VERSIONS = ((), (3,), (3, 0), (3, 2))
SCHEMES = ("secnumcloud", "hds")

evidence = st.builds(
    Evidence,
    st.sampled_from([Basis.VERIFIED, Basis.ATTESTED, Basis.MEMORY]),
    st.sampled_from([Confidence.HIGH, Confidence.LOW]),
    expires=st.sampled_from([None, *DAYS]),
)
countries = st.none() | st.frozensets(st.sampled_from(COUNTRIES), min_size=1)
facts_of = st.builds(
    Facts,
    located=st.builds(Fact, countries, evidence),
    controlled=st.builds(Fact, countries, evidence),
    technology=st.builds(Fact, countries, evidence),
    qualified=st.lists(
        st.builds(
            Qualification,
            st.sampled_from(SCHEMES),
            st.sampled_from([Status.QUALIFIED, Status.QUALIFIED, Status.IN_PROGRESS, Status.NONE]),
            evidence,
            st.sampled_from(VERSIONS),
        ),
        max_size=3,
    ).map(tuple),
    seal=st.lists(
        st.builds(
            SealScore,
            st.sampled_from(["1.2.1", "2.0"]),
            st.sampled_from(["a", "b"]),
            st.dictionaries(st.sampled_from(["SOV-1", "SOV-2"]), st.integers(0, 2), min_size=1).map(
                lambda levels: tuple(sorted(levels.items()))
            ),
            evidence,
        ),
        max_size=2,
    ).map(tuple),
)


def every_predicate():
    """Return every predicate that can tell facts of this little world apart."""
    subsets = [frozenset(c for i, c in enumerate(COUNTRIES) if n >> i & 1) for n in range(1, 8)]
    found = [Within(axis, (), subset) for axis in Axis for subset in subsets]
    found += [Qualified(scheme, least) for scheme in SCHEMES for least in VERSIONS]
    levels = [(), *[((name, n),) for name in ("SOV-1", "SOV-2") for n in range(3)]]
    pairs = {tuple(sorted({**dict(one), **dict(two)}.items())) for one in levels for two in levels} - {()}
    for assessors in ((), ("a",), ("b",)):
        found += [Seal(framework, pair, assessors) for framework in ("1.2.1", "2.0") for pair in sorted(pairs)]
    return found


PREDICATES = every_predicate()


def met(facts: Facts) -> set[tuple[int, date]]:
    subject = Subject(frozenset({"x/y"}), "x", facts)
    return {(n, day) for n, p in enumerate(PREDICATES) for day in PROBES if not p.unmet(subject, day)}


@given(facts_of, facts_of)
@settings(max_examples=250, deadline=None)
def test_looser_means_that_something_is_met_now(old: Facts, new: Facts):
    assert bool(list(loosened(old, new))) == bool(met(new) - met(old))


@given(facts_of)
@settings(max_examples=100, deadline=None)
def test_nothing_is_looser_than_itself(facts: Facts):
    assert list(loosened(facts, facts)) == []


def test_the_reason_names_what_became_easier():
    sure = Evidence(Basis.VERIFIED, Confidence.HIGH)
    unsure = Evidence(Basis.MEMORY, Confidence.LOW)
    until = Evidence(Basis.VERIFIED, Confidence.HIGH, expires=date(2027, 1, 1))
    old = Facts(
        Fact(frozenset({"FR", "US"}), sure),
        Fact(frozenset({"FR"}), unsure),
        Fact(None, unsure),
        (Qualification("secnumcloud", Status.IN_PROGRESS, sure), Qualification("hds", Status.QUALIFIED, until, (2,))),
    )
    new = Facts(
        Fact(frozenset({"FR"}), sure),
        Fact(frozenset({"FR"}), sure),
        Fact(frozenset({"FR"}), sure),
        (
            Qualification("secnumcloud", Status.QUALIFIED, sure, (3, 2)),
            Qualification("hds", Status.QUALIFIED, sure, (2,)),
            Qualification("hds", Status.QUALIFIED, until, (3,)),
            Qualification("c5", Status.QUALIFIED, until),
        ),
    )
    assert [(what, why) for what, why, _ in loosened(old, new)] == [
        ("located", "leaves out US, which the catalogue names"),
        ("controlled", "would count, and the catalogue knows it from memory only"),
        ("technology", "would count as FR, and the catalogue does not know it"),
        ("secnumcloud", "would count, and the catalogue says in-progress"),
        ("hds", "would count until for ever, and the catalogue's ends on 2027-01-01"),
        ("hds", "would count as version 3, and the catalogue knows 2"),
        ("c5", "would count, and the catalogue knows of none"),
    ]
