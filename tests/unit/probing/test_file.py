"""Probes are kept whole, private, and for one place each."""

import json
import os
import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sovbroker.errors import StateError
from sovbroker.ports import Feature, Support
from sovbroker.probing import Aspect, Line, Probe, ProbeFile

NOW = datetime(2026, 11, 24, 12, 30, 5, 123456, tzinfo=UTC)
LINES = (
    Line(Aspect.BODIES, Support.NATIVE, "come back"),
    Line(Feature.COPY, Support.UNSAFE, "loses `é`", Support.NATIVE),
    Line(Aspect.VERSIONS, None, "not told"),
    Line("PutObjectTagging", Support.UNSAFE, "replaces"),
)
ONE = Probe("aws/eu-west-3", "b", "https://s3", "s3", "sovbroker 0.1", NOW, LINES, (".sovbroker-probe/x",))
OTHER = replace(ONE, endpoint="http://127.0.0.1:1", lines=())


@pytest.fixture
def kept(tmp_path):
    return ProbeFile(tmp_path / "state.db")


def test_there_are_none_at_first(kept):
    assert kept.probes() == ()
    assert kept.find("aws/eu-west-3", container="b", endpoint=None) is None
    assert not kept.path.exists()


def test_what_was_put_is_read(kept, tmp_path):
    kept.put([ONE])
    assert kept.path == tmp_path / "state.db.probes.json"
    assert kept.probes() == (ONE,)
    assert ProbeFile(tmp_path / "state.db").find("aws/eu-west-3", container="b", endpoint="https://s3") == ONE
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.db.probes.json"]


def test_the_same_target_elsewhere_is_another_place(kept):
    kept.put([ONE, OTHER])
    for probe in (ONE, OTHER):
        assert kept.find(probe.target, container="b", endpoint=probe.endpoint) == probe
    assert kept.find(ONE.target, container="another", endpoint=ONE.endpoint) is None
    assert kept.find(ONE.target, container="b", endpoint=None) is None


def test_a_place_is_kept_once(kept):
    kept.put([ONE, OTHER])
    later = replace(ONE, at=NOW + timedelta(days=1), lines=(), left=())
    kept.put([later])
    assert set(kept.probes()) == {later, OTHER}


@pytest.mark.parametrize(
    "harm",
    [
        lambda told: b"",
        lambda told: b"not json",
        lambda told: b"[]",
        lambda told: b"{}",
        lambda told: json.dumps({**told, "sovbroker_probes": 2}).encode(),
        lambda told: json.dumps({**told, "installation": "me"}).encode(),
        lambda told: json.dumps({**told, "probes": None}).encode(),
        lambda told: json.dumps({**told, "probes": [{}]}).encode(),
        lambda told: json.dumps(told).replace("native", "marvellous").encode(),
        lambda told: json.dumps(told).replace('"copy"', '"teleport"').encode(),
        lambda told: json.dumps(told).replace("+00:00", "").encode(),
    ],
)
def test_what_is_damaged_is_not_taken_for_nothing(kept, harm):
    kept.put([ONE])
    kept.path.write_bytes(harm(json.loads(kept.path.read_text())))
    for call in (kept.probes, lambda: kept.put([OTHER]), kept.turn().__enter__):
        with pytest.raises(StateError, match=r"state\.db\.probes\.json` cannot be used"):
            call()


def test_what_others_may_write_is_not_believed(kept):
    kept.put([ONE])
    kept.path.chmod(0o620)
    with pytest.raises(StateError, match="chmod 600"):
        kept.probes()


def test_a_failed_write_leaves_what_was(kept, monkeypatch):
    kept.put([ONE])

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="No space left"):
        kept.put([OTHER])
    monkeypatch.undo()
    assert kept.probes() == (ONE,)
    assert [path.name for path in kept.path.parent.iterdir()] == ["state.db.probes.json"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError), ProbeFile(tmp_path / "file" / "state.db").turn():
        pass


def test_an_installation_has_one_id_from_its_first_probe_on(kept):
    with kept.turn() as first:
        # It is there before anything is written elsewhere.
        assert json.loads(kept.path.read_text())["installation"] == first
    kept.put([ONE])
    with kept.turn() as second:
        assert second == first
    assert kept.probes() == (ONE,)


def test_one_after_the_other(kept):
    order = []
    inside = threading.Event()

    def second():
        inside.wait(30)
        with ProbeFile(kept.path.with_name("state.db")).turn():
            order.append("second")

    waiting = threading.Thread(target=second)
    waiting.start()
    with kept.turn():
        inside.set()
        waiting.join(0.2)
        order.append("first")
    waiting.join(30)
    assert order == ["first", "second"]
