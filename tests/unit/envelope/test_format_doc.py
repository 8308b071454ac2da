"""The documents are right: the script that opens an object without us, and the figures that they state."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sovbroker.envelope import Record, Sealer, new_dek, padded_size, padding, seal_metadata, sealed_size
from sovbroker.keys import DomainKey

DOCS = Path(__file__).parents[3] / "docs"
SCRIPT = re.search(r"```python\n(.*?)```", (DOCS / "format.md").read_text(encoding="utf-8"), re.DOTALL)[1]


@pytest.fixture
def run(tmp_path, dek, context):
    """Return a function: open a body in a process that cannot import sovbroker."""

    def opened(body, *, size, **changed):
        fields = {name: getattr(context, name) for name in ("domain", "key", "version", "label")}
        ticket = {**fields, "dek": dek.hex(), "size": size, **changed}
        (tmp_path / "ticket.json").write_text(json.dumps(ticket), encoding="utf-8")
        (tmp_path / "body").write_bytes(body)
        (tmp_path / "open.py").write_text(f"import sys; sys.modules['sovbroker'] = None\n{SCRIPT}", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-I", "open.py", "ticket.json", "body", "plain"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, (tmp_path / "plain").read_bytes()

    return opened


def test_the_script_has_eleven_lines():
    assert len(SCRIPT.strip().splitlines()) == 11


@pytest.mark.parametrize("size", [0, 1, 16384, 40000, 3 << 20])
def test_the_script_opens_what_was_sealed(size, run, dek, context, plain):
    done, found = run(Sealer(dek, context).seal(plain(size)), size=size)
    assert (done.returncode, done.stderr) == (0, "")
    assert found == plain(size)


@pytest.mark.parametrize("size", [0, 1, 16384, 40000, 3 << 20])
def test_the_script_cuts_off_padding(size, run, dek, context, plain):
    data = plain(size)
    behind = padding(size, first=0, count=padded_size(size) - size)
    done, found = run(Sealer(dek, context).seal(bytes(data) + behind), size=size)
    assert (done.returncode, done.stderr) == (0, "")
    assert found == data


def test_padding_is_what_the_document_says():
    (text,) = re.findall(r"```text\n(padded   = .*?)```", (DOCS / "format.md").read_text(encoding="utf-8"), re.DOTALL)
    assert "padded   = plaintext (n) || zeros || n (8)" in text
    assert "length   = Padmé(n + 8)" in text
    for n in (0, 1, 100, 16376, 16384, 10_000_000):
        length = n + 8
        e = next(e for e in range(64) if 2**e <= length < 2 ** (e + 1))
        step = 2 ** (e - len(f"{e:b}"))
        assert padded_size(n) == -(-length // step) * step
        behind = padding(n, first=0, count=padded_size(n) - n)
        assert behind == bytes(len(behind) - 8) + n.to_bytes(8, "big")


def test_the_script_refuses_what_was_not(run, dek, context, plain):
    body = Sealer(dek, context).seal(plain(100))
    done, found = run(body, size=100, label="public")
    assert done.returncode != 0
    assert "InvalidTag" in done.stderr
    assert found == b""
    done, found = run(body[:-1], size=100)
    assert done.returncode != 0


def test_the_figures_are_right(context):
    for n in (0, 16383, 16384, 1 << 20):
        assert sealed_size(n) == 56 + n + 16 * (n // 16384 + 1)
    dek = new_dek()
    key = DomainKey(new_dek(), domain="health", epoch=1, kid="uz3DR0W1Gire_J0l")

    def length(user):
        mapping = {"key": context.key, "size": 123456, "type": "application/json", "user": user}
        return len(Record(key.kid, key.wrap_dek(dek), bytes(56), seal_metadata(dek, context, mapping)).encode())

    assert 470 <= length({}) <= 570
    assert length({"a": "x" * 1100}) <= 2048 - len(Record.NAME) < length({"a": "x" * 1300})
