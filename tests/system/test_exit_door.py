"""The way out: the scripts of docs/format.md, with `cryptography` and nothing of ours, open every kind of object.

One makes a ticket of what a provider holds, the keyring file and its passphrase; the other opens a body with a ticket.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sovbroker.catalogue import load
from sovbroker.envelope import CHUNK
from sovbroker.testing.fakes import FakeCloud
from sovbroker.transfer.outgoing import PART, SMALL

DOCS = Path(__file__).parents[2] / "docs"
SCRIPTS = re.findall(r"<!-- run by \S+ -->\n```python\n(.*?)```", (DOCS / "format.md").read_text(), re.DOTALL)
OPEN = next(script for script in SCRIPTS if "Cobblestone256Decryptor" in script)
TICKET = next(script for script in SCRIPTS if "Argon2id" in script)
ALONE = "import sys; sys.modules['sovbroker'] = sys.modules['sovbroker_adapters'] = None\n"
PASSPHRASE = "a passphrase that the tests made up"
METADATA = {"patient": "Zoë Lefebvre"}


def run(folder, script, *words, said=""):
    """Run a script in a process that cannot import sovbroker; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE + script, *map(str, words)],
        input=said,
        cwd=folder,
        capture_output=True,
        text=True,
        env={},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def leave(clouds, tmp_path):
    """Return a function: leave with each copy of an object, by both ways; return the plaintext and the tickets."""

    def go(broker, key, *, version=None):
        given = broker.exit_ticket(key, version=version, reveal_key=True)
        plains, tickets = set(), []
        for place in given.places:
            folder = tmp_path / "outside"
            folder.mkdir(exist_ok=True)
            store, name = clouds.stores[place["target"]], place["name"]
            with store.get(name) as reader:
                (folder / "body").write_bytes(reader.read())
            with_sidecar = name + "~" in {info.key for page in store.list() for info in page.objects}
            if with_sidecar:
                with store.get(name + "~") as reader:
                    (folder / "sidecar").write_bytes(reader.read())
            entry = store.head(name).metadata.get("sovbroker")
            if entry is None:
                (folder / "entry").write_bytes((folder / "sidecar").read_bytes())
            else:
                (folder / "entry").write_text(entry)
            (folder / "given.json").write_text(given.to_json())
            words = (clouds.folder / "keyring.json", name, "entry", *(["sidecar"] if with_sidecar else []))
            made = run(folder, TICKET, *words, said=PASSPHRASE + "\n")
            (folder / "made.json").write_text(made)
            told = json.loads(made)
            for field in ("domain", "key", "version", "label", "dek"):
                assert told[field] == getattr(given, field)
            for ticket in ("made.json", "given.json"):
                run(folder, OPEN, ticket, "body", "plain")
                plains.add((folder / "plain").read_bytes())
            tickets.append(told)
        (plain,) = plains
        return plain, tickets

    return go


def test_the_scripts_name_nothing_of_ours_and_one_library():
    assert len(SCRIPTS) == 2
    # Ten, and one that cuts off what a policy pads.
    assert len(OPEN.strip().splitlines()) == 11
    for script in SCRIPTS:
        assert "import sovbroker" not in script
        roots = {word.split(".")[0] for word in re.findall(r"^from (\S+) import", script, re.MULTILINE)}
        assert roots == {"cryptography"}


SIZES = [0, 1, 300, CHUNK - 1, CHUNK, 5 * CHUNK + 7, SMALL + PART + 3]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["internal/a", "restricted/é/d'un dossier/b.json"])
def test_every_size_with_names_hidden_or_not(broker, clouds, leave, size, key):
    data = bytes(range(251)) * (size // 251 + 1)
    broker.put(key, data[:size], metadata=METADATA)
    assert not any("dossier" in name for _, name in clouds.held())
    plain, (told, *_) = leave(broker, key)
    assert plain == data[:size]
    assert told["metadata"] == METADATA
    assert told["size"] == size


def test_a_writer_of_unknown_size(broker, leave):
    with broker.writer("internal/a", metadata=METADATA) as file:
        file.write(b"part" * (SMALL // 2))
    plain, (told, *_) = leave(broker, "internal/a")
    assert plain == b"part" * (SMALL // 2)
    assert told["size"] is None
    broker.put("internal/b", iter([b"one", b"two"]))
    assert leave(broker, "internal/b")[0] == b"onetwo"


def test_metadata_in_a_sidecar(broker, leave, clouds):
    metadata = {f"entry-{n}": "x" * 100 for n in range(60)}
    broker.put("restricted/a", b"content", metadata=metadata)
    assert len(clouds.held()) == 4
    plain, (told, *_) = leave(broker, "restricted/a")
    assert plain == b"content"
    assert told["metadata"] == metadata


def test_a_store_without_metadata(clouds, leave):
    clouds.stores["outscale/eu-west-2"] = FakeCloud(load().target("outscale/eu-west-2"), adapter="webdav")
    broker = clouds.open()
    for key in ("confidential/a", "restricted/b"):
        broker.put(key, b"content" * 9000, metadata=METADATA)
        plain, tickets = leave(broker, key)
        assert plain == b"content" * 9000
        assert [told["metadata"] for told in tickets] == [METADATA] * 2
    assert sum(name.endswith("~") for _, name in clouds.held()) == 2


def test_both_copies_and_what_is_copied_moved_and_relabelled(broker, clouds, leave):
    broker.put("confidential/a", b"content" * 9000, metadata=METADATA)
    plain, tickets = leave(broker, "confidential/a")
    assert plain == b"content" * 9000
    assert len(tickets) == 2
    assert {target for target, _ in clouds.held()} == {"ovhcloud/gra", "outscale/eu-west-2"}
    broker.copy("confidential/a", "restricted/copied")
    assert leave(broker, "restricted/copied")[0] == b"content" * 9000
    broker.move("confidential/a", "restricted/moved")
    assert leave(broker, "restricted/moved")[0] == b"content" * 9000
    broker.put("internal/b", b"b")
    broker.relabel("internal/b", "restricted")
    assert leave(broker, "internal/b")[0] == b"b"


def test_before_and_after_new_epochs_and_a_new_passphrase(broker, clouds, leave):
    for epoch in (1, 2, 3):
        broker.put(f"restricted/{epoch}", b"epoch %d" % epoch)
        broker.keys.keyring("main").rotate("main")
    assert len({broker._flow.index.current(f"restricted/{epoch}").record.split("~")[1] for epoch in (1, 2, 3)}) == 3
    for epoch in (1, 2, 3):
        assert leave(broker, f"restricted/{epoch}")[0] == b"epoch %d" % epoch


def test_old_versions_and_rows_made_again(clouds, leave):
    clouds.write()
    policy = clouds.folder / "policy.yaml"
    policy.write_text(policy.read_text().replace("restricted: {store", "restricted: {retain: {min: 30d}, store"))
    broker = clouds.open()
    old = broker.put("restricted/a", b"old")
    broker.put("restricted/a", b"new")
    assert leave(broker, "restricted/a", version=old.version)[0] == b"old"
    broker.close()
    for file in clouds.folder.glob("state.db*"):
        file.unlink()
    broker = clouds.open()
    assert not broker.exists("restricted/a")
    broker.reindex()
    assert leave(broker, "restricted/a")[0] == b"new"


def test_a_body_that_was_changed_does_not_come_out(broker, clouds, tmp_path):
    broker.put("internal/a", b"content")
    (tmp_path / "ticket").write_text(broker.exit_ticket("internal/a", reveal_key=True).to_json())
    (body,) = clouds.held().values()
    (tmp_path / "body").write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(AssertionError, match="InvalidTag"):
        run(tmp_path, OPEN, "ticket", "body", "plain")
    assert (tmp_path / "plain").read_bytes() == b""
