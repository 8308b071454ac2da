"""What the doctor says of a target by what its container is like, and by what a probe found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sovbroker import router
from sovbroker.doctor import Severity, examine
from sovbroker.errors import PermissionDenied, Unavailable
from sovbroker.ports import Feature, Inspection, Support
from sovbroker.probing import Aspect, Line, Probe, ProbeFile
from sovbroker.router import adapter_version
from sovbroker_adapters.memory import MemoryStore

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OK, WARNING, ERROR = Severity
TARGET = "aws/eu-west-3"
FINE = Inspection(skew=timedelta(0), region="eu-west-3", public=False, versioned=False, locks=True, removals=())
LINES = (
    Line(Aspect.BODIES, Support.NATIVE),
    Line(Aspect.VERSIONS, Support.ABSENT),
    *(Line(feature, support, "", support) for feature, support in MemoryStore().capabilities.items()),
)


class Told(MemoryStore):
    """A store that tells what a test wants to be told."""

    inspection: Inspection | Exception = FINE

    def inspect(self):
        if isinstance(self.inspection, Exception):
            raise self.inspection
        return self.inspection


@pytest.fixture
def told(home, monkeypatch):
    """Return what the doctor says of an S3 target whose container is like this: (severity, what, mend), OK aside."""
    path = home / "sovbroker.yaml"

    def tell(inspection, *, emulated=False, policy=None):
        where = f"at: {TARGET}, bucket: b, credentials: {{env: AWS}}"
        if emulated:
            where += ', endpoint: "http://127.0.0.1:9", emulated: true'
        if "aws" not in path.read_text():
            path.write_text(f"{path.read_text()}  - {{{where}}}\n")
        if policy is not None:
            (home / "policy.yaml").write_text(policy((home / "policy.yaml").read_text()))
        monkeypatch.setattr(Told, "inspection", inspection)
        monkeypatch.setattr(router, "find_adapter", lambda name: lambda binding: Told(binding.target))
        for name in ("AWS_ACCESS_KEY", "AWS_SECRET_KEY"):
            monkeypatch.setenv(name, "made-up")
        found = [f for f in examine(home, clock=lambda: NOW) if f.subject == f"target: {TARGET}"]
        return [(f.severity, f.what, f.mend) for f in found]

    return tell


@pytest.fixture
def probed(home):
    """Keep a probe of the S3 target."""

    def keep(*lines, **changes):
        by_name = {line.name: line for line in (*LINES, *lines)}
        probe = Probe(TARGET, "b", "https://s3.eu-west-3.amazonaws.com", "s3", adapter_version("s3"), NOW)
        ProbeFile(home / "state.db").put([replace(probe, lines=tuple(by_name.values()), **changes)])

    return keep


def test_all_is_well(told, probed):
    probed()
    assert told(FINE) == [(OK, "`b` answers", "")]


@pytest.mark.parametrize(("said", "shown"), [("aws:kms", "aws:kms"), ("", "no")])
def test_encryption_is_told(told, probed, said, shown):
    probed()
    assert told(replace(FINE, encryption=said)) == [(OK, f"`b` answers, encrypted at rest: {shown}", "")]


@pytest.mark.parametrize(
    ("change", "severity", "what", "mend"),
    [
        ({"skew": timedelta(seconds=31)}, WARNING, "its clock is 31 s ahead of ours", "NTP"),
        ({"skew": timedelta(seconds=-290)}, WARNING, "its clock is 290 s behind ours", "NTP"),
        ({"skew": timedelta(seconds=-301)}, ERROR, "301 s behind ours: signatures and links fail", "NTP"),
        ({"region": "us-east-1"}, ERROR, "in `us-east-1`, and the policy takes it to be in `eu-west-3`", "move there"),
        ({"public": True}, ERROR, "anybody can read", "take public access away"),
        ({"versioned": True}, WARNING, "may stay as an older one", "suspend versions"),
        ({"removals": ("`old`: after 30 days",)}, ERROR, "by itself: `old`: after 30 days", "remove the rule"),
    ],
)
def test_what_is_wrong_with_a_container(told, probed, change, severity, what, mend):
    probed()
    (answers, *found) = told(replace(FINE, **change))
    assert answers[0] is OK
    about = [finding for finding in found if what in finding[1]]
    assert [(about[0][0], mend in about[0][2])] == [(severity, True)]
    # What has changed since the probe is told beside it.
    drift = [finding for finding in found if finding not in about]
    assert bool(drift) is ("versioned" in change)


@pytest.mark.parametrize(
    "change",
    [
        {"skew": timedelta(seconds=30)},
        {"skew": timedelta(seconds=-30)},
        {"region": "EU-West-3"},
        {"region": None},
        {"public": None, "versioned": None, "locks": None, "removals": None},
    ],
)
def test_what_is_right_or_not_known(told, probed, change):
    probed()
    assert told(replace(FINE, **change)) == [(OK, "`b` answers", "")]


def test_several_rules_are_told_each(told, probed):
    probed()
    found = told(replace(FINE, removals=("one", "two")))
    assert [what.rpartition(" ")[2] for severity, what, _ in found if severity is ERROR] == ["one", "two"]


def test_an_emulator_is_seldom_where_its_provider_is(told):
    found = told(replace(FINE, region="us-east-1"), emulated=True)
    assert [severity for severity, what, _ in found if "us-east-1" in what] == [WARNING]


def test_a_container_that_does_not_tell(told, probed):
    probed()
    found = told(PermissionDenied("no", target=TARGET))
    assert [severity for severity, _, _ in found] == [WARNING, OK]
    assert "nothing is known of the container: aws/eu-west-3: no" in found[0][1]
    assert "let the credentials ask" in found[0][2]


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (PermissionDenied("403 RequestTimeTooSkewed", target=TARGET), "set the clock of this machine"),
        (PermissionDenied("403 InvalidAccessKeyId", target=TARGET), "compare the credentials"),
        (Unavailable("no answer", target=TARGET), "try again"),
    ],
)
def test_a_target_that_refuses(told, monkeypatch, error, mend):
    def refuse(self, *_, **__):
        raise error

    monkeypatch.setattr(Told, "list", refuse)
    ((severity, what, how),) = told(FINE)
    assert (severity, what) == (ERROR, str(error))
    assert mend in how


# --- what the policy retains


def retains(policy):
    """Let what goes to the S3 target be retained."""
    return policy.replace(
        "public: {store: {here: {}}}", "public: {store: {here: {}, moon: {encrypt: client}}, retain: {min: 30d}}"
    )


@pytest.fixture
def lockless(monkeypatch):
    """Let nothing be declared of locks."""
    capabilities = {**MemoryStore.capabilities, Feature.RETENTION: Support.ABSENT}
    monkeypatch.setattr(Told, "capabilities", capabilities)
    return Line(Feature.RETENTION, Support.ABSENT, "", Support.ABSENT)


def test_what_is_retained_wants_locks(told, probed, lockless):
    probed(lockless)
    (_, (severity, what, mend)) = told(replace(FINE, locks=False), policy=retains)
    assert severity is WARNING
    assert "stolen credentials can remove it" in what
    assert "make a container with locks" in mend


@pytest.mark.parametrize("locks", [True, None])
def test_locks_that_nobody_has_tried(told, probed, lockless, locks):
    probed(lockless)
    (_, (severity, what, mend)) = told(replace(FINE, locks=locks), policy=retains)
    assert (severity, "nobody has found out" in what, "targets probe aws/eu-west-3" in mend) == (WARNING, True, True)


def test_where_nothing_is_retained_nobody_wants_locks(told, probed, lockless):
    probed(lockless)
    assert told(FINE) == [(OK, "`b` answers", "")]


def test_versions_are_wanted_where_the_policy_retains(told, probed):
    probed(Line(Aspect.VERSIONS, Support.NATIVE))
    assert told(replace(FINE, versioned=True, locks=True), policy=retains) == [(OK, "`b` answers", "")]


# --- what a probe found


def test_never_probed(told):
    (_, (severity, what, mend)) = told(FINE)
    assert (severity, "never probed" in what) == (WARNING, True)
    assert mend == "run `sovbroker targets probe aws/eu-west-3`"


def test_probed_elsewhere_is_not_probed(told, probed):
    probed(container="another")
    assert "never probed" in told(FINE)[1][1]


def test_probed_by_another_version(told, probed):
    probed(version="sovbroker 0.0.1")
    assert f"it was probed by sovbroker 0.0.1, and this is {adapter_version('s3')}" in told(FINE)[1][1]


@pytest.mark.parametrize(("days", "old"), [(90, False), (91, True)])
def test_probed_long_ago(told, probed, days, old):
    probed(at=NOW - timedelta(days=days))
    found = told(FINE)
    assert [what for _, what, _ in found[1:]] == (["it was last probed 91 days ago"] if old else [])


@pytest.mark.parametrize(
    ("line", "severity", "what", "mend"),
    [
        (Line(Feature.COPY, Support.UNSAFE, "lies", Support.NATIVE), WARNING, "`copy` to be unsafe: lies; it is", "do"),
        (Line(Feature.COPY, None, "no answer", Support.NATIVE), WARNING, "`copy` to be unknown: no answer", "run"),
        (Line(Aspect.KEYS, Support.UNSAFE, "changes"), ERROR, "`odd keys` to be unsafe: changes", "store nothing"),
    ],
)
def test_what_was_promised_and_is_not_there(told, probed, line, severity, what, mend):
    probed(line)
    (_, finding) = told(FINE)
    assert (finding[0], what in finding[1], finding[2].startswith(mend)) == (severity, True, True)


def test_what_nobody_promised_is_nothing_to_mend(told, probed):
    probed(Line("PutObjectTagging", Support.UNSAFE, "replaces"), Line(Aspect.NESTED, Support.ABSENT))
    assert told(FINE) == [(OK, "`b` answers", "")]


def test_what_could_not_be_removed(told, probed):
    probed(left=(".sovbroker-probe/x", ".sovbroker-probe/y"))
    assert "2 objects of the last probe could not be removed, `.sovbroker-probe/x` the first" in told(FINE)[1][1]


def test_drift(told, probed):
    probed(
        Line(Aspect.VERSIONS, Support.NATIVE),
        Line(Feature.PRESIGN, Support.NATIVE, "", Support.NATIVE),
    )
    found = [what for severity, what, _ in told(replace(FINE, locks=False)) if severity is WARNING]
    assert found == [
        "what is declared of `presign` was native when it was probed, and is absent",
        "`versions` was native when it was probed, and is absent",
        "`retention` was native when it was probed, and is absent",
    ]


def test_a_probe_that_cannot_be_read(told, home, probed):
    probed()
    (home / "state.db.probes.json").write_text("{")
    found = told(FINE)
    assert [(severity, "cannot be used" in what) for severity, what, _ in found] == [(ERROR, True)]


# --- a folder of this machine


def test_a_folder_that_others_may_enter(home):
    (home / "objects").chmod(0o755)
    found = [f for f in examine(home) if f.subject == "target: local" and f.severity is not OK]
    assert [(f.severity, f.what) for f in found] == [(WARNING, "every user of this machine may enter the folder")]
    assert found[0].mend == f"run `chmod 700 {home}/objects`"
