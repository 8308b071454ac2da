"""A whole life of a broker with every kind of key, and every failure, in one process that logs all it can.

    python life.py HOME NEEDLES < what it needs to know, as JSON

What it does is in HOME, save what it was given; the secrets that it had go to NEEDLES.
"""

import json
import logging
import os
import pickle
import sys
import traceback
from pathlib import Path

import hooks

import sovbroker
from sovbroker.config import load_config
from sovbroker.envelope import Opener, OpeningReader, Sealer, SealingReader, new_dek
from sovbroker.errors import SovbrokerError
from sovbroker.keys import Keyring, PassphraseService, RecoveryService
from sovbroker.recipients import create_keyring, open_recipient
from sovbroker.transfer import outgoing

HOME, NEEDLES = Path(sys.argv[1]), Path(sys.argv[2])
GIVEN = json.load(sys.stdin)
POLICY = """
sovbroker: 1
levels: [internal, secret]
default: secret
zones: {anywhere: {}, here: {provider: [local]}}
require:
  internal: {store: {anywhere: {encrypt: client}}}
  secret: {store: {anywhere: {encrypt: client, names: encrypt}}, copies: {count: 2, distinct: [provider]}}
prefer: [here, zone]
classify: [{id: int, path: "internal/**", label: internal}]
"""
LARGE = (5 << 20) + 7

failures = []
say = print


def fails(call, *kinds):
    """Call what has to fail, and print what a program prints of it."""
    try:
        call()
    except (*kinds, SovbrokerError) as error:
        failures.append(error)
        traceback.print_exc()
        say(repr(error), str(error), error.args, vars(error) if hasattr(error, "__dict__") else "")
        logging.getLogger("life").exception("it failed")
        return error
    raise SystemExit(f"{call} did not fail")


def frames(error):
    """Yield whose each frame is that an error has passed, and what the values of its local variables are."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame, line in traceback.walk_tb(error.__traceback__):
            name = frame.f_globals.get("__name__", "")
            whose = "ours" if name.split(".")[0] == "sovbroker" else "others"
            yield whose, f"{name}:{line} {frame.f_locals!r}"
        error = error.__cause__ or error.__context__


def try_to_pickle(*things):
    for thing in things:
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            try:
                data = pickle.dumps(thing, protocol)
            except (TypeError, pickle.PicklingError, AttributeError) as error:
                say(error)
            else:
                (HOME / f"pickle-{type(thing).__name__}-{protocol}").write_bytes(data)
        say(repr(thing), f"{thing}", f"{thing!s:.200}", [thing], {"it": thing})


def use(broker):
    for key in ("internal/a", "secret/é/b"):
        for size in (0, 9, 70_000, LARGE):
            data = os.urandom(size)
            broker.put(key, data, metadata={"patient": "x" * 3000}, content_type="text/plain")
            assert broker.read(key) == data
            if size > 9:
                assert broker.read(key, range=(3, 40_000)) == data[3:40_001]
    with broker.writer("internal/w") as file:
        file.write(os.urandom(30_000))
        try_to_pickle(file)
    with broker.get("internal/w") as file:
        try_to_pickle(file, file.raw)
        file.read(10)
    broker.copy("internal/a", "secret/copied")
    broker.move("secret/copied", "secret/moved")
    broker.relabel("internal/w", "secret")
    ring = broker.keys.keyring("main")
    for name, status in broker.keys.status().items():
        say(name, status)
    ring.rotate("main")
    broker.put("secret/later", b"later" * 100)
    assert broker.read("secret/é/b")
    say(broker.stat("secret/later"), broker.explain("secret/x"), list(broker.list()), broker.leftovers())
    ticket = broker.exit_ticket("secret/later", reveal_key=True)
    say(repr(ticket), ticket)
    say(broker.shred("internal/a"), broker.sweep())
    key = ring.domain("main")
    dek = new_dek()
    sealer = Sealer(dek, b"context")
    body = sealer.seal(b"x" * 100)
    opener = Opener(dek, b"context", sealer.head)
    reader = SealingReader(file, sealer)
    opening = OpeningReader(file, lambda head: opener)
    try_to_pickle(broker, broker.keys, ring, key, key.names(), dek, sealer, opener, reader, opening, broker._flow)
    wrapped = key.wrap_dek(dek)
    fails(lambda: key.unwrap_dek(wrapped[:-4] + "AAAA"))
    fails(lambda: key.unwrap_dek("x" + wrapped))
    fails(lambda: Opener(dek, b"another", sealer.head))
    fails(lambda: Opener(dek, b"context", sealer.head).open(body[:-1] + b"x"))
    fails(lambda: sealer.seal(b"again"))
    fails(lambda: ring.by_kid("no-such-kid"))
    fails(lambda: key.names().decrypt("0" * 40))


def harm(broker, folder):
    """Break what is stored here, and read it: one object has no other copy, the others are healed, and logged."""
    broker.put("internal/harmed", bytes(200_000))
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size > 300:
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
    fails(lambda: broker.read("internal/harmed"))
    say(len(broker.read("secret/moved")), len(broker.read("secret/later")))


def fail(config, code):
    """Use each recipient, and have everything fail that can."""
    # Each recipient by itself, in pairs: the quorum is two.
    services = [open_recipient(one) for one in config.recipients] + [RecoveryService(code)]
    for one, two in zip(services, services[1:] + services[:1], strict=True):
        with Keyring.open(config.path, [one, two]) as ring:
            assert ring.domain("main").kid
        try_to_pickle(one)
        wrapped = one.wrap(os.urandom(32), b"context")
        fails(lambda one=one, wrapped=wrapped: one.unwrap(wrapped, b"another"))
        fails(lambda one=one, wrapped=wrapped: one.unwrap(wrapped[:-1], b"context"))
        fails(lambda one=one: Keyring.open(config.path, [one]))
    fails(lambda: Keyring.open(config.path, [PassphraseService(GIVEN["wrong"]), services[1]]))
    forged = HOME / "forged.json"
    document = json.loads(config.path.read_text())
    forged.write_text(json.dumps({**document, "mac": "0" * 64}))
    forged.chmod(0o600)
    fails(lambda: Keyring.open(forged, services))
    fails(lambda: RecoveryService(code[:-1] + ("A" if code[-1] != "A" else "B")))
    for name, config_of in GIVEN["broken"].items():
        broken = HOME / f"{name}.yaml"
        broken.write_text(config_of)
        (bad,) = load_config(broken).keys
        services_of = {one.name: one for one in bad.recipients}
        lacking = open_recipient(services_of[name])
        fails(lambda one=lacking: one.wrap(os.urandom(32), b"context"))
        with Keyring.open(
            config.path, [*(one for one in services if one.name not in {name, "recovery"}), lacking]
        ) as ring:
            fails(lambda ring=ring: ring.rotate("main"))
    with Keyring.open(config.path, services) as ring:
        (HOME / ".keyring.json.new").mkdir()
        fails(lambda ring=ring: ring.rotate("main"))
        (HOME / ".keyring.json.new").rmdir()


def main():
    hooks.watch()
    outgoing.PART = outgoing.SMALL = 5 << 20
    (HOME / "policy.yaml").write_text(POLICY)
    (HOME / "objects").mkdir()
    file = HOME / "sovbroker.yaml"
    file.write_text(GIVEN["config"])
    (config,) = load_config(file).keys
    code = create_keyring(config)
    for text in (code, code.replace("-", ""), *GIVEN["secrets"]):
        hooks.keep("credential", text)
    with sovbroker.open(file) as broker:
        use(broker)
        harm(broker, HOME / "objects")
    fail(config, code)
    with sovbroker.open(file) as broker:
        say(broker.stat("secret/later"))
    for state in HOME.glob("state.db*"):
        state.rename(HOME / f"before-{state.name}")
    with sovbroker.open(file) as broker:
        say(broker.reindex())
        broker.keys.keyring("main").shred("main")
        fails(lambda: broker.read(next(iter(broker.list())).key), StopIteration)
    (HOME / "with-locals").mkdir()
    for number, error in enumerate(failures):
        for place, text in frames(error):
            with (HOME / "with-locals" / place).open("a") as out:
                say(number, text, file=out)
    if GIVEN["betray"]:
        logging.getLogger("life").debug("the key is %s", new_dek().reveal())
    NEEDLES.write_text(json.dumps([[sorted(kinds), data.hex()] for data, kinds in hooks.found.items()]))


logging.basicConfig(filename=HOME / "log", level=logging.DEBUG, format="%(name)s %(message)s %(args)s")
logging.captureWarnings(capture=True)
main()
