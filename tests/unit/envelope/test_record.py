import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import ClearRecord, Context, Record, Secret, read_entry, read_sidecar, seal_metadata
from sovbroker.errors import InvalidArgument, SealError, Tampered, UnknownFormat
from sovbroker.keys import DomainKey

ENTRY_CHARACTERS = string.ascii_letters + string.digits + "-_.~+c1"


def record(user, head=bytes(range(56))):
    key = DomainKey(Secret(bytes(32)), domain="health", epoch=1, kid="uz3DR0W1Gire_J0l")
    context = Context("health", "patients/2026/42.json", "0h3k5v7q9r1t3w5y7z9b1d3f", "restricted+health+personal")
    mapping = {"key": context.key, "size": 123456, "type": "application/json", "user": user}
    return Record(key.kid, key.wrap_dek(bytes(32)), head, seal_metadata(bytes(32), context, mapping))


@pytest.fixture(scope="module")
def small():
    return record({"ward": "3"})


@pytest.fixture(scope="module")
def large():
    return record({f"name{n}": "x" * 100 for n in range(20)})


def test_the_entry_is_plain_ascii_under_a_portable_name(small):
    assert Record.NAME == ClearRecord.NAME == "sovbroker"
    assert set(small.encode()) <= set(ENTRY_CHARACTERS)
    assert Record.decode(small.encode()) == small
    assert read_entry(small.encode()) == small


def test_modest_metadata_fit_two_kilobytes():
    user = {f"name{n}": "x" * 40 for n in range(15)}
    entry, sidecar = record(user).split(2048)
    assert sidecar is None
    assert len(Record.NAME) + len(entry) <= 2048


def test_what_does_not_fit_goes_into_a_sidecar(large):
    entry, sidecar = large.split(2048)
    assert len(Record.NAME) + len(entry) <= 2048
    Record.check_sidecar(sidecar)
    assert Record.decode(entry).has_sidecar
    assert Record.decode(entry).head == large.head
    assert Record.decode(entry).encode() == entry
    assert Record.join(entry, sidecar) == Record.join(entry, memoryview(sidecar)) == large
    assert not large.has_sidecar


def test_the_limit_is_met_exactly(small):
    exact = len(Record.NAME) + len(small.encode())
    assert small.split(exact) == (small.encode(), None)
    assert small.split(exact - 1)[1] is not None
    with pytest.raises(InvalidArgument, match="a record needs"):
        small.split(100)


def test_another_objects_sidecar_is_refused(large):
    entry, sidecar = large.split(2048)
    other = record({"x": "y" * 3000}, head=bytes(56)).split(2048)[1]
    with pytest.raises(Tampered):
        Record.join(entry, other)
    for wrong in (None, b"", sidecar[:-1], sidecar[1:], sidecar + b"x", b"x" * len(sidecar)):
        with pytest.raises(UnknownFormat):
            Record.join(entry, wrong)


def test_a_whole_entry_needs_no_sidecar(small):
    assert Record.join(small.encode(), None) == small


@pytest.mark.parametrize("version", ["2", "10", "999"])
def test_a_newer_format_is_named(version):
    for read in (Record.decode, ClearRecord.decode, read_entry):
        with pytest.raises(UnknownFormat, match=f"format {version}.*update sovbroker"):
            read(f"{version}~anything~at all")


def test_anything_else_is_refused(small):
    _, kid, wrapped, head, metadata = parts = small.encode().split("~")
    for text in (
        "",
        "1",
        "1~",
        "~".join(parts[:4]),
        "~".join([*parts, "x"]),
        "~".join(["01", *parts[1:]]),
        "~".join(["0", *parts[1:]]),
        "~".join(["-1", *parts[1:]]),
        "~".join(["\u0661", *parts[1:]]),
        f"1~~{wrapped}~{head}~{metadata}",
        f"1~{kid}é~{wrapped}~{head}~{metadata}",
        f"1~{'k' * 65}~{wrapped}~{head}~{metadata}",
        f"1~{kid}~~{head}~{metadata}",
        f"1~{kid}~{wrapped} ~{head}~{metadata}",
        f"1~{kid}~{wrapped}~{head[:-1]}~{metadata}",
        f"1~{kid}~{wrapped}~{head}A~{metadata}",
        f"1~{kid}~{wrapped}~{head}=~{metadata}",
        f"1~{kid}~{wrapped}~{head[:-1]}B~{metadata}",
        f"1~{kid}~{wrapped}~{head}~",
        f"1~{kid}~{wrapped}~{head}~++",
        f"1~{kid}~{wrapped}~{head}~{metadata[:-2]}",
        f"1~{kid}~{wrapped}~{head}~{metadata}\n",
        " " + small.encode(),
    ):
        with pytest.raises(UnknownFormat):
            Record.decode(text)


@given(st.one_of(st.text(max_size=200), st.text(ENTRY_CHARACTERS, max_size=200), st.text("1c~+A", max_size=20)))
@settings(max_examples=400, deadline=None)
def test_only_seal_errors_escape_garbage(text):
    for read in (Record.decode, ClearRecord.decode, read_entry):
        try:
            found = read(text)
        except SealError:
            continue
        assert isinstance(found, ClearRecord)
        assert ClearRecord.decode(found.encode()) == found


@given(at=st.integers(0, 5000), new=st.sampled_from(ENTRY_CHARACTERS))
@settings(max_examples=400, deadline=None)
def test_a_changed_character_is_another_record_or_none(at, new, small):
    text = small.encode()
    at %= len(text)
    changed = text[:at] + new + text[at + 1 :]
    try:
        assert (Record.decode(changed) == small) == (changed == text)
    except SealError:
        assert changed != text


@given(data=st.binary(max_size=400))
@settings(deadline=None)
def test_only_seal_errors_escape_a_sidecar(data, large):
    entry, _ = large.split(2048)
    with pytest.raises(SealError):
        Record.join(entry, data)
    with pytest.raises(SealError):
        ClearRecord.join(ClearRecord(None).encode(), data)


@pytest.mark.parametrize("field", ["kid", "wrapped", "head", "metadata"])
def test_parts_that_could_not_be_told_apart_are_refused(field, small):
    parts = {"kid": small.kid, "wrapped": small.wrapped, "head": small.head, "metadata": small.metadata}
    wrong = {"kid": "a~b", "wrapped": "a~b", "head": b"x", "metadata": b"x"}[field]
    with pytest.raises(InvalidArgument, match=field):
        Record(**{**parts, field: wrong})


def test_a_clear_record_holds_its_metadata_readable_by_anybody():
    clear = ClearRecord({"key": "a/b", "label": "public", "size": 3, "user": {"é": "ü"}})
    assert read_entry(clear.encode()) == ClearRecord.decode(clear.encode()) == clear
    assert set(clear.encode()) <= set(ENTRY_CHARACTERS)
    assert not clear.has_sidecar
    assert ClearRecord.join(clear.encode(), None) == clear
    with pytest.raises(UnknownFormat):
        Record.decode(clear.encode())


def test_a_clear_record_splits_too():
    clear = ClearRecord({"user": {"x": "y" * 3000}})
    entry, sidecar = clear.split(2048)
    assert len(entry) < 20
    assert read_entry(entry).has_sidecar
    assert ClearRecord.join(entry, sidecar) == clear
    for wrong in (None, b"", b"sovbroker sidecar 1c\n[]", b"sovbroker sidecar 1c\n{"):
        with pytest.raises(UnknownFormat):
            ClearRecord.join(entry, wrong)
    with pytest.raises(UnknownFormat):
        Record.check_sidecar(sidecar)
    with pytest.raises(InvalidArgument):
        clear.split(5)
    with pytest.raises(InvalidArgument):
        ClearRecord({"x": object()}).encode()


@pytest.mark.parametrize("which", ["small", "large", "clear"])
def test_a_whole_record_lies_in_a_sidecar_where_there_are_no_metadata(which, small, large):
    found = {"small": small, "large": large, "clear": ClearRecord({"key": "a/b", "user": {"é": "ü"}})}[which]
    sidecar = found.sidecar()
    assert sidecar == b"sovbroker sidecar 2\n" + found.encode().encode()
    assert read_sidecar(sidecar) == read_sidecar(memoryview(sidecar)) == found


def test_a_whole_sidecar_is_nothing_else(small, large):
    sidecar = small.sidecar()
    parted, beside = large.split(2048)
    for wrong in (
        b"",
        beside,
        sidecar[1:],
        sidecar[:-2],
        sidecar + b"\n",
        sidecar + b"~",
        sidecar[:20],
        b"sovbroker sidecar 2c\n" + sidecar[20:],
        b"sovbroker sidecar 1\n" + sidecar[20:],
        sidecar[:20] + "é".encode() + sidecar[20:],
        b"sovbroker sidecar 2\n" + parted.encode(),
        b"sovbroker sidecar 2\n1c~+",
    ):
        with pytest.raises(UnknownFormat):
            read_sidecar(wrong)
    with pytest.raises(UnknownFormat, match=r"format 3.*update sovbroker"):
        read_sidecar(b"sovbroker sidecar 3\n" + sidecar[20:])
    with pytest.raises(UnknownFormat, match=r"format 2.*update sovbroker"):
        read_sidecar(b"sovbroker sidecar 2\n2~anything")
    with pytest.raises(UnknownFormat):
        Record.check_sidecar(sidecar)
    for halved in (Record.decode(parted), ClearRecord(None)):
        with pytest.raises(InvalidArgument, match="without its metadata"):
            halved.sidecar()


@given(data=st.one_of(st.binary(max_size=300), st.text(ENTRY_CHARACTERS, max_size=200).map(str.encode)))
@settings(max_examples=300, deadline=None)
def test_only_seal_errors_escape_a_whole_sidecar(data):
    for body in (data, b"sovbroker sidecar 2\n" + data):
        try:
            found = read_sidecar(body)
        except SealError:
            continue
        assert read_sidecar(found.sidecar()) == found
