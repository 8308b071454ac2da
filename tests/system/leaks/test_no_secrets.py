"""No key, passphrase or data key in what a process leaves behind: logs, prints, tracebacks, files, pickles."""

import base64
import importlib.util
import json
import os
import subprocess
import sys
import urllib.parse
import zlib
from pathlib import Path

import pytest

from sovbroker.keys import new_escrow
from sovbroker.testing.openbao import openbao

HERE = Path(__file__).parent
PASSPHRASE = "mot de passe: Zoë & l'été 2026"
AWS_SECRET = "q7/Zp+made-up-secret-key-of-a-test-0123"
STORE_SECRET = "made-up/secret+of-the-store-456789"

CONFIG = """
sovbroker: 1
policy: policy.yaml
keys:
  main:
    path: keyring.json
    quorum: 2
    recipients:
      passphrase: {service: file, passphrase: {env: THE_PASSPHRASE}, located: FR, controlled: FR}
      kms:
        service: aws-kms
        key: "%(kms)s"
        endpoint: "%(kms_url)s"
        region: eu-west-3
        credentials: {access_key: {env: THE_ACCESS_KEY}, secret_key: {env: THE_SECRET_KEY}}
      bao:
        service: vault
        key: sovbroker
        endpoint: "%(bao_url)s"
        credentials: {token: {env: BAO_TOKEN}}
      escrow: {service: escrow, private: {file: %(escrow)s}}
%(more)s
targets:
  - {at: local, path: objects, located: FR, controlled: FR}
  - at: ovhcloud/gra
    bucket: %(bucket)s
    endpoint: "%(store_url)s"
    emulated: true
    credentials: {access_key: {env: THE_ACCESS_KEY}, secret_key: {env: THE_STORE_KEY}}
"""


def load_search():
    spec = importlib.util.spec_from_file_location("leaks_search", HERE / "search.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


search = load_search()


@pytest.fixture(scope="module")
def bao():
    with openbao() as server:
        server.make_key("sovbroker")
        yield server


class Life:
    """What is needed to live once, and what is left afterwards."""

    def __init__(self, folder, words, environment, secrets):
        self.home, self.given = folder / "home", folder / "given"
        self.home.mkdir()
        self.temporary = self.home / "tmp"
        self.temporary.mkdir()
        self._words, self._environment, self._secrets = words, environment, secrets

    def live(self, *, betray=False):
        """Live; return the heap of what is left, by name, and the true secrets with their kinds."""
        words = self._words
        given = {
            "config": CONFIG % words,
            "secrets": self._secrets,
            "wrong": "a wrong one, Zoë",
            "betray": betray,
            "broken": {
                "kms": CONFIG % {**words, "kms": "alias/no-such-key"},
                "bao": CONFIG % {**words, "bao_url": "http://127.0.0.1:9"},
            },
        }
        needles = self.given / "needles"
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "default", HERE / "life.py", self.home, needles],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            env={
                **{name: os.environ[name] for name in ("PATH", "LANG", "SOFTHSM2_CONF") if name in os.environ},
                **self._environment,
                "TMPDIR": str(self.temporary),
                "HOME": str(self.home),
                "PYTHONPATH": str(HERE),
            },
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        left = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
        left |= {str(file.relative_to(self.home)): file.read_bytes() for file in self.home.rglob("*") if file.is_file()}
        found = [(tuple(kinds), bytes.fromhex(data)) for kinds, data in json.loads(needles.read_text())]
        return left, found


@pytest.fixture
def life(tmp_path, bao, moto, kms_keys, bucket):
    given = tmp_path / "given"
    given.mkdir()
    private, _ = new_escrow()
    (given / "escrow").write_text(private)
    (given / "escrow").chmod(0o600)
    moto.create_bucket(bucket)
    token = bao.make_token("sovbroker")
    words = {
        "kms": kms_keys.create_key()["KeyMetadata"]["KeyId"],
        "kms_url": moto.url,
        "bao_url": bao.url,
        "store_url": moto.url,
        "bucket": bucket,
        "escrow": given / "escrow",
        "more": "",
    }
    environment = {
        "THE_PASSPHRASE": PASSPHRASE,
        "THE_ACCESS_KEY": moto.access_key,
        "THE_SECRET_KEY": AWS_SECRET,
        "THE_STORE_KEY": STORE_SECRET,
        "BAO_TOKEN": token,
    }
    secrets = [PASSPHRASE, AWS_SECRET, STORE_SECRET, token, private, private.split()[-1]]
    return Life(tmp_path, words, environment, secrets)


def leaks(left, needles):
    """Return what is found of which secret where."""
    heaps = {name: search.Heap(data) for name, data in left.items()}
    return sorted(
        {
            (name, kind, *heap.saw(secret))
            for name, heap in heaps.items()
            for kind, secret in needles
            if heap.saw(secret)
        }
    )


def test_nothing_is_left_of_any_secret(life):
    left, needles = life.live()
    kinds = {kind for several, _ in needles for kind in several}
    assert kinds >= {"secret", "derived key", "content key", "recovery code", "credential", "escrow"}
    assert kinds >= {
        f"given by {name}"
        for name in ("PassphraseService", "EscrowService", "RecoveryService", "VaultService", "KmsService")
    }
    assert len(needles) > 80
    assert {"log", "stdout", "stderr", "keyring.json", "with-locals/ours", "with-locals/others"} <= left.keys()
    assert b"botocore" in left["log"]
    assert left["stderr"].count(b"Traceback") > 15
    assert any(name.startswith("before-state.db") for name in left)
    # What frames of SDKs and of the caller hold is theirs; a traceback as Python writes it shows none of it.
    assert leaks({"others": left.pop("with-locals/others")}, needles)
    assert leaks(left, needles) == []


def test_a_key_that_is_logged_is_found(life):
    """The control, in a whole life: one line of a log, at the lowest level."""
    left, needles = life.live(betray=True)
    assert leaks({"log": left["log"]}, needles) == [("log", ("secret",), "escaped")]


SECRET = bytes([0, 7, 39, 34, 92, 128, 200, 255, 254, 43, 47, 63, 61, 9, 10, 13]) + bytes(range(0, 160, 10))
TEXT = 'mot de passe: Zoë "x" / 100 %'.encode()
NOISE = bytes(range(256)) * 9
ENCODINGS = {
    "raw": lambda s: s,
    "hex": lambda s: s.hex().encode(),
    "HEX": lambda s: s.hex().upper().encode(),
    "hex with colons": lambda s: s.hex(":").encode(),
    **{f"base64 at {n}": lambda s, n=n: base64.b64encode(b"aaa"[:n] + s + b"zz") for n in range(3)},
    **{f"base64url at {n}": lambda s, n=n: base64.urlsafe_b64encode(b"aaa"[:n] + s + b"zz") for n in range(3)},
    "base64 without padding": lambda s: base64.b64encode(s).rstrip(b"="),
    "base64url without padding": lambda s: base64.urlsafe_b64encode(s).rstrip(b"="),
    "base64 in lines": lambda s: base64.encodebytes(NOISE + s + NOISE),
    **{f"base32 at {n}": lambda s, n=n: base64.b32encode(b"aaaaa"[:n] + s + b"zz") for n in range(5)},
    "base32 in lower case": lambda s: base64.b32encode(s).lower().rstrip(b"="),
    "base32hex": lambda s: base64.b32hexencode(b"a" + s),
    "percent": lambda s: urllib.parse.quote(s, safe="").encode(),
    "percent, slashes kept": lambda s: urllib.parse.quote(s).encode(),
    "percent, every byte": lambda s: "".join(f"%{byte:02x}" for byte in s).encode(),
    "repr": lambda s: repr(s).encode(),
    "repr of more": lambda s: repr(b"before" + s + b"after").encode(),
    "repr of a bytearray": lambda s: repr(bytearray(s)).encode(),
    "repr of a repr": lambda s: repr(repr(s)).encode(),
    "JSON": lambda s: json.dumps(s.decode("latin-1")).encode(),
    "text": lambda s: s.decode("latin-1").encode(),
    "list": lambda s: repr(list(s)).encode(),
    "compact list": lambda s: json.dumps(list(s), separators=(",", ":")).encode(),
    "hex list": lambda s: ", ".join(f"0x{byte:02X}" for byte in s).encode(),
    "int": lambda s: str(int.from_bytes(s, "big")).encode(),
    "zlib": lambda s: zlib.compress(NOISE + s + NOISE),
}


@pytest.mark.parametrize("how", ENCODINGS)
@pytest.mark.parametrize("secret", [SECRET, TEXT], ids=["bytes", "text"])
def test_the_search_finds_every_spelling(how, secret):
    planted = ENCODINGS[how](secret)
    assert search.Heap(NOISE + b" " + planted + b" " + NOISE).saw(secret)
    assert search.Heap(NOISE).saw(secret) == []


def test_the_search_finds_a_whole_key_only():
    """Neither a part of it nor one that is alike."""
    almost = SECRET[:-1] + b"\0"
    for encode in ENCODINGS.values():
        assert search.Heap(encode(almost)).saw(SECRET) == []
