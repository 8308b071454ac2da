"""The commands on objects, run in this process on one local target."""

import json
import os
import stat
from contextlib import nullcontext

import pytest

from sovbroker.cli.reading import bounds_of
from sovbroker.errors import InvalidArgument


def stored(home):
    return [path for path in (home / "objects").rglob("*") if path.is_file() and path.name != "lock"]


@pytest.mark.parametrize("size", [0, 1, 16384, 3_000_001])
@pytest.mark.parametrize("key", ["public/x", "internal/x"])
def test_what_is_put_is_got(home, run, done, size, key):
    data = os.urandom(size)
    (home / "in").write_bytes(data)
    done("put", "in", key)
    assert run("get", key).raw == data
    assert done("get", key, "-o", "out") == ""
    assert (home / "out").read_bytes() == data
    done("put", "-", "copy/of", stdin=data)
    assert run("get", "copy/of", "-o", "-").raw == data


def test_put_tells_what_it_did(home, run, done):
    (home / "in").write_bytes(b"x" * 1536)
    assert done("put", "in", "internal/x") == "internal/x  1.5 KiB  internal  local (sealed)\n"
    told = json.loads(
        done("put", "in", "public/x", "--json", "--meta", "author=me", "--meta", "a=b=c", "--content-type", "text/x")
    )
    assert told["copies"] == [{"target": "local", "mode": "clear"}]
    assert told["decision"]["allowed"] is True
    known = json.loads(done("stat", "public/x", "--json"))
    assert (known["metadata"], known["content_type"]) == ({"author": "me", "a": "b=c"}, "text/x")
    assert known["version"] == told["version"]


def test_conditions(home, run, done):
    version = json.loads(done("--json", "put", "-", "k", stdin=b"1"))["version"]
    taken = run("put", "-", "k", "--if-absent", stdin=b"2")
    assert (taken.code, taken.out) == (1, "")
    assert "`k` exists" in taken.err
    done("put", "-", "k", "--if-version", version, stdin=b"2")
    assert run("put", "-", "k", "--if-version", version, stdin=b"3").code == 1
    assert done("get", "k") == "2"


def test_a_folder_gets_the_last_segment_of_the_key(home, done):
    done("put", "-", "a/b.txt", stdin=b"hello")
    (home / "down").mkdir()
    done("get", "a/b.txt", "-o", "down")
    assert (home / "down/b.txt").read_bytes() == b"hello"


@pytest.mark.parametrize("key", ["public/x", "internal/x"])
def test_ranges(home, run, done, key):
    done("put", "-", key, stdin=b"0123456789")
    for text, expected in {"0-3": b"0123", "4-": b"456789", "-3": b"789", "8-99": b"89", "-99": b"0123456789"}.items():
        assert run("get", key, "--range", text).raw == expected


@pytest.mark.parametrize("text", ["5-2", "10-", "10-11", "-0", "a-b", "-", "", "1", "1-2-3", "²-3"])
def test_ranges_that_hold_nothing(text):
    with pytest.raises(InvalidArgument):
        bounds_of(text, size=10)


def test_a_range_of_nothing():
    with pytest.raises(InvalidArgument):
        bounds_of("-1", size=0)


def test_a_long_range_is_streamed(home, run, done, monkeypatch):
    monkeypatch.setattr("sovbroker.cli.reading.IN_ONE_REQUEST", 1000)
    data = os.urandom(2_500_000)
    done("put", "-", "k", stdin=data)
    assert run("get", "k", "--range", "17-2400000").raw == data[17:2400001]
    assert run("get", "k", "--range", "-1001").raw == data[-1001:]


def fill(done):
    for key in ("hr/b", "hr/a", "hr/old/c", "hrx", "z é"):
        done("put", "-", key, stdin=b"x")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["hr/", "hrx", "z é"]),
        (["hr"], ["hr/", "hrx"]),
        (["hr/"], ["hr/a", "hr/b", "hr/old/"]),
        (["-r"], ["hr/a", "hr/b", "hr/old/c", "hrx", "z é"]),
        (["hr/", "-r"], ["hr/a", "hr/b", "hr/old/c"]),
        (["nothing/"], []),
    ],
)
def test_ls(home, done, arguments, expected):
    fill(done)
    assert done("ls", *arguments).splitlines() == expected
    listed = json.loads(done("ls", "--json", *arguments))
    assert [item.get("key", item.get("prefix")) for item in listed] == expected


def test_ls_long_is_aligned(home, done):
    fill(done)
    done("put", "-", "z", stdin=b"x" * 12345)
    lines = done("ls", "-l").splitlines()
    assert [line.split()[1] for line in lines] == ["-", "1", "12345", "1"]
    assert len({line.index(key) for line, key in zip(lines, ("hr/", "hrx", "z", "z é"), strict=True)}) == 1


def test_stat_and_versions(home, done):
    done("put", "-", "k", "--meta", "colour=\x1b[31mred\x9b", stdin=b"x")
    shown = done("stat", "k")
    assert "colour=\\x1b[31mred\\x9b" in shown
    assert "internal" in shown
    assert json.loads(done("versions", "k", "--json"))[0]["current"] is True
    assert " current " in done("versions", "k")


def test_cp_mv_relabel(home, run, done):
    done("put", "-", "public/a", stdin=b"x")
    done("cp", "public/a", "public/b")
    done("mv", "public/b", "public/c", "--label", "internal")
    assert done("ls", "public/").split() == ["public/a", "public/c"]
    assert json.loads(done("stat", "public/c", "--json"))["label"] == "internal"
    assert "(sealed)" in done("relabel", "public/a", "internal")
    lowered = run("relabel", "public/a", "public")
    assert lowered.code == 2
    assert "would lower it" in lowered.err


def test_rm_goes_on(home, run, done):
    done("put", "-", "a", stdin=b"x")
    done("put", "-", "b", stdin=b"x")
    result = run("rm", "a", "nope", "b")
    assert (result.code, result.out) == (4, "removed a\nremoved b\n")
    assert result.err.count("\n") == 1
    assert "`nope`" in result.err
    assert done("ls") == ""
    assert stored(home) == []
    result = run("rm", "nope", "a//b", "--json")
    assert (result.code, json.loads(result.out)) == (1, {"removed": [], "failed": ["nope", "a//b"]})
    assert [json.loads(line)["error"] for line in result.err.splitlines()] == ["NotFound", "InvalidArgument"]


def test_explain(home, done):
    said = done("explain", "internal/x", "--label", "secret")
    assert "refused" in said
    assert "local" in said
    decision = json.loads(done("explain", "internal/x", "--label", "secret", "--json"))
    assert decision["allowed"] is False
    assert list(decision["rejected"]) == ["local"]
    assert "allowed" in done("explain", "public/x")


def test_export_asks(home, run, done):
    done("put", "-", "k", stdin=b"x")
    result = run("export", "k", "--ticket", "t.json", stdin=b"y\n")
    assert result.code == 2
    assert "--yes" in result.err
    assert not (home / "t.json").exists()
    done("export", "k", "--ticket", "t.json", "--yes")
    ticket = json.loads((home / "t.json").read_text())
    assert len(bytes.fromhex(ticket["dek"])) == 32
    assert stat.S_IMODE((home / "t.json").stat().st_mode) == 0o600
    assert run("export", "k", "--ticket", "t.json", "--yes").code == 2
    assert json.loads((home / "t.json").read_text()) == ticket
    assert json.loads(done("export", "k", "--ticket", "-", "--yes")) == ticket
    assert run("export", "nope", "--ticket", "n.json", "--yes").code == 4
    assert not (home / "n.json").exists()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1), ("yesterday", 1)])
def test_export_on_a_terminal(home, done, terminal, answer, code):
    done("put", "-", "k", stdin=b"x")
    ended, shown = terminal("export", "k", "--ticket", "t.json", typed=[answer])
    assert ended == code
    assert "[y/N]" in shown
    assert (home / "t.json").exists() is (code == 0)


def test_reindex(home, done, run):
    done("put", "-", "k", stdin=b"x")
    done("put", "-", "gone", stdin=b"y")
    for file in home.glob("state.db*"):
        file.unlink()
    assert done("reindex") == "2 objects have their row again, 0 had one\n"
    assert done("get", "k", "-o", "-") == "x"
    assert json.loads(done("reindex", "--json")) == {"rebuilt": 0, "known": 2, "odd": []}
    for file in (*home.glob("state.db*"), home / "keyring.json"):
        file.unlink()
    done("keys", "init")
    outcome = run("reindex")
    assert outcome.code == 1
    assert "0 objects have their row again, 0 had one" in outcome.out
    assert outcome.out.count("locked") == 2


def test_sweep(home, done, run, monkeypatch):
    assert done("sweep") == "removed 0, left 0\n"
    done("put", "-", "k", stdin=b"x")
    # What cannot be removed now is kept in mind.
    objects = home / "objects"
    objects.rename(home / "away")
    assert run("rm", "k").code == 0
    left = json.loads(done("sweep", "--json"))
    assert (left["removed"], [item["key"] for item in left["left"]]) == (0, ["k"])
    assert "at local" in done("sweep")


def test_binary_does_not_reach_a_terminal(home, done, terminal):
    done("put", "-", "k", stdin=b"\x00\x01")
    done("put", "-", "t", stdin=b"text")
    code, shown = terminal("get", "k")
    assert code == 2
    assert "-o FILE" in shown
    assert terminal("get", "t") == (0, "text")
    assert terminal("get", "k", "-o", "-") == (0, "\x00\x01")


def test_stopped_in_the_middle(home, run, done, monkeypatch):
    data = os.urandom(3 << 20)
    done("put", "-", "k", stdin=data)
    (home / "out").write_bytes(b"old")
    seen = []

    class Sink:
        def __init__(self, inner):
            self.inner = inner

        def write(self, piece):
            if seen:
                raise KeyboardInterrupt
            seen.append(self.inner.write(piece))

    from sovbroker.cli import reading  # noqa: PLC0415 - to put something in the way

    pump = reading.pump
    monkeypatch.setattr(reading, "pump", lambda file, sink, **more: pump(file, Sink(sink), **more))
    result = run("get", "k", "-o", "out")
    assert (result.code, bool(seen)) == (130, True)
    assert "stopped" in result.err
    assert (home / "out").read_bytes() == b"old"
    assert [path.name for path in home.iterdir() if "part" in path.name] == []


def test_a_source_that_fails_stores_nothing(home, run, done, monkeypatch):
    class Broken:
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("sovbroker.cli.writing.source_of", lambda file: nullcontext((Broken(), None)))
    result = run("put", "-", "k")
    assert (result.code, result.err) == (1, "error: Input/output error\n")
    assert done("ls") == ""
    assert stored(home) == []


def test_shred_has_to_be_meant(home, done, run):
    for number in range(3):
        assert run("put", "-", f"internal/{number}", stdin=b"body").code == 0
    refused = run("shred", "internal/0", "--prefix", "internal/")
    assert refused.code == 2
    assert "3 objects would be gone for good" in refused.err
    assert run("shred", "--yes").code == 2
    assert "gone from local" in done("shred", "internal/0", "--yes")
    told = json.loads(done("shred", "--prefix", "internal/", "--yes", "--json"))
    assert [one["key"] for one in told["destroyed"]] == ["internal/1", "internal/2"]
    assert [list(one["gone"]) for one in told["destroyed"]] == [["local"], ["local"]]
    assert run("shred", "internal/0", "--yes").code == 4
    assert done("ls") == ""
