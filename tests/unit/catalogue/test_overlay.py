"""What the operator lays over the catalogue: what it changes, what it may not, and every mistake with its place."""

import hashlib
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sovbroker.catalogue import load
from sovbroker.catalogue.attestation import Vouched
from sovbroker.catalogue.facts import Basis, Status
from sovbroker.errors import ConfigError
from sovbroker.policy.zones import Axis, Qualified, Subject, Within

TODAY = date(2026, 11, 24)
DOCUMENT = b"what the contract says"
SHA = hashlib.sha256(DOCUMENT).hexdigest()
ZOE = '{owner: zoe@acme.example, reason: "read annex 2"}'
HEAD = f"""\
schema: sovbroker.overlay/1
attestations:
  contract:
    document: contract.pdf
    sha256: {SHA}
    by: "Acme, contract 7"
    issued: 2026-01-15
    expires: 2028-01-15
"""
BINDING = f"""\
targets:
  acme/lyon:
    binding:
      adapter: webdav
      endpoint: "https://dav.example:8443/acme"
      region: r1
      settings: {{digests: none, attempts: 5, authority: "https://keys.example/v3"}}
      attestation: contract
      accept_relaxation: {ZOE}
"""

SNC_4 = "{scheme: secnumcloud, version: 4, status: qualified, attestation: contract}"


@pytest.fixture
def laid(folder, acme, tmp_path):
    """Return a function that lays a text over a folder with one provider, and loads both."""

    def laid(text: str, *, head: str = HEAD, today: date = TODAY, document: bytes | None = DOCUMENT):
        file = tmp_path / "over" / "facts.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(head + text)
        if document is not None:
            (file.parent / "contract.pdf").write_bytes(document)
        shelf = tmp_path / "shelf"
        shelf.mkdir(exist_ok=True)
        (shelf / "acme.yaml").write_text(acme)
        return load(shelf, overlay=file, today=today)

    return laid


def refused(laid, text: str, **more) -> str:
    with pytest.raises(ConfigError) as told:
        laid(text, **more)
    return str(told.value)


def fact(values: str, *, accepted: bool = False) -> str:
    return f"{{is: {values}, attestation: contract{f', accept_relaxation: {ZOE}' if accepted else ''}}}"


def test_what_tightens_needs_nobody(laid):
    known = laid(f"""\
targets:
  acme/lyon:
    controlled: {fact("[FR, US]")}
    qualified: [{{scheme: secnumcloud, status: none, attestation: contract}}]
""")
    before, after = load(known._files["acme"].parent).target("acme/lyon"), known.target("acme/lyon")
    assert after.facts.controlled.value == {"FR", "US"}
    assert after.facts.located == before.facts.located
    assert {q.scheme: q.status for q in after.facts.qualified} == {
        "hds": Status.UNKNOWN,
        "c5": Status.IN_PROGRESS,
        "secnumcloud": Status.NONE,
    }
    assert known.target("acme/oslo") == load(known._files["acme"].parent).target("acme/oslo")
    assert [target.facts.controlled.value for target in known.targets()] == [{"FR", "US"}, {"FR", "NO"}]


def test_evidence_names_the_document_its_dates_and_who_accepts(laid):
    known = laid(f"targets: {{acme/lyon: {{technology: {fact('[FR]', accepted=True)}}}}}\n")
    evidence = known.target("acme/lyon").facts.technology.evidence
    assert isinstance(evidence, Vouched)
    assert (evidence.basis, evidence.sources) == (Basis.ATTESTED, ("contract.pdf",))
    assert (evidence.as_of, evidence.expires) == (date(2026, 1, 15), date(2028, 1, 15))
    assert (evidence.attestation.sha256, evidence.accepted.owner) == (SHA, "zoe@acme.example")
    assert str(evidence) == (
        "`contract.pdf` of Acme, contract 7, until 2028-01-15, accepted by zoe@acme.example: read annex 2"
    )


def test_an_attestation_that_has_ended_counts_no_more_and_what_it_tightened_does_not_come_back(laid):
    known = laid(f"targets: {{acme/lyon: {{controlled: {fact('[FR]')}, technology: {fact('[FR]', accepted=True)}}}}}\n")
    facts = known.target("acme/lyon").facts
    assert date(2028, 1, 15) in facts.epochs()
    for axis in (facts.controlled, facts.technology):
        assert axis.supports(date(2028, 1, 14))
        assert not axis.supports(date(2028, 1, 15))


def test_a_qualification_ends_with_its_document_or_with_its_scheme(laid):
    def end(more: str) -> date | None:
        grant = f"scheme: secnumcloud, version: 3.2, status: qualified, {more}attestation: contract, "
        known = laid(f"targets: {{acme/oslo: {{qualified: [{{{grant}accept_relaxation: {ZOE}}}]}}}}\n")
        (found,) = [q for q in known.target("acme/oslo").facts.qualified if q.scheme == "secnumcloud"]
        return found.evidence.expires

    assert end("") == date(2028, 1, 15)
    assert end("since: 2025-06-30, ") == date(2028, 1, 15)
    assert end("since: 2024-06-30, ") == date(2027, 6, 30)


def test_the_words_on_one_scheme_are_replaced_as_a_whole(laid):
    grant = "{scheme: secnumcloud, version: 3.1, status: qualified, attestation: contract}"
    known = laid(f"targets: {{acme/lyon: {{qualified: [{grant}]}}}}\n")
    (found,) = [q for q in known.target("acme/lyon").facts.qualified if q.scheme == "secnumcloud"]
    assert found.version == (3, 1)


def test_what_is_said_of_a_provider_holds_for_its_targets_and_what_is_said_of_one_comes_last(laid):
    known = laid(f"""\
providers:
  acme:
    controlled: {fact("[FR, NO, US]")}
    qualified:
      - {{scheme: secnumcloud, status: expired, offers: [object-storage], regions: [lyon], attestation: contract}}
targets: {{acme/oslo: {{controlled: {fact("[FR, NO]")}}}}}
""")
    assert known.target("acme/lyon").facts.controlled.value == {"FR", "NO", "US"}
    assert known.target("acme/vmware@lyon").facts.controlled.value == {"FR", "NO", "US"}
    assert known.target("acme/oslo").facts.controlled.value == {"FR", "NO"}
    statuses = {
        name: [q.status for q in known.target(name).facts.qualified if q.scheme == "secnumcloud"]
        for name in ("acme/lyon", "acme/vmware@lyon", "acme/oslo")
    }
    assert statuses == {"acme/lyon": [Status.EXPIRED], "acme/vmware@lyon": [Status.QUALIFIED], "acme/oslo": []}


def test_a_score_can_be_attested(laid):
    score = '{framework: 1.2.1, assessor: "an auditor", levels: {SOV-1: 3, SOV-2: 2}, attestation: contract'
    known = laid(f"targets: {{acme/lyon: {{seal: [{score}, accept_relaxation: {ZOE}}}]}}}}\n")
    (found,) = known.target("acme/lyon").facts.seal
    assert (found.framework, found.levels) == ("1.2.1", (("SOV-1", 3), ("SOV-2", 2)))
    assert "SO013" in refused(laid, f"targets: {{acme/lyon: {{seal: [{score}}}]}}}}\n")


# --- what loosens


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("targets: {acme/oslo: {controlled: " + fact("[NO]") + "}}", "leaves out FR"),
        ("targets: {acme/lyon: {located: " + fact("[DE]") + "}}", "leaves out FR"),
        ("targets: {acme/lyon: {technology: " + fact("[FR, US]") + "}}", "does not know it"),
        ("providers: {acme: {controlled: " + fact("[FR]") + "}}", "`acme/oslo` leaves out NO"),
        ("targets: {acme/oslo: {qualified: [{scheme: ens, status: qualified, attestation: contract}]}}", "of none"),
        ("targets: {acme/lyon: {qualified: [{scheme: c5, status: qualified, attestation: contract}]}}", "in-progress"),
        (
            f"targets: {{acme/lyon: {{qualified: [{SNC_4}]}}}}",
            "catalogue knows 3.2",
        ),
    ],
)
def test_what_loosens_is_refused_unless_a_person_accepts_it(laid, what: str, said: str):
    message = refused(laid, what + "\n")
    assert "error[SO013]: this loosens a fact, and nobody accepts it" in message
    assert said in message
    assert laid(what.replace("attestation: contract", f"attestation: contract, accept_relaxation: {ZOE}") + "\n")


def test_a_later_end_loosens(laid):
    late = HEAD.replace("2028-01-15", "2028-03-02")
    grant = "{scheme: secnumcloud, version: 3.2, status: qualified, attestation: contract}"
    message = refused(laid, f"targets: {{acme/lyon: {{qualified: [{grant}]}}}}\n", head=late)
    assert "would count until 2028-03-02, and the catalogue's ends on 2028-03-01" in message
    laid(f"targets: {{acme/lyon: {{qualified: [{grant}]}}}}\n", head=late.replace("03-02", "03-01"))


AXES = ("located", "controlled", "technology")
said = st.fixed_dictionaries(
    {},
    optional={
        **{axis: st.sampled_from(["unknown", "[FR]", "[NO]", "[FR, NO]", "[FR, NO, US]"]) for axis in AXES},
        "secnumcloud": st.sampled_from(["qualified", "none", "unknown", "in-progress"]),
        "version": st.sampled_from(["3", "3.2", "4"]),
        "hds": st.sampled_from(["qualified", "none"]),
    },
)


def written(name: str, facts: dict[str, str], *, provider: bool = False) -> str:
    lines = [
        f"    {axis}: {fact(facts[axis])}" for axis in AXES if axis in facts and not (provider and axis == "located")
    ]
    where = ", offers: [object-storage], regions: [lyon]" if provider else ""
    grants = [
        f"{{scheme: {scheme}, status: {facts[scheme]}{where}, attestation: contract"
        + (f", version: {facts['version']}" if scheme == "secnumcloud" and "version" in facts else "")
        + "}"
        for scheme in ("secnumcloud", "hds")
        if scheme in facts
    ]
    lines += [f"    qualified: [{', '.join(grants)}]"] if grants else []
    return f"  {name}:\n" + "\n".join(lines) + "\n" if lines else f"  {name}: {{}}\n"


@given(said, said, said, st.sampled_from(["2027-01-01", "2028-01-15", "2030-01-01"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_without_acceptance_no_predicate_that_failed_holds_now(laid, lyon, oslo, all_of_it, end):
    text = "targets:\n" + written("acme/lyon", lyon) + written("acme/oslo", oslo)
    text += "providers:\n" + written("acme", all_of_it, provider=True)
    try:
        known = laid(text, head=HEAD.replace("2028-01-15", end))
    except ConfigError as error:
        assert "SO013" in str(error)  # noqa: PT017 - what is refused is refused for this reason, and for no other
        return
    plain = load(known._files["acme"].parent)
    predicates = [
        Within(axis, (), frozenset(c)) for axis in Axis for c in (["FR"], ["NO"], ["FR", "NO"], ["FR", "NO", "US"])
    ]
    predicates += [Qualified(scheme, least) for scheme in ("secnumcloud", "hds") for least in ((), (3,), (3, 2), (4,))]
    for name in ("acme/lyon", "acme/oslo", "acme/vmware@lyon"):
        old, new = (Subject.of(shelf.target(name)) for shelf in (plain, known))
        for day in (date(2026, 11, 24), date(2027, 1, 1), date(2028, 1, 14), date(2028, 2, 29), date(2028, 3, 1)):
            for predicate in predicates:
                assert predicate.unmet(new, day) or not predicate.unmet(old, day)


# --- bindings


def test_a_binding_takes_the_place_of_what_the_catalogue_knows(laid):
    known = laid(BINDING)
    found = known.connection("acme/lyon")
    assert (found.adapter, found.region, found.parameters) == ("webdav", "r1", ())
    assert found.endpoint({}) == "https://dav.example:8443/acme"
    assert found.hosts({}, bucket="b") == {"dav.example:8443", "keys.example"}
    assert found.settings == {"digests": "none", "attempts": 5, "authority": "https://keys.example/v3"}
    assert [what for what, _ in found.vouched] == ["binding"]
    assert known.connection("acme/lyon", adapter="webdav") == found
    assert known.connection("acme/lyon", adapter="s3").endpoint({"account": "me"}) == "https://me.s3-lyon.acme.example"
    with pytest.raises(ConfigError, match="cannot be reached by the adapter `swift`; it can be by `s3`, `webdav`"):
        known.connection("acme/lyon", adapter="swift")


def test_of_the_same_protocol_the_catalogue_s_settings_still_hold(laid):
    known = laid(BINDING.replace("webdav", "s3").replace("digests: none", "addressing: path").replace("region: r1", ""))
    found = known.connection("acme/lyon")
    own = {"addressing": "path", "attempts": 5, "authority": "https://keys.example/v3"}
    assert found.settings == {"parts_max": 1000, "bulk-delete": False, **own}
    assert found.region == "lyon"


def test_a_path_in_settings_is_beside_the_overlay(laid, tmp_path):
    known = laid(BINDING.replace("digests: none", "ca-bundle: acme.pem"))
    assert known.connection("acme/lyon").settings["ca-bundle"] == str(tmp_path / "over" / "acme.pem")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://dav.example", "it is not an https address"),
        ("dav.example", "it is not an https address"),
        ("https://", "`` is not the name of a host"),
        ("http://dav.example", "http is for this machine alone"),
        ("http://10.0.0.1:9000", "http is for this machine alone"),
        ("https://me:secret@dav.example", "a user, a query or a fragment has no place in it"),
        ("https://dav.example/?a=b", "a user, a query or a fragment has no place in it"),
        ("https://{tenant}.example", "it is not a URL"),
        ("https://dav.example:99999", "it is not a URL"),
        ("https://dav_.example", "is not the name of a host"),
        ("https://däv.example", "it is not a URL"),
    ],
)
def test_an_address_that_is_none(laid, url: str, why: str):
    message = refused(laid, BINDING.replace("https://dav.example:8443/acme", url))
    assert "SO015" in message
    assert why in message


@pytest.mark.parametrize(
    "url", ["https://dav.example", "https://10.0.0.1:9000/x", "https://[::1]:9", "http://localhost:9"]
)
def test_an_address_that_is_one(laid, url: str):
    assert laid(BINDING.replace("https://dav.example:8443/acme", url)).connection("acme/lyon").endpoint({}) == url


# --- documents


def test_a_document_is_compared_when_it_is_there(laid):
    text = f"targets: {{acme/lyon: {{controlled: {fact('[FR]')}}}}}\n"
    assert [held.seen for held in laid(text).overlay.held] == [True]
    message = refused(laid, text, document=b"another")
    assert f"`contract.pdf` is another document: its SHA-256 is {hashlib.sha256(b'another').hexdigest()}" in message
    assert "facts.yaml:5:13" in message


def test_a_document_that_is_not_there_is_only_a_name(laid, tmp_path):
    named = HEAD.replace("contract.pdf", "contract 7, in the safe")
    known = laid(f"targets: {{acme/lyon: {{controlled: {fact('[FR]')}}}}}\n", head=named, document=None)
    assert [(held.attestation.document, held.seen) for held in known.overlay.held] == [
        ("contract 7, in the safe", False)
    ]


def test_an_attestation_may_stand_where_it_is_used(laid):
    inline = f'{{document: contract.pdf, sha256: {SHA}, by: "Acme", issued: 2026, expires: 2027-01-01}}'
    known = laid(f"targets: {{acme/lyon: {{controlled: {{is: [FR], attestation: {inline}}}}}}}\n")
    assert known.target("acme/lyon").facts.controlled.evidence.expires == date(2027, 1, 1)
    assert len(known.overlay.held) == 2


# --- the operator's own providers

OWN = f"""\
private:
  acme-ceph:
    name: "Acme's Ceph"
    seat: {{is: "Acme SAS, Lyon (FR)"}}
    controlled: {{is: [FR]}}
    technology: {{is: [US], attestation: {{document: x, sha256: {SHA}, by: y, issued: 2026, expires: 2027-01-01}}}}
    qualifications:
      - scheme: secnumcloud
        version: 3.2
        status: qualified
        offers: [object-storage]
        regions: [b]
        since: 2024-05-01
        scope: "building B"
    regions: {{b: {{country: FR, place: "building B", site: acme/lyon}}}}
    storage:
      api: s3
      adapter: s3
      endpoints: [{{is: "https://ceph.{{region}}.acme.lan:7480"}}]
      settings: {{ca-bundle: acme.pem}}
    attestation: contract
    accept_relaxation: {ZOE}
"""


def test_a_place_of_the_operator_s_own(laid, tmp_path):
    known = laid(OWN)
    assert known.providers == ("acme", "acme-ceph")
    target = known.target("acme-ceph/b")
    assert (target.facts.located.value, target.site) == ({"FR"}, "acme/lyon")
    assert target.facts.technology.evidence.expires == date(2027, 1, 1)
    for evidence in (target.facts.located.evidence, target.facts.technology.evidence):
        assert evidence.accepted.owner == "zoe@acme.example"
    assert [q.evidence.expires for q in target.facts.qualified] == [date(2027, 5, 1)]
    assert target in known.targets()
    found = known.connection("acme-ceph/b")
    assert (found.own, found.endpoint({})) == (True, "https://ceph.b.acme.lan:7480")
    assert found.hosts({}, bucket="x") == {"ceph.b.acme.lan:7480"}
    assert found.settings == {"ca-bundle": str(tmp_path / "over" / "acme.pem")}


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ("acme-ceph:", "acme:", "SO017"),
        ("acme-ceph:", "local:", "SO017"),
        ("acme-ceph:", "Acme Ceph:", "SO006"),
        (f"    accept_relaxation: {ZOE}\n", "", "SO004"),
        ("    attestation: contract\n", "", "SO004"),
        ("    attestation: contract\n", "    attestation: contrct\n", "SO010"),
        ("    controlled: {is: [FR]}\n", "", "SO004"),
        ("regions: [b]", "regions: [c]", "SC018"),
        ("https://ceph", "http://ceph", "SC020"),
        ("{region}", "{account}", "SC020"),
        ("      adapter: s3\n", "", "SC021"),
        ("is: [FR]}", "is: [FR], evidence: {basis: verified}}", "SO003"),
    ],
)
def test_a_mistake_in_a_place_of_one_s_own(laid, good: str, bad: str, code: str):
    assert f"error[{code}]" in refused(laid, OWN.replace(good, bad, 1))


# --- the file


def test_its_digest_is_part_of_the_catalogue_s(laid):
    text = f"targets: {{acme/lyon: {{controlled: {fact('[FR]')}}}}}\n"
    known = laid(text)
    plain = load(known._files["acme"].parent)
    assert known.digest != plain.digest
    assert laid(text.replace("[FR]", "[ FR ]") + "# a comment\n").digest == known.digest
    assert laid(text.replace("[FR]", "[FR, US]")).digest != known.digest
    assert laid(text, document=None).digest == known.digest


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the overlay"):
        load(overlay=tmp_path / "nope.yaml")


MISTAKES = {
    "an open bracket": ("SO001", "is: [FR]", "is: [FR"),
    "a key twice": ("SO002", "    by:", "    by: x\n    by:"),
    "an unknown key": ("SO003", "controlled:", "controled:"),
    "no hash": ("SO004", f"    sha256: {SHA}\n", ""),
    "no attestation": ("SO004", ", attestation: contract", ""),
    "no reason": ("SO004", ', reason: "r"', ""),
    "a text for a list": ("SO005", "is: [FR]", "is: FR"),
    "another schema": ("SO006", "overlay/1", "overlay/2"),
    "no country": ("SO006", "[FR]", "[XX]"),
    "no person": ("SO006", "zoe@acme.example", "the board"),
    "half a hash": ("SO006", SHA, SHA[:32]),
    "an end without a day": ("SO006", "expires: 2028-01-15", "expires: 2028"),
    "an attestation that is not listed": ("SO010", "attestation: contract", "attestation: contact"),
    "ended before it was issued": ("SO012", "expires: 2028-01-15", "expires: 2026-01-15"),
    "issued tomorrow": ("SO012", "issued: 2026-01-15", "issued: 2026-11-25"),
    "no such provider": ("SO014", "acme/lyon:", "acne/lyon:"),
    "no such region": ("SO014", "acme/lyon:", "acme/lion:"),
    "no target": ("SO014", "acme/lyon:", "acme:"),
    "a target twice": ("SO014", "targets:\n", "targets:\n  acme/object-storage@lyon: {}\n"),
    "a provider that is none": ("SO014", "providers:\n  acme:", "providers:\n  acne:"),
    "a grant for no region of its": ("SO014", "regions: [lyon]", "regions: [lion]"),
    "a grant that counts nowhere": ("SO016", ", regions: [lyon]", ""),
    "a binding of what stores nothing": ("SO015", "acme/lyon:\n", "acme/vmware@lyon:\n"),
    "tokens in the clear": ("SO015", "https://keys.example", "http://keys.example"),
    "tokens from nowhere": ("SO015", "https://keys.example/v3", "keys_example"),
}
GOOD = (
    HEAD
    + BINDING.replace('reason: "read annex 2"', 'reason: "r"')
    + f"    controlled: {fact('[FR]')}\n"
    + "providers:\n  acme:\n    qualified:\n      - {scheme: secnumcloud, version: 3.2, status: qualified, "
    + "offers: [object-storage], regions: [lyon], attestation: contract}\n"
)


def test_a_good_file_has_no_finding(laid):
    assert laid("", head=GOOD)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(laid, mistake: str):
    code, good, bad = MISTAKES[mistake]
    assert GOOD.count(good) >= 1
    message = refused(laid, "", head=GOOD.replace(good, bad, 1))
    assert f"error[{code}]" in message
    assert "^" in message


def test_every_mistake_is_told_at_once(laid, tmp_path):
    text = f"""\
targets:
  acme/lion:
    located: {fact("[FR]")}
  acme/lyon:
    located: {fact("[DE]")}
    controlled: {{is: [FR], attestation: contact}}
"""
    message = refused(laid, text, document=b"another").replace(str(tmp_path), "")
    golden = Path(__file__).parent / "overlay-mistakes.txt"
    assert message + "\n" == golden.read_text("utf-8")


def test_a_fact_that_ends_before_today_supports_nothing_today(laid):
    old = HEAD.replace("2028-01-15", "2026-11-24")
    known = laid(f"targets: {{acme/lyon: {{controlled: {fact('[FR]')}}}}}\n", head=old)
    controlled = known.target("acme/lyon").facts.controlled
    assert controlled.supports(TODAY - timedelta(days=1))
    assert not controlled.supports(TODAY)
