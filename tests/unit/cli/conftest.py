"""Installations to run commands in, and a way to run them in this process."""

from __future__ import annotations

import io
import os
import pty
import select
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from sovbroker.cli import main
from sovbroker.keys import Cost, Keyring, PassphraseService

PASSPHRASE = "a passphrase that the tests made up"
POLICY = """
sovbroker: 1
name: cli-tests
levels: [public, internal, secret]
default: internal
zones:
  here: {target: [local]}
  moon: {target: [aws/eu-west-3]}
require:
  public: {store: {here: {}}}
  internal: {store: {here: {encrypt: client}}}
  secret: {store: {moon: {encrypt: client}}, basis: "a law about the moon"}
classify:
  - {id: pub, path: "public/**", label: public}
  - {id: int, path: "internal/**", label: internal}
"""
CONFIG = """
sovbroker: 1
policy: policy.yaml
keys:
  main: {service: file, path: keyring.json, passphrase: {env: SOVBROKER_PASSPHRASE}, located: FR, controlled: [FR]}
targets:
  - {at: local, path: objects, located: FR, controlled: [FR]}
"""


@dataclass(frozen=True)
class Result:
    """What a command said."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """An installation with one local target. Its keyring is cheap to open, and has its domain already."""
    home = tmp_path_factory.mktemp("template")
    (home / "policy.yaml").write_text(POLICY)
    (home / "sovbroker.yaml").write_text(CONFIG)
    (home / "objects").mkdir(mode=0o700)
    service = PassphraseService(PASSPHRASE, cost=Cost(memory=8 << 10, passes=1, lanes=1))
    keyring, _ = Keyring.create(home / "keyring.json", service, recovery=True)
    keyring.domain("main")
    keyring.close()
    return home


@pytest.fixture
def home(template, tmp_path, monkeypatch):
    """A copy of the installation, which is the working directory, with the passphrase set."""
    home = tmp_path / "home"
    shutil.copytree(template, home)
    monkeypatch.chdir(home)
    monkeypatch.setenv("SOVBROKER_PASSPHRASE", PASSPHRASE)
    monkeypatch.delenv("SOVBROKER_CONFIG", raising=False)
    return home


@pytest.fixture
def run(capsysbinary, monkeypatch):
    """Run one command in this process."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        code = main([str(argument) for argument in arguments])
        raw, err = capsysbinary.readouterr()
        return Result(int(code), raw, err.decode())

    return run


@pytest.fixture
def done(run):
    """Run one command that must succeed and complain of nothing; return what it printed."""

    def done(*arguments, stdin=b""):
        result = run(*arguments, stdin=stdin)
        assert (result.code, result.err) == (0, "")
        return result.out

    return done


@pytest.fixture
def process(home):
    """Run one command in a process of its own; options go to subprocess.run."""

    def process(*arguments, **options):
        command = [sys.executable, "-m", "sovbroker", *map(str, arguments)]
        return subprocess.run(command, check=False, capture_output=True, timeout=120, **options)

    return process


@pytest.fixture
def terminal(home):
    """Run one command on a terminal; `typed` is what a person answers to each prompt that ends in `: ` or `] `."""

    def terminal(*arguments, typed=(), env=()):
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-m", "sovbroker", *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", **dict(env)},
        )
        os.close(theirs)
        shown, answers = b"", list(typed)
        try:
            while True:
                select.select([ours], [], [], 60)
                try:
                    piece = os.read(ours, 65536)
                except OSError:
                    break
                if not piece:
                    break
                shown += piece
                if answers and shown.endswith((b": ", b"] ")):
                    os.write(ours, answers.pop(0).encode() + b"\n")
        finally:
            os.close(ours)
            code = child.wait(60)
        return code, shown.decode()

    return terminal
