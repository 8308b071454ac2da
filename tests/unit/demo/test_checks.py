"""Every check of the demo can fail."""

import base64
import gzip
import io
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.demo.checks import (
    Held,
    Scanner,
    Wrong,
    check_held,
    check_placed,
    check_read,
    check_refused,
    forms,
)
from sovbroker.demo.clouds import check_stopped
from sovbroker.demo.samples import Sample, digest_of
from sovbroker.envelope import sealed_size
from sovbroker.objects import Copy, Stored

MARKER = "Célestin Jolivot".encode()


# --- looking for markers


@settings(max_examples=200, deadline=None)
@given(
    marker=st.binary(min_size=8, max_size=40),
    before=st.binary(max_size=50),
    after=st.binary(max_size=50),
    encode=st.sampled_from(
        [
            bytes,
            lambda data: data.hex().encode(),
            lambda data: data.hex().upper().encode(),
            base64.b64encode,
            base64.urlsafe_b64encode,
        ]
    ),
)
def test_a_marker_is_found_in_every_form_and_place(marker, before, after, encode):
    assert Scanner([marker]).find(encode(before + marker + after))


def test_a_url_quoted_marker_is_found():
    assert Scanner([MARKER]).find(b"?auteur=" + quote_from_bytes(MARKER).encode())


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=2000))
def test_nothing_is_found_in_what_does_not_hold_it(data):
    assert Scanner([MARKER]).find(data) == frozenset()


def test_a_marker_that_straddles_two_blocks_is_found():
    body = io.BytesIO(bytes((8 << 20) - 5) + MARKER + bytes(100))
    assert Scanner([MARKER]).look("aws", "name", {}, body).found


@pytest.mark.parametrize(("name", "metadata"), [(MARKER.decode(), {}), ("n", {"a": MARKER.decode()})])
def test_a_marker_beside_the_body_is_found(name, metadata):
    assert Scanner([MARKER]).look("aws", name, metadata, io.BytesIO(b"")).found


def test_what_is_looked_at_is_described():
    body = random.Random(1).randbytes(3 << 20)
    held = Scanner([MARKER]).look("aws", "name", {}, io.BytesIO(body))
    assert (held.size, held.head, held.squeezed, held.found) == (len(body), body[:4096], False, ())
    assert Scanner([MARKER]).look("aws", "name", {}, io.BytesIO(b"text " * 99)).squeezed


def test_bytes_seen_before_are_found_again():
    scanner = Scanner([MARKER])
    for name in ("first", "second"):
        assert scanner.look("aws", name, {}, io.BytesIO(MARKER)).found
    assert not scanner.look("aws", "third", {}, io.BytesIO(b"")).found


def test_a_scan_for_nothing_is_refused():
    with pytest.raises(Wrong, match="prove nothing"):
        Scanner([])


def test_forms_are_distinct():
    assert len(forms(b"longer than twelve")) >= 6
    assert gzip.compress(b"") not in forms(b"longer than twelve").values()


# --- placement


@dataclass
class World:
    samples: list
    stored: dict
    held: list
    folder: object = field(default=None)


@pytest.fixture
def world(tmp_path):
    """Two objects: `a` in the clear at p1, `b` sealed at p1 and, with its name hidden, at p2."""
    samples, stored, held = [], {}, []
    copies = {"a": (Copy("p1", "clear"),), "b": (Copy("p1", "sealed"), Copy("p2", "sealed, names hidden"))}
    for number, (key, where) in enumerate(copies.items()):
        path = tmp_path / key
        path.write_bytes(bytes([number]) * (100 + number))
        sample = Sample(key, path, 100 + number, digest_of(path), markers=(b"marker-" + key.encode(),))
        samples.append(sample)
        stored[key] = Stored(key, "v1", "public", sample.size, where, decision=None)
        for copy in where:
            clear = copy.mode == "clear"
            held.append(
                Held(
                    target=copy.target,
                    name="0123@v1" if "hidden" in copy.mode else f"{key}@v1",
                    size=sample.size if clear else sealed_size(sample.size),
                    digest=sample.digest if clear else "something else",
                    head=b"",
                    squeezed=clear,
                )
            )
    return World(samples, stored, held)


def test_what_is_right_passes(world):
    owners = check_held(world.samples, world.stored, world.held)
    assert {place: sample.key for place, sample in owners.items()} == {
        "p1/a@v1": "a",
        "p1/b@v1": "b",
        "p2/0123@v1": "b",
    }


@pytest.mark.parametrize(
    ("index", "change", "says"),
    [
        (0, {"digest": "changed"}, "holds something else"),
        (0, {"size": 99}, "holds 0 objects"),
        (0, {"name": "elsewhere@v1"}, "under the name"),
        (1, {"squeezed": True}, "do not look encrypted"),
        (1, {"size": 7}, "holds 0 objects"),
        (1, {"found": ("a marker (raw)",)}, "can read a marker"),
        (1, {"digest": "another envelope"}, "at p1 and p2 differ"),
        (1, {"metadata": {"sovbroker": "another record"}}, "at p1 and p2 differ"),
        (2, {"name": "b@v1"}, "under the name `b@v1`"),
        (2, {"target": "p3"}, "holds 0 objects"),
    ],
)
def test_what_is_wrong_at_a_provider_is_found(world, index, change, says):
    world.held[index] = replace(world.held[index], **change)
    with pytest.raises(Wrong, match=says):
        check_held(world.samples, world.stored, world.held)


def test_a_sealed_copy_that_is_the_file_is_found(world):
    world.held[1] = replace(world.held[1], digest=world.samples[1].digest)
    with pytest.raises(Wrong, match="do not look encrypted"):
        check_held(world.samples, world.stored, world.held)


def test_an_object_too_many_is_found(world):
    world.held.append(Held("p2", "planted", 5, "d", b"", squeezed=False))
    with pytest.raises(Wrong, match="nobody put there"):
        check_held(world.samples, world.stored, world.held)


def test_a_second_object_of_the_same_size_is_found(world):
    world.held.append(replace(world.held[0], name="twin"))
    with pytest.raises(Wrong, match="holds 2 objects"):
        check_held(world.samples, world.stored, world.held)


@pytest.mark.parametrize(
    "expected", [[], [Copy("p1", "sealed")], [Copy("p2", "clear")], [Copy("p1", "clear"), Copy("p2", "clear")]]
)
def test_another_placement_than_expected_is_found(world, expected):
    with pytest.raises(Wrong, match="the policy asks for"):
        check_placed(world.samples[0], world.stored["a"], expected=expected)


def test_the_order_of_copies_does_not_matter(world):
    stored = world.stored["b"]
    check_placed(world.samples[1], stored, expected=stored.copies[::-1])


def test_another_size_than_stored_is_found(world):
    stored = replace(world.stored["a"], size=1)
    with pytest.raises(Wrong, match="was stored with 1 bytes"):
        check_placed(world.samples[0], stored, expected=stored.copies)


# --- reading


def test_reading_back_is_compared(world):
    sample = world.samples[1]
    check_read(sample, sample.digest, part=b"\x01" * 10, first=50)
    with pytest.raises(Wrong, match="came back with SHA-256 0000"):
        check_read(sample, "0000", part=b"\x01" * 10, first=50)
    for part, first in ((b"\x02" * 10, 50), (b"", 50), (b"\x01" * 10, 95)):
        with pytest.raises(Wrong, match="the range of `b`"):
            check_read(sample, sample.digest, part=part, first=first)


# --- refusing


@pytest.mark.parametrize(
    ("decision", "after", "says"),
    [
        (SimpleNamespace(allowed=True, rejected={}, alternatives=()), 3, "must refuse"),
        (SimpleNamespace(allowed=False, rejected={"p1": ("r",)}, alternatives=()), 3, "no reason for p2"),
        (SimpleNamespace(allowed=False, rejected={"p1": ("r",), "p2": ()}, alternatives=()), 3, "no reason for p2"),
        (SimpleNamespace(allowed=False, rejected={"p1": ("r",), "p2": ("r",)}, alternatives=()), 4, "and 4 after"),
    ],
)
def test_a_refusal_that_is_none_is_found(decision, after, says):
    with pytest.raises(Wrong, match=says):
        check_refused(decision, targets=["p1", "p2"], before=3, after=after)


def test_a_refusal_passes():
    decision = SimpleNamespace(allowed=False, rejected={"p1": ("r",), "p2": ("r",)}, alternatives=())
    check_refused(decision, targets=["p1", "p2"], before=3, after=3)


# --- ending


def test_a_process_that_still_runs_is_found(tmp_path):
    with pytest.raises(Wrong, match=f"still running: {os.getpid()}"):
        check_stopped([os.getpid()], tmp_path / "gone")


def test_a_folder_that_is_left_is_found(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with pytest.raises(Wrong, match="is still there"):
        check_stopped([ended.pid], tmp_path)
    check_stopped([ended.pid], tmp_path / "gone")
