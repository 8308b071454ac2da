"""A changed policy governs only when it loads, is proved and passes its cases; else the old one goes on and says so."""

import logging
import threading
import time

import pytest

from sovbroker.errors import ConfigError
from sovbroker.policy import trial

CASES = """
sovbroker-tests: 1
at: 2026-11-24
targets:
  lab/paris: {located: [FR], controlled: [FR]}
keys:
  main: {located: [FR], controlled: [FR]}
cases:
  - {id: pub, key: public/a, expect: {label: public}}
  - {id: int, key: internal/a, expect: {label: internal, modes: {lab/paris: {encrypt: client}}}}
"""

STRICTER = ('{id: pub, path: "public/**", label: public}', '{id: pub, path: "open/**", label: public}')


@pytest.fixture
def broker(clouds):
    broker = clouds.open()
    (clouds.folder / "policy.tests.yaml").write_text(CASES)
    return broker


def change(clouds, old, new):
    file = clouds.folder / "policy.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_what_has_not_changed_stays(broker, clouds):
    before = broker.policy
    change(clouds, "name: system-tests", "name: system-tests  # a comment changes nothing")
    outcome = broker.reload()
    assert not outcome.taken
    assert not outcome.why
    assert str(outcome) == f"the policy has not changed ({before.digest[:12]})"
    assert broker.policy is before


def test_a_good_change_governs_the_next_write(broker, clouds):
    assert broker.put("hr/a", b"1").label == "restricted"
    change(clouds, "classify:\n", 'classify:\n  - {id: hr, path: "hr/**", label: internal}\n')
    outcome = broker.reload()
    assert outcome.taken
    assert broker.policy.digest == outcome.policy
    assert broker.put("hr/b", b"2").label == "internal"
    assert broker.put("hr/a", b"3").label == "restricted", "what is stored keeps the label that it has"


@pytest.mark.parametrize(
    ("old", "new", "why", "code"),
    [
        ("levels:", "levles:", "it does not load", "SB001"),
        ("{store: {french: {encrypt: client}}}", "{store: {nowhere: {encrypt: client}}}", "it does not load", "SB011"),
        (
            "restricted: {store: {french: {encrypt: client, names: encrypt, keys: french}}}",
            "restricted: {store: {}}",
            "its proofs do not hold",
            "SB041",
        ),
        (*STRICTER, "its cases do not pass", "SB051"),
    ],
)
def test_a_bad_change_is_not_taken_and_it_says_why(broker, clouds, caplog, old, new, why, code):
    before = broker.policy
    change(clouds, old, new)
    with caplog.at_level(logging.WARNING, logger="sovbroker"):
        outcome = broker.reload()
    assert (outcome.taken, outcome.why) == (False, why)
    assert code in {finding.code for finding in outcome.diagnostics}
    assert broker.policy is before
    assert broker.reloaded == outcome
    assert "the old one governs on" in caplog.text
    assert code in caplog.text
    assert broker.put("public/a", b"1").label == "public"


def test_without_cases_a_change_is_not_taken(broker, clouds):
    (clouds.folder / "policy.tests.yaml").unlink()
    change(clouds, "name: system-tests", "name: another")
    outcome = broker.reload()
    assert (outcome.taken, outcome.why) == (False, "its cases do not pass")
    assert "SB050" in {finding.code for finding in outcome.diagnostics}


def test_the_configuration_can_ask_to_look_now_and_then(clouds):
    clouds.write()
    (clouds.folder / "policy.tests.yaml").write_text(CASES)
    config = clouds.folder / "sovbroker.yaml"
    config.write_text(config.read_text().replace("policy: policy.yaml", "policy: policy.yaml\nreload: 1"))
    broker = clouds.open()
    change(clouds, "name: system-tests", "name: another")
    digest = broker.policy.digest
    deadline = time.monotonic() + 30
    while broker.policy.digest == digest and time.monotonic() < deadline:
        broker.put("public/a", b"1")
        time.sleep(0.05)
    assert broker.policy.name == "another"
    assert broker.reloaded.taken


def test_writes_go_on_while_it_is_reloaded(broker, clouds):
    failures, stop = [], threading.Event()

    def write():
        while not stop.is_set():
            try:
                broker.put(f"public/{threading.get_ident()}", b"1")
            except Exception as error:  # noqa: BLE001  # any failure is what this looks for
                failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(3):
        change(clouds, "name: ", f"name: n{number}")
        assert broker.reload().taken
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_built_in_policy_cannot_be_reloaded(clouds):
    clouds.write()
    config = clouds.folder / "sovbroker.yaml"
    config.write_text(config.read_text().replace("policy: policy.yaml", ""))
    with pytest.raises(ConfigError, match="no policy file"):
        clouds.open().reload()


def test_a_file_that_changes_while_it_is_judged_is_not_taken(broker, clouds, monkeypatch):
    judge = trial.try_policy

    def meddle(*args, **options):
        found = judge(*args, **options)
        change(clouds, "name: judged", "name: another")
        return found

    monkeypatch.setattr(trial, "try_policy", meddle)
    change(clouds, "name: system-tests", "name: judged")
    outcome = broker.reload()
    assert (outcome.taken, outcome.why) == (False, "it changed while it was being judged")
    assert broker.policy.name == "system-tests"


def test_a_mend_in_a_file_that_only_the_changed_policy_extends_is_seen(clouds):
    clouds.write()
    (clouds.folder / "policy.tests.yaml").write_text(CASES)
    config = clouds.folder / "sovbroker.yaml"
    config.write_text(config.read_text().replace("policy: policy.yaml", "policy: policy.yaml\nreload: 1"))
    broker = clouds.open()
    more = clouds.folder / "more.yaml"
    more.write_text("sovbroker: 1\nzonse: {}\n")
    change(clouds, "name: system-tests", "name: another\nextends: [more.yaml]")
    assert broker.reload().why == "it does not load"
    more.write_text("sovbroker: 1\n")
    deadline = time.monotonic() + 30
    while broker.policy.name != "another" and time.monotonic() < deadline:
        broker.put("public/a", b"1")
        time.sleep(0.05)
    assert broker.policy.name == "another"


def test_two_reloads_follow_one_another(broker, clouds, monkeypatch):
    """The second must not bring back what the first replaced, when it refuses a file that has become wrong."""
    reloader = broker._reloader
    attempt, judge, second, entered = reloader.attempt, trial.try_policy, [], threading.Event()

    def attempted(current):
        entered.set()
        return attempt(current)

    def meddle(*args, **options):
        monkeypatch.setattr(trial, "try_policy", judge)
        entered.clear()
        second.append(threading.Thread(target=broker.reload))
        second[0].start()
        assert not entered.wait(0.2), "the second waits before it looks at what governs"
        return judge(*args, **options)

    monkeypatch.setattr(reloader, "attempt", attempted)
    monkeypatch.setattr(trial, "try_policy", meddle)
    change(clouds, "name: system-tests", "name: first")
    assert broker.reload().taken
    second[0].join()
    assert broker.policy.name == "first"
    assert not broker.reloaded.taken
