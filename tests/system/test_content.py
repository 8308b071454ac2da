"""What detectors find in content decides where the content goes, before any of it has gone anywhere."""

import io
import os
import re

import pytest

from sovbroker import broker as broker_module
from sovbroker import writing
from sovbroker.errors import Conflict, InvalidArgument, Refused
from sovbroker.scanning import HELD

NIR = b"1 85 05 78 006 084 91"
"""A number that is well formed and that nobody has."""

RULES = """  - {id: nir, content: fr.nir, label: restricted}
  - {id: in, path: "in/**", label: public}
"""


@pytest.fixture
def broker(clouds):
    return clouds.open(policy=clouds.POLICY + RULES)


def shapes(data, tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(data)
    read, write = os.pipe()
    if len(data) < 60_000:
        os.write(write, data)
    os.close(write)
    yield "bytes", data
    yield "view", memoryview(data)
    yield "path", path
    yield "file", io.BytesIO(data)
    yield "pieces", [data[:7], data[7:]]
    with os.fdopen(read, "rb") as pipe:
        if len(data) < 60_000:
            yield "pipe", pipe


def test_a_finding_raises_the_label_whatever_the_data_come_as(broker, tmp_path):
    for name, data in shapes(b"number: " + NIR + b", thank you", tmp_path):
        assert broker.put(f"in/{name}", data).label == "restricted", name
        assert broker.read(f"in/{name}") == b"number: " + NIR + b", thank you", name
    for name, data in shapes(b"nothing to see", tmp_path):
        assert broker.put(f"in/plain-{name}", data).label == "public", name
        assert broker.read(f"in/plain-{name}") == b"nothing to see"


def test_a_file_is_stored_from_where_it_stood(broker):
    file = io.BytesIO(b"skip this|" + NIR)
    file.seek(10)
    assert broker.put("in/rest", file).label == "restricted"
    assert broker.read("in/rest") == NIR


def test_a_stream_too_long_to_look_through_gets_the_default(broker):
    pieces = [b"x" * (1 << 20)] * 9
    assert len(b"".join(pieces)) > HELD
    assert broker.put("in/long", iter(pieces)).label == "restricted"
    assert broker.read("in/long") == b"".join(pieces)
    assert broker.put("in/short", iter(pieces[:7])).label == "public"
    assert broker.read("in/short") == b"".join(pieces[:7])


@pytest.mark.parametrize("data", ["text", io.StringIO("text"), 5, None])
def test_what_is_no_data_is_refused_as_ever(broker, data):
    with pytest.raises(InvalidArgument):
        broker.put("in/wrong", data)
    assert not broker.exists("in/wrong")


def test_a_writer_holds_back_until_it_knows(broker):
    with broker.writer("in/w") as file:
        file.write(b"one " + NIR[:9])
        file.write(NIR[9:])
    assert file.stored.label == "restricted"
    with broker.writer("in/plain") as file:
        file.write(b"nothing")
    assert file.stored.label == "public"
    with broker.writer("in/long") as file:
        for _ in range(9):
            file.write(b"x" * (1 << 20))
        file.write(b"end")
    assert file.stored.label == "restricted"
    assert broker.read("in/long")[-4:] == b"xend"


def test_a_writer_that_is_given_up_leaves_nothing(broker):
    file = broker.writer("in/gone")
    file.write(NIR)
    file.abort()
    assert not broker.exists("in/gone")
    assert not broker.leftovers()


def test_a_refusal_by_content_sends_nothing(clouds):
    nowhere = re.sub(r"restricted: \{store: .*", "restricted: {store: {}}", clouds.POLICY)
    broker = clouds.open(policy=nowhere + RULES)
    with pytest.raises(Refused, match="nir"):
        broker.put("in/a", NIR)
    with pytest.raises(Refused), broker.writer("in/b") as file:
        file.write(NIR)
    assert not broker.exists("in/a")
    assert not broker.exists("in/b")
    assert not clouds.calls


def test_a_file_that_changes_between_looking_and_sending_is_not_stored(broker, tmp_path, monkeypatch):
    path = tmp_path / "data"
    path.write_bytes(b"nothing to see here, and much of it")
    feed = writing.Write.feed

    def late(self, data):
        path.write_bytes(NIR)
        feed(self, data)

    monkeypatch.setattr(writing.Write, "feed", late)
    with pytest.raises(Conflict, match="changed while"):
        broker.put("in/changing", path)
    assert not broker.exists("in/changing")


def test_a_copy_to_where_content_counts_is_looked_at(clouds):
    rule = '  - {id: nir, path: "in/**", content: fr.nir, label: restricted}\n'
    broker = clouds.open(policy=clouds.POLICY + rule + '  - {id: out, path: "out/**", label: public}\n')
    assert broker.put("out/a", NIR).label == "public"
    assert broker.copy("out/a", "in/a", label="public").label == "restricted"
    assert broker.move("out/a", "in/b").label == "restricted"


def test_a_policy_that_is_taken_over_after_the_look_finds_nothing_looked_at(clouds, monkeypatch):
    """Rules about content that came between the look and the decision must not be taken as answered."""
    broker = clouds.open(policy=clouds.POLICY + '  - {id: in, path: "in/**", label: public}\n')
    (clouds.folder / "policy.yaml").write_text(clouds.POLICY + RULES)
    asking = clouds.open().policy

    class Late(writing.Write):
        def __init__(self, flow, request):
            flow.policy = asking
            super().__init__(flow, request)

    monkeypatch.setattr(broker_module, "Write", Late)
    stored = broker.put("in/a", NIR)
    assert stored.label == "restricted"
    assert "the scan did not look for `fr.nir`, so the default is joined" in stored.decision.reasons
