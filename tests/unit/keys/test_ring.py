import base64
import copy
import json
import logging
import os
import pickle
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import traceback
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sovbroker.envelope import Secret, new_dek
from sovbroker.errors import ConfigError, InvalidArgument, KeyUnavailable, SealError, SovbrokerError, UnknownFormat
from sovbroker.keys import Keyring, RecoveryService
from sovbroker.keys import file as file_module

OWN = json.loads((Path(__file__).parents[2] / "vectors" / "format-1.json").read_text(encoding="utf-8"))["keyring"]
FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
"""From Python 3.12 on, a fork warns when a test runner has threads of its own."""


def rewrite(path, change):
    """Change the document and mend its checksum, as somebody without the keys could."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    document["checksum"] = file_module.hashlib.sha256(file_module._body(document)).hexdigest()
    path.write_text(json.dumps(document), encoding="utf-8")


def litter(path):
    return sorted(p.name for p in path.parent.iterdir() if p.name not in {path.name, f".{path.name}.lock"})


def test_own_vector(path, service):
    path.write_text(OWN["file"], encoding="utf-8")
    path.chmod(0o600)
    for opener in (service(OWN["passphrase"]), RecoveryService(OWN["recovery_code"])):
        keyring = Keyring.open(path, opener)
        assert {name: keyring.domain(name).kid for name in OWN["kids"]} == OWN["kids"]
        assert keyring.by_kid(OWN["kids"]["health"]).unwrap_dek(OWN["jwe"]).reveal().hex() == OWN["dek"]


def test_a_key_wrapped_today_is_unwrapped_tomorrow(ring, path, service):
    keyring, code = ring
    dek, key = new_dek(), keyring.domain("health")
    wrapped = key.wrap_dek(dek)
    for opener in (service(), RecoveryService(code)):
        with Keyring.open(path, opener) as later:
            assert later.by_kid(key.kid).unwrap_dek(wrapped) == dek
            assert later.domain("health").kid == key.kid


def test_the_first_use_of_a_domain_makes_its_key_and_writes_it(ring, path, service):
    keyring, code = ring
    kid = keyring.domain("finance").kid
    assert keyring.domain("finance").kid == kid
    assert keyring.domain("finance").domain == "finance"
    assert Keyring.open(path, RecoveryService(code)).by_kid(kid).domain == "finance"
    assert len({keyring.domain(name).kid for name in "abc"} | {kid}) == 4
    with pytest.raises(InvalidArgument):
        keyring.domain("")


def test_ids_tell_nothing(ring):
    keyring, _ = ring
    kid = keyring.domain("health").kid
    assert len(kid) == 16
    assert "health" not in kid


def test_the_status_tells_what_it_may(ring, path):
    keyring, _ = ring
    keyring.domain("finance")
    status = keyring.status()
    assert status.path == str(path)
    assert status.recipients == ("passphrase", "recovery")
    assert [d.name for d in status.domains] == ["finance", "health"]
    assert [(d.epoch, d.epochs) for d in status.domains] == [(1, 1), (1, 1)]
    assert status.domains[1].kid == keyring.domain("health").kid


def test_the_file_is_for_its_owner_only(ring, path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert litter(path) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_can_open_is_refused(mode, ring, path, service):
    path.chmod(mode)
    with pytest.raises(KeyUnavailable, match=f"chmod 600 {path}"):
        Keyring.open(path, service())


def test_a_missing_file_names_the_command_and_is_not_made(path, service):
    with pytest.raises(KeyUnavailable, match="sovbroker keys init"):
        Keyring.open(path, service())
    assert not path.exists()


def test_a_folder_or_an_unwritable_place_is_one_message(tmp_path, service):
    with pytest.raises(KeyUnavailable, match="cannot be read"):
        Keyring.open(tmp_path, service())
    (tmp_path / "file").write_text("x")
    with pytest.raises(KeyUnavailable, match="cannot be written"):
        Keyring.create(tmp_path / "file" / "keyring.json", service(), recovery=False)


def test_an_existing_file_is_not_replaced(ring, path, service):
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        Keyring.create(path, service(), recovery=True)
    assert path.read_bytes() == before
    assert litter(path) == []


def test_missing_folders_are_made(tmp_path, service):
    path = tmp_path / "a" / "b" / "keyring.json"
    keyring, code = Keyring.create(path, service(), recovery=False)
    assert code is None
    assert keyring.status().recipients == ("passphrase",)
    assert Keyring.open(path, service()).status().domains == ()


def test_a_wrong_passphrase_is_told_apart_from_a_damaged_file(ring, path, service):
    with pytest.raises(KeyUnavailable, match=f"the passphrase does not open `{path}`: wrong passphrase"):
        Keyring.open(path, service("other words"))
    data = path.read_bytes()
    kinds = set()
    for at in range(0, len(data), 97):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises((KeyUnavailable, UnknownFormat)) as caught:
            Keyring.open(path, service())
        assert "wrong passphrase" not in str(caught.value)
        kinds.add("damaged" in str(caught.value))
    assert True in kinds


def test_a_truncated_file_is_damaged(ring, path, service):
    data = path.read_bytes()
    for length in [*range(0, len(data) - 1, 61), len(data) - 3]:
        path.write_bytes(data[:length])
        with pytest.raises(KeyUnavailable, match="restore"):
            Keyring.open(path, service())


def test_the_wrong_recovery_code_and_a_stranger(ring, path, service, tmp_path):
    _, other = Keyring.create(tmp_path / "other.json", service(), recovery=True)
    with pytest.raises(KeyUnavailable, match="the recovery does not open"):
        Keyring.open(path, RecoveryService(other))
    stranger = service()

    class Named:
        name = "openbao"
        wrap, unwrap = stranger.wrap, stranger.unwrap

    with pytest.raises(KeyUnavailable, match=r"not wrapped for `openbao`; it is for passphrase, recovery"):
        Keyring.open(path, Named())


def test_a_newer_version_is_named(ring, path, service):
    rewrite(path, lambda d: d.update(version=3))
    with pytest.raises(UnknownFormat, match="version 3, this version knows up to 2"):
        Keyring.open(path, service())


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"sovbroker": "policy"}', "[" * 5000, "1" * 5000, "\u0000"])
def test_what_is_no_keyring_is_refused(text, path, service):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises((UnknownFormat, KeyUnavailable), match="keyring"):
        Keyring.open(path, service())


def _drop_newest(document):
    document["domains"].clear()


def _exchange(document):
    document["domains"]["finance"] = document["domains"].pop("health")


def _other_recovery(document):
    public = RecoveryService(OWN["recovery_code"]).public
    document["recipients"][1]["public"] = base64.b64encode(public).decode()


def _extra(document):
    document["note"] = "x"


@pytest.mark.parametrize("change", [_drop_newest, _exchange, _other_recovery, _extra])
def test_nothing_changes_in_the_file_without_its_keys(change, ring, path, service):
    """Above all not the recovery key: new domain keys would be wrapped for whoever put it there."""
    rewrite(path, change)
    with pytest.raises(KeyUnavailable, match="changed by somebody without its keys"):
        Keyring.open(path, service())


def test_a_running_keyring_does_not_take_a_changed_file_either(ring, path):
    keyring, _ = ring
    rewrite(path, _other_recovery)
    with pytest.raises(KeyUnavailable, match="changed by somebody"):
        keyring.domain("finance")
    with pytest.raises(KeyUnavailable, match="changed by somebody"):
        keyring.by_kid("unknown")
    assert keyring.domain("health").epoch == 1


def test_keys_do_not_move_between_domains(ring, path, service):
    """Even who holds the ring's key, but not the service, cannot make one domain's key another's."""
    keyring, _ = ring
    keyring.domain("finance")
    ring_key = keyring._ring_key.reveal()
    loaded = file_module.load(path)
    health, finance = loaded.ring.domains["health"], loaded.ring.domains["finance"]
    swapped = file_module.Ring(
        loaded.ring.id, loaded.ring.recipients, loaded.ring.seal, {"health": finance, "finance": health}
    )
    file_module.save(path, swapped, key=Secret(ring_key))
    opened = Keyring.open(path, service())
    with pytest.raises(SealError):
        opened.domain("health")


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_in_its_place_is_an_error_of_ours(data, ring, path, service):
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
        max_leaves=6,
    )
    document = json.loads(OWN["file"])
    places = [(document, name) for name in document if name != "checksum"]
    health = document["domains"]["health"]
    places += [(document["recipients"], 0), (document["recipients"][1], "public"), (document["seal"], "passphrase")]
    places += [(document["domains"], "health"), (health, 0), *((health[0], name) for name in health[0])]
    where, name = places[data.draw(st.integers(0, len(places) - 1))]
    old, where[name] = where[name], data.draw(json_values)
    assume((old, type(old)) != (where[name], type(where[name])))
    document["checksum"] = file_module.hashlib.sha256(file_module._body(document)).hexdigest()
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(SovbrokerError):
        Keyring.open(path, service(OWN["passphrase"]))


def test_an_unknown_kid_is_looked_for_in_the_file_once_more(ring, path, service):
    keyring, _ = ring
    other = Keyring.open(path, service())
    kid = other.domain("new").kid
    assert keyring.by_kid(kid).domain == "new"
    with pytest.raises(KeyUnavailable, match="`nowhere` is not in"):
        keyring.by_kid("nowhere")


def test_two_keyrings_on_one_file_agree(ring, path, service):
    keyring, _ = ring
    other = Keyring.open(path, service())
    kids, failures = {}, []

    def work(mine, names):
        for name in names:
            kids.setdefault(name, set()).add(mine.domain(name).kid)

    names = [f"domain-{n}" for n in range(6)]
    threads = [threading.Thread(target=work, args=(k, n)) for k in (keyring, other) for n in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert all(len(found) == 1 for found in kids.values())
    assert {d.name for d in Keyring.open(path, service()).status().domains} == {*names, "health"}


def test_the_recovery_code_opens_but_makes_nothing(ring, path):
    _, code = ring
    before = path.read_bytes()
    with pytest.raises(KeyUnavailable, match="wrapped for `passphrase` too"):
        Keyring.open(path, RecoveryService(code)).domain("finance")
    assert path.read_bytes() == before


def test_the_recovery_code_sets_a_new_passphrase(ring, path, service):
    keyring, code = ring
    dek, key = new_dek(), keyring.domain("health")
    wrapped = key.wrap_dek(dek)
    found = Keyring.open(path, RecoveryService(code))
    found.rewrap(service("new words"))
    with pytest.raises(KeyUnavailable, match="wrong passphrase"):
        Keyring.open(path, service())
    for opener in (service("new words"), RecoveryService(code)):
        assert Keyring.open(path, opener).by_kid(key.kid).unwrap_dek(wrapped) == dek
    with pytest.raises(KeyUnavailable, match="wrong passphrase"):
        keyring.domain("made with the old passphrase")
    found.domain("health")
    with pytest.raises(InvalidArgument, match="`recovery`"):
        found.rewrap(RecoveryService(code))


def test_the_owner_changes_the_passphrase_and_goes_on(ring, path, service):
    keyring, _ = ring
    keyring.rewrap(service("new words"))
    kid = keyring.domain("finance").kid
    assert Keyring.open(path, service("new words")).by_kid(kid).domain == "finance"


class Counting:
    """A key service that counts what it is asked."""

    def __init__(self, inner):
        self.inner, self.name, self.unwrapped = inner, inner.name, 0

    def wrap(self, secret, context):
        return self.inner.wrap(secret, context)

    def unwrap(self, wrapped, context):
        self.unwrapped += 1
        return self.inner.unwrap(wrapped, context)


def test_ten_thousand_uses_cost_one_unwrap(ring, path, service):
    counting = Counting(service())
    keyring = Keyring.open(path, counting)
    opened = counting.unwrapped
    kid = keyring.domain("health").kid
    for _ in range(5000):
        keyring.domain("health")
        keyring.by_kid(kid)
    assert counting.unwrapped - opened == 1


def test_a_key_is_unwrapped_again_after_its_time_or_its_uses(ring, path, service):
    counting, now = Counting(service()), [100.0]
    keyring = Keyring.open(path, counting, lifetime=timedelta(seconds=10), uses=5, clock=lambda: now[0])
    opened = counting.unwrapped
    for _ in range(5):
        keyring.domain("health")
    assert counting.unwrapped - opened == 1
    keyring.domain("health")
    assert counting.unwrapped - opened == 2
    now[0] += 9.9
    keyring.domain("health")
    assert counting.unwrapped - opened == 2
    now[0] += 0.1
    keyring.domain("health")
    assert counting.unwrapped - opened == 3


def test_a_key_that_has_to_be_fresh_is_asked_for_and_an_older_one_stays_for_reading(ring, path, service):
    counting, now = Counting(service()), [100.0]
    keyring = Keyring.open(path, counting, clock=lambda: now[0])
    kid, minute = keyring.domain("health").kid, timedelta(minutes=1)
    opened = counting.unwrapped
    now[0] += 60
    keyring.domain("health", within=minute)
    assert counting.unwrapped == opened
    now[0] += 0.1
    keyring.domain("health", within=minute)
    assert counting.unwrapped - opened == 1
    keyring.domain("health", within=minute)
    assert counting.unwrapped - opened == 1

    def out(wrapped, context):
        raise KeyUnavailable("out of reach")

    now[0] += 61
    counting.unwrap = out
    with pytest.raises(KeyUnavailable, match="out of reach"):
        keyring.domain("health", within=minute)
    assert keyring.by_kid(kid).kid == keyring.domain("health").kid == kid


def test_callers_that_miss_together_unwrap_once(ring, path, service):
    counting = Counting(service())
    keyring = Keyring.open(path, counting)
    opened, start, seen = counting.unwrapped, threading.Barrier(8), []
    release = threading.Event()
    real = counting.unwrap

    def slow(wrapped, context):
        release.wait(10)
        return real(wrapped, context)

    counting.unwrap = slow

    def work():
        start.wait()
        seen.append(keyring.domain("health"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    release.set()
    for thread in threads:
        thread.join()
    assert counting.unwrapped - opened == 1
    assert len(set(map(id, seen))) == 1


def test_a_failed_unwrap_is_not_remembered(ring, path, service):
    counting = Counting(service())
    keyring = Keyring.open(path, counting)
    real = counting.unwrap

    def unreachable(wrapped, context):
        raise KeyUnavailable("the service does not answer")

    counting.unwrap = unreachable
    with pytest.raises(KeyUnavailable, match="does not answer"):
        keyring.domain("health")
    counting.unwrap = real
    assert keyring.domain("health").epoch == 1


def test_a_closed_keyring_is_of_no_use(ring):
    keyring, _ = ring
    key = keyring.domain("health")
    with keyring:
        pass
    keyring.close()
    for use in (lambda: keyring.domain("health"), lambda: keyring.domain("new"), lambda: key.wrap_dek(new_dek())):
        with pytest.raises(KeyUnavailable):
            use()


def test_a_key_in_use_survives_its_time(ring, path, service):
    now = [0.0]
    keyring = Keyring.open(path, service(), lifetime=timedelta(seconds=1), clock=lambda: now[0])
    key = keyring.domain("health")
    now[0] = 5
    other = keyring.domain("health")
    assert other is not key
    dek = new_dek()
    assert other.unwrap_dek(key.wrap_dek(dek)) == dek


@FORKS
def test_it_works_after_a_fork_that_caught_its_locks(ring):
    keyring, _ = ring
    with keyring._lock, keyring._cache._lock:
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            ok = False
            try:
                ok = keyring.domain("health").epoch == 1 and keyring.domain("made in the child").epoch == 1
            finally:
                os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert keyring.domain("made in the child").epoch == 1


def test_nothing_tells_a_secret(ring, path, service, caplog):
    keyring, code = ring
    key = keyring.domain("health")
    held = [keyring._ring_key.reveal(), key._secret.reveal(), b"secret words", code.encode()]
    texts = [repr(keyring), str(keyring), f"{keyring}", repr(keyring.status()), repr(key), path.read_text("utf-8")]
    logging.getLogger("x").warning("%r %s", keyring, key)
    texts.append(caplog.text)
    for passphrase in ("secret words!", "other"):
        try:
            Keyring.open(path, service(passphrase))
        except KeyUnavailable as error:
            shown = traceback.TracebackException.from_exception(error, capture_locals=True)
            texts.append("".join(line for line in shown.format() if "passphrase = " not in line))
    for secret in held:
        for spelling in (secret.hex(), base64.b64encode(secret).decode()[:-2], repr(secret)[2:-1]):
            assert all(spelling not in text for text in texts)
    for travel in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            travel(keyring)


def test_two_processes_make_one_keyring(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        from sovbroker.errors import ConfigError
        from sovbroker.keys import Cost, Keyring, PassphraseService
        service = PassphraseService("secret words", cost=Cost(8 << 10, 1, 1))
        sys.stdin.read(1)
        try:
            keyring, code = Keyring.create(sys.argv[1], service, recovery=True)
        except ConfigError:
            print("exists")
        else:
            print(keyring.status().id)
        """
    )
    path = tmp_path / "keyring.json"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        process.stdin.write("g")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert answers.count("exists") == 3
    (winner,) = set(answers) - {"exists"}
    assert json.loads(path.read_text("utf-8"))["id"] == winner
    assert litter(path) == []


@FORKS
@pytest.mark.parametrize("kill_at", range(7))
def test_a_process_killed_while_it_saves_leaves_a_whole_file(kill_at, ring, path, service):
    """The child is killed before each step of the save in turn: writing, syncing, renaming, syncing the folder."""
    keyring, _ = ring
    before = {d.name for d in keyring.status().domains}
    pid = os.fork()
    if pid == 0:
        try:
            steps = iter(range(100))

            def deadly(real):
                def call(*args, **kwargs):
                    if next(steps) == kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*args, **kwargs)

                return call

            class Os:
                def __getattr__(self, name):
                    real = getattr(os, name)
                    return deadly(real) if name in {"open", "fsync", "fdopen"} else real

            file_module.os = Os()
            Path.replace = deadly(Path.replace)
            keyring.domain("half written")
        finally:
            os._exit(3)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status), "the save has fewer steps than this test kills at"
    opened = Keyring.open(path, service())
    assert {d.name for d in opened.status().domains} in (before, before | {"half written"})
    assert opened.domain("after the crash").epoch == 1
    assert litter(path) == []


def test_a_full_disk_leaves_the_file_as_it_was(ring, path, service, monkeypatch):
    keyring, _ = ring
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_module.os, "fsync", full)
    with pytest.raises(KeyUnavailable, match="is as it was: No space left"):
        keyring.domain("finance")
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert litter(path) == []
    assert keyring.domain("finance").epoch == 1


def test_a_secret_file_is_read_with_a_bound(path, service, monkeypatch):
    monkeypatch.setattr(file_module, "SIZE_MAX", 1000)
    path.write_bytes(b" " * 1001)
    path.chmod(0o600)
    with pytest.raises(UnknownFormat, match="larger"):
        Keyring.open(path, service())


def test_the_ring_key_has_the_right_size(ring, path, service):
    class Odd:
        name = "passphrase"

        def unwrap(self, wrapped, context):
            return b"short"

        def wrap(self, secret, context):
            return b"x"

    with pytest.raises(SealError, match="5 bytes"):
        Keyring.open(path, Odd())


def test_every_key_of_a_domain_is_given_and_anothers_rotation_is_seen(ring, path, service):
    keyring, _ = ring
    first = keyring.domain("health").kid
    with Keyring.open(path, service()) as other:
        second = other.rotate("health").kid
    assert [key.kid for key in keyring.epochs("health")] == [first]
    keyring.reload()
    assert [(key.kid, key.epoch) for key in keyring.epochs("health")] == [(second, 2), (first, 1)]
    assert keyring.domain("health").kid == second
    assert keyring.epochs("nowhere") == ()
    assert [found.name for found in keyring.status().domains] == ["health"]
