"""Exit codes and messages: each code is provoked, for people and as JSON."""

import json
import logging

import pytest

from sovbroker import errors
from sovbroker.cli.failures import Exit, code_of, facts_of, message_of


class Decision:
    def to_dict(self):
        return {"allowed": False}

    def __str__(self):
        return "refused: because"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Refused(Decision()), 3),
        (errors.NotFound("gone"), 4),
        (errors.Tampered(), 5),
        (errors.UnknownFormat("new"), 5),
        (errors.ConfigError("no"), 2),
        (errors.InvalidArgument("no"), 2),
        (errors.PolicyError(()), 2),
        (errors.KeyUnavailable("locked"), 1),
        (errors.SealError("not sent"), 1),
        (errors.Unavailable("down"), 1),
        (errors.AlreadyExists("there"), 1),
        (errors.Conflict("other"), 1),
        (errors.PermissionDenied("no"), 1),
        (errors.NoCapacity("full"), 1),
        (errors.NotSupported("no"), 1),
        (errors.StateError("broken"), 1),
        (OSError(28, "No space left on device"), 1),
        (KeyError("x"), 1),
    ],
)
def test_codes(error, code):
    assert code_of(error) == code
    assert json.loads(json.dumps(facts_of(error)))["error"] == type(error).__name__


def test_every_error_has_a_code_of_its_own_choosing():
    assert {code_of(KeyError()), *Exit} >= {Exit.FAILURE, Exit.USAGE}


def test_what_is_not_ours_is_named():
    assert message_of(KeyError("x")).startswith("KeyError: 'x'; this is a mistake in sovbroker")
    assert message_of(OSError(28, "No space left on device", "f")) == "`f`: No space left on device"


def damage(home):
    (body,) = [path for path in (home / "objects").rglob("*") if path.is_file() and path.stat().st_size > 20_000]
    data = bytearray(body.read_bytes())
    data[18_000] ^= 1
    body.write_bytes(data)


def test_2_usage(run, home):
    for arguments, word in ((["put", "x"], "`KEY`"), (["put", "x", "y", "--lable", "z"], "--lable"), (["pit"], "pit")):
        result = run(*arguments)
        assert (result.code, result.out) == (2, "")
        assert word in result.err
        assert "--help" in result.err
        assert result.err.count("\n") == 1


def test_2_nothing_asked(run, home):
    result = run()
    assert result.code == 2
    assert "Usage" in result.out + result.err


def test_2_configuration(run, home):
    assert "`nope.yaml`" in run("--config", "nope.yaml", "ls").err
    (home / "sovbroker.yaml").write_text("sovbroker: 1\ntargts: []\n")
    result = run("ls")
    assert result.code == 2
    assert result.err.startswith("error[SF")
    assert "did you mean `targets`" in result.err


def test_2_policy(run, home):
    (home / "policy.yaml").write_text((home / "policy.yaml").read_text().replace("zones:", "zoness:"))
    result = run("ls")
    assert result.code == 2
    assert result.err.startswith("error[SB")
    told = json.loads(run("ls", "--json").err)
    assert told["error"] == "PolicyError"
    assert told["diagnostics"][0]["line"] > 0


def test_2_bad_words(run, home):
    for arguments in (
        ["put", "-", "k", "--label", "secrt"],
        ["put", "-", "a//b"],
        ["put", "-", "k", "--meta", "nothing"],
        ["put", "-", "k", "--meta", "=x"],
        ["put", "nofile", "k"],
        ["put", ".", "k"],
        ["get", "k", "-o", "no/such/folder/x"],
        ["explain", "k", "--operation", "putt"],
        ["catalogue", "show", "outscal"],
    ):
        result = run(*arguments)
        assert (result.code, result.out) == (2, ""), arguments
        assert result.err.startswith("error: "), arguments


def test_3_refused(run, home):
    result = run("put", "-", "internal/x", "--label", "secret", stdin=b"x")
    assert (result.code, result.out) == (3, "")
    assert "local" in result.err
    told = json.loads(run("put", "-", "internal/x", "--label", "secret", "--json", stdin=b"x").err)
    assert told["error"] == "Refused"
    assert list(told["decision"]["rejected"]) == ["local"]


@pytest.mark.parametrize(
    "arguments", [["get", "k"], ["stat", "k"], ["versions", "k"], ["rm", "k"], ["cp", "k", "l"], ["mv", "k", "l"]]
)
def test_4_not_found(run, home, arguments):
    result = run(*arguments)
    assert (result.code, result.out) == (4, "")
    assert "`k`" in result.err
    told = json.loads(run(*arguments, "--json").err.splitlines()[0])
    assert (told["error"], told["key"]) == ("NotFound", "k")


def test_5_integrity(run, done, home):
    data = bytes(40_000)
    done("put", "-", "k", stdin=data)
    damage(home)
    (home / "out").write_bytes(b"old")
    result = run("get", "k", "-o", "out")
    assert result.code == 5
    assert "not what was sealed" in result.err
    assert (home / "out").read_bytes() == b"old"
    assert not [path for path in home.iterdir() if path.name.endswith(".part")]
    result = run("get", "k")
    assert result.code == 5
    assert len(result.raw) < len(data)
    told = [json.loads(line) for line in run("get", "k", "--json").err.splitlines()]
    assert "warning" in told[0]
    assert told[-1]["error"] == "Tampered"


def test_1_wrong_passphrase(run, home, monkeypatch):
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", "another one")
    result = run("put", "-", "internal/x", stdin=b"x")
    assert result.code == 1
    assert "wrong passphrase" in result.err
    assert "another one" not in result.err


def test_no_traceback_but_for_debug(run, home, monkeypatch):
    def broken(*_args, **_more):
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr("sovbroker.broker.Broker.list", broken)
    result = run("ls")
    assert result.code == 1
    assert result.err == message_of_zero()
    result = run("ls", "--debug")
    assert result.code == 1
    assert "Traceback" in result.err
    assert message_of_zero() in result.err


def message_of_zero():
    return f"error: {message_of(ZeroDivisionError('by chance'))}\n"


def test_logging_is_as_it_was(run, home):
    own = logging.getLogger("sovbroker")
    before = (list(own.handlers), own.level)
    run("ls", "--debug")
    assert (list(own.handlers), own.level) == before


def test_options_stand_before_or_after(done, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert json.loads(done("--config", home, "--json", "ls")) == []
    assert json.loads(done("ls", "--config", home / "sovbroker.yaml", "--json")) == []
    monkeypatch.setenv("SOVBROKER_CONFIG", str(home))
    assert done("ls") == ""
