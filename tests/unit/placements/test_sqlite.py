"""The promises of `PlacementIndex`, kept by the SQLite one."""

from __future__ import annotations

import dataclasses
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.errors import AlreadyExists, Conflict, NotFound, StateError
from sovbroker.placements import CopyRow, Intent, Placement, Precondition, SqliteIndex, State, new_version

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ANY = Precondition()


@pytest.fixture
def index(tmp_path):
    index = SqliteIndex(tmp_path / "state.db")
    yield index
    index.close()


def placement(key="a", *, retain=None, targets=("t1",), **changes):
    version = new_version(NOW)
    copies = tuple(CopyRow(t, f"{key}@{version}", sealed=True) for t in targets)
    row = Placement(key, version, "internal", 3, NOW, copies, domain="main", record="r", metadata={"é": "ü"})
    return dataclasses.replace(row, retain_until=None if retain is None else NOW + retain, **changes)


def intents(row, owner="me"):
    return [Intent(row.version, row.key, c.target, c.physical, owner, NOW) for c in row.copies]


def put(index, row, condition=ANY, now=NOW):
    index.begin(intents(row))
    return index.commit(row, condition=condition, now=now)


def test_a_row_comes_back_as_it_went_in(index):
    row = placement(targets=("t2", "t1"), content_type="text/plain", decision={"rules": ["x"]})
    assert put(index, row) == []
    assert index.current("a") == row
    assert index.leftovers() == []


def test_what_was_begun_is_known_until_it_is_committed(index):
    row = placement(targets=("t1", "t2"))
    index.begin(intents(row, owner="h/b/1/2"))
    index.note_upload(row.version, "t2", "upload-7")
    assert index.current("a") is None
    known = {(i.kind, i.target, i.upload, i.owner, i.created) for i in index.unfinished(row.version)}
    assert known == {("intent", "t1", "", "h/b/1/2", NOW), ("intent", "t2", "upload-7", "h/b/1/2", NOW)}
    index.commit(row, condition=ANY, now=NOW)
    assert index.unfinished(row.version) == []


def test_a_replaced_version_is_doomed_and_forgotten_once_its_copies_are_gone(index):
    old, new = placement(targets=("t1", "t2")), placement()
    put(index, old)
    doomed = put(index, new)
    assert {(d.version, d.target, d.physical) for d in doomed} == {
        (old.version, c.target, c.physical) for c in old.copies
    }
    assert [v.version for v in index.versions("a")] == [new.version]
    index.failed(doomed[0], error="no answer", retry_at=NOW + timedelta(minutes=1))
    index.removed(doomed[1:])
    (left,) = index.leftovers()
    assert (left.target, left.attempts, left.error) == (doomed[0].target, 1, "no answer")
    assert index.leftovers(due=NOW) == []
    assert index.leftovers(due=NOW + timedelta(minutes=1)) == [left]
    index.removed([left])
    rows = sqlite3.connect(index.path)
    assert rows.execute("SELECT count(*) FROM version").fetchone() == (1,)
    rows.close()


def test_a_retained_version_stays_readable_until_its_time_is_over(index):
    old, new = placement(retain=timedelta(days=30)), placement()
    put(index, old)
    assert put(index, new) == []
    assert [(v.version, v.state) for v in index.versions("a")] == [
        (new.version, State.CURRENT),
        (old.version, State.RETAINED),
    ]
    assert index.expire(NOW + timedelta(days=29)) == 0
    assert index.expire(NOW + timedelta(days=30)) == 1
    assert [d.version for d in index.leftovers()] == [old.version]


def test_a_retained_object_survives_its_deletion(index):
    row = placement(retain=timedelta(days=1))
    put(index, row)
    assert index.remove("a", condition=ANY, now=NOW) == []
    assert index.current("a") is None
    assert [v.version for v in index.versions("a")] == [row.version]


@pytest.mark.parametrize("exists", [True, False])
def test_if_version_and_if_absent_are_judged_at_the_commit(index, exists):
    row = placement()
    if exists:
        put(index, row)
        with pytest.raises(AlreadyExists, match=row.version):
            put(index, placement(), Precondition(if_absent=True))
        with pytest.raises(Conflict, match=row.version):
            put(index, placement(), Precondition(if_version="other"))
        put(index, placement(), Precondition(if_version=row.version))
    else:
        with pytest.raises(Conflict, match="does not exist"):
            put(index, placement(), Precondition(if_version=row.version))
        put(index, row, Precondition(if_absent=True))


def test_a_refused_commit_changes_nothing(index):
    row, late = placement(), placement()
    put(index, row)
    with pytest.raises(AlreadyExists):
        put(index, late, Precondition(if_absent=True))
    assert index.current("a") == row
    assert [i.version for i in index.unfinished(late.version)] == [late.version]


def test_one_of_sixteen_writers_wins(index):
    rows = [placement() for _ in range(16)]

    def attempt(row):
        try:
            put(index, row, Precondition(if_absent=True))
        except AlreadyExists:
            return None
        return row.version

    with ThreadPoolExecutor(16) as pool:
        winners = [version for version in pool.map(attempt, rows) if version]
    assert winners == [index.current("a").version]


def test_a_move_takes_the_source_away_in_the_same_commit(index):
    source = placement("a")
    put(index, source)
    moved = placement("b")
    doomed = index.commit(moved, condition=ANY, source=("a", source.version), now=NOW)
    assert [d.version for d in doomed] == [source.version]
    assert index.current("a") is None
    assert index.current("b") == moved
    with pytest.raises(Conflict):
        index.commit(placement("c"), condition=ANY, source=("b", source.version), now=NOW)
    assert index.current("b") == moved
    assert index.current("c") is None


def test_deleting_what_is_not_there_says_so(index):
    with pytest.raises(NotFound, match="`a`"):
        index.remove("a", condition=ANY, now=NOW)


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(
    keys=st.sets(KEYS, max_size=12), prefix=st.text(st.characters(exclude_categories=["Cs"]), max_size=2), after=KEYS
)
def test_a_scan_yields_the_keys_of_a_prefix_in_byte_order(tmp_path_factory, keys, prefix, after):
    index = SqliteIndex(tmp_path_factory.mktemp("scan") / "state.db")
    for key in keys:
        put(index, placement(key))
    expected = sorted((k for k in keys if k.startswith(prefix) and k.encode() > after.encode()), key=str.encode)
    assert [row.key for row in index.scan(prefix, after=after)] == expected
    index.close()


def test_a_scan_goes_on_over_pages(index, monkeypatch):
    monkeypatch.setattr("sovbroker.placements.sqlite.PAGE", 3)
    for number in range(10):
        put(index, placement(f"k{number}"))
    assert [row.key for row in index.scan("k")] == [f"k{number}" for number in range(10)]


def test_the_file_is_private_and_opens_again(index):
    row = placement()
    put(index, row)
    assert stat.S_IMODE(index.path.stat().st_mode) == 0o600
    index.close()
    index.close()
    again = SqliteIndex(index.path)
    assert again.current("a") == row
    again.close()


def test_a_newer_schema_is_refused_and_left_as_it_is(index):
    index.close()
    handle = sqlite3.connect(index.path)
    handle.execute("PRAGMA user_version = 99")
    handle.close()
    with pytest.raises(StateError, match=r"schema 99.*upgrade sovbroker"):
        SqliteIndex(index.path)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "state.db").write_bytes(b"not a database, certainly" * 100)
    with pytest.raises(StateError, match=r"state\.db"):
        SqliteIndex(tmp_path / "state.db")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StateError, match="nowhere"):
        SqliteIndex(tmp_path / "nowhere" / "state.db")


def test_a_damaged_row_is_an_error_of_ours(index):
    put(index, placement())
    handle = sqlite3.connect(index.path)
    handle.execute("UPDATE version SET metadata = 'no json'")
    handle.commit()
    handle.close()
    with pytest.raises(StateError):
        index.current("a")


def test_a_full_disk_commits_nothing(index):
    put(index, placement())
    before = index.current("a")
    limit = index._connection().execute("PRAGMA page_count").fetchone()[0]
    index._connection().execute(f"PRAGMA max_page_count = {limit}")
    big = placement("b", decision={"x": "y" * 500_000})
    with pytest.raises(StateError, match=r"full.*nothing was committed"):
        put(index, big)
    assert index.current("a") == before


def test_a_child_of_a_fork_has_its_own_connection(index):
    put(index, placement())
    pid = os.fork()
    if pid == 0:
        try:
            put(index, placement("child"))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    put(index, placement("parent"))
    assert [row.key for row in index.scan()] == ["a", "child", "parent"]


def test_kill_9_between_any_two_statements_leaves_all_or_nothing(tmp_path):
    """A process that commits in a loop is killed; what it said was committed is there, and every row has its copies."""
    script = textwrap.dedent("""
        import sys
        from datetime import UTC, datetime
        from pathlib import Path
        from sovbroker.placements import *
        index, now, number = SqliteIndex(Path(sys.argv[1])), datetime(2026, 11, 24, tzinfo=UTC), int(sys.argv[2])
        while True:
            number += 1
            version = f"{number:024d}"
            key = f"k{number % 7}"
            copies = (CopyRow("t1", key, True), CopyRow("t2", key, True))
            index.begin([Intent(version, key, c.target, key, "o", now) for c in copies])
            index.commit(Placement(key, version, "l", 0, now, copies), condition=Precondition(), now=now)
            print(key, version, flush=True)
    """)
    path = tmp_path / "state.db"
    for lines in (1, 20, 57):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(lines * 10**6)], stdout=subprocess.PIPE, text=True
        )
        said = [child.stdout.readline().split() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0]
        said += [line.split() for line in rest.splitlines() if len(line.split()) == 2]
        index = SqliteIndex(path)
        last = dict(said)
        for key, version in last.items():
            row = index.current(key)
            assert row.version >= version
            assert len(row.copies) == 2
        assert len({item.version for item in index.leftovers() if item.kind == "intent"}) <= 3
        index.close()


def test_versions_sort_by_time():
    stamps = [NOW + timedelta(milliseconds=step) for step in range(50)]
    versions = [new_version(stamp) for stamp in stamps]
    assert versions == sorted(versions)
    assert len({new_version(NOW) for _ in range(1000)}) == 1000
    assert all(len(version) == 24 for version in versions)


def test_a_version_sorts_behind_the_one_that_it_replaces_whatever_the_clock_says():
    version = ""
    for step in (0, 0, -5000, 3, -(10**6), 7):
        later = new_version(NOW + timedelta(milliseconds=step), after=version)
        assert later > version
        assert len(later) == 24
        version = later


def test_what_is_under_an_older_key_is_found_page_by_page(index, monkeypatch):
    monkeypatch.setattr("sovbroker.placements.sqlite.PAGE", 2)
    rows = [placement(f"k{number}", domain="d", record=f"1~old{number % 2}~r") for number in range(5)]
    others = [
        placement("new", domain="d", record="1~kid~r"),
        placement("like", domain="d", record="1~kid-~r"),
        placement("clear", domain="", record=""),
        placement("elsewhere", domain="e", record="1~old~r"),
    ]
    for row in (*rows, *others):
        put(index, row)
    gone = placement("k0", domain="d", record="1~kid~r")
    put(index, gone)
    found = list(index.outdated("d", current="1~kid~"))
    assert [row.key for row in found] == ["k1", "k2", "k3", "k4", "like"]
    assert found[0] == index.current("k1")
    assert index.count_outdated("d", current="1~kid~") == 5
    assert index.count_outdated("e", current="1~kid~") == 1
    assert index.count_outdated("f", current="1~kid~") == 0


def test_a_record_is_replaced_where_the_row_is_as_it_was(index):
    kept = placement("kept", retain=timedelta(days=1))
    rows = [placement(name, domain="d", record="1~a~r") for name in ("one", "two", "three")]
    for row in (*rows, dataclasses.replace(kept, domain="d", record="1~a~r")):
        put(index, row)
    put(index, placement("kept"))
    retained = index.versions("kept")[1]
    assert index.remove("two", condition=ANY, now=NOW)
    changed = dataclasses.replace(rows[2], record="1~x~r")
    changes = [(rows[0], "1~b~r"), (rows[1], "1~b~r"), (changed, "1~b~r"), (retained, "1~b~r")]
    assert index.replace_records(changes) == [True, False, False, True]
    assert index.current("one") == dataclasses.replace(rows[0], record="1~b~r")
    assert index.current("three") == rows[2]
    assert index.versions("kept")[1].record == "1~b~r"
    assert index.replace_records([]) == []
