"""The demo on its servers: it runs, each of its steps finds what was spoiled on purpose, and nothing is left."""

import importlib.util
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

import sovbroker
from sovbroker import demo
from sovbroker.demo import clouds as demo_clouds
from sovbroker.demo import samples as demo_samples
from sovbroker.demo import story
from sovbroker.demo.checks import Wrong
from sovbroker.demo.clouds import configure, passphrase, serve
from sovbroker.demo.samples import gather
from sovbroker.demo.screen import Rich
from sovbroker.errors import ConfigError, Refused

SMALL = (17 << 20) + 5
SECTIONS = (
    "1. Each object, its label, why, where it lies, and on which legal basis",
    "2. What each provider really holds, read with a bare S3 client",
    "3. Everything read back through the broker",
    "4. A refusal, with the reason of each target",
    "5. The exit door: the patient record opened without sovbroker",
    "Afterwards",
)


def left_in(folder):
    """What a demo whose temporary files lie in `folder` has left there."""
    return sorted(path.name for path in folder.iterdir())


def pids_in(text):
    (line,) = re.findall(r"processes ([\d,\s]+)", text)
    return [int(pid) for pid in line.split(",")]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- the real thing, as a user starts it


def start(folder, *flags, **options):
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, *flags, "-m", "sovbroker.demo"]
    return subprocess.Popen(
        command,
        env=environment,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever starts the tests in the background has had SIGINT ignored for them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else runs in the child
        **options,
    )


def test_the_demo_shows_everything_and_leaves_nothing(tmp_path):
    with start(tmp_path, "-W", "error") as process:
        out, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, ""), out
    positions = [out.index(section) for section in SECTIONS]
    assert positions == sorted(positions)
    assert out.count("✓") == 8
    assert "✗" not in out
    assert "256 MiB" in out
    for place in demo_clouds.PLACES:
        assert place in out
    assert max(map(len, out.splitlines())) <= 120
    pids = pids_in(out)
    assert len(pids) == 5
    assert not any(map(is_running, pids))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path, number):
    with start(tmp_path, start_new_session=True) as process:
        seen = ""
        while "the policy decides as of" not in seen:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            seen += line
        process.send_signal(number)
        rest, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "interrupted" in rest
    assert not any(map(is_running, pids_in(seen)))
    assert left_in(tmp_path) == []


# --- each step, spoiled


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A demo after its first step, on its own servers, with a small backup."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("demo")
        clouds = stack.enter_context(serve())
        word = stack.enter_context(passphrase())
        samples = gather(folder, backup_size=SMALL)
        broker = stack.enter_context(sovbroker.open(configure(folder, clouds, word=word), clock=lambda: story.TODAY))
        out = io.StringIO()
        scene = story.Scene(Rich(Console(file=out, width=100)), folder, clouds, broker, samples)
        stored = story.store(scene)
        yield SimpleNamespace(scene=scene, stored=stored, clouds=clouds, out=out)


@pytest.fixture
def spoil(stage):
    """Replace what a provider holds, or its metadata, until the test's end."""
    with ExitStack() as undo:

        def at(target, change, *, prefix=""):
            cloud = stage.clouds[target]
            client = cloud.client()
            undo.callback(client.close)
            (name,) = (name for name in cloud.names() if name.startswith(prefix))
            answer = client.get_object(Bucket=cloud.bucket, Key=name)
            body, metadata = answer["Body"].read(), answer["Metadata"]
            undo.callback(client.put_object, Bucket=cloud.bucket, Key=name, Body=body, Metadata=metadata)
            new_body, new_metadata = change(body, dict(metadata))
            client.put_object(Bucket=cloud.bucket, Key=name, Body=new_body, Metadata=new_metadata)

        yield at


def flip(body, metadata):
    return body[:-1] + bytes([body[-1] ^ 1]), metadata


def test_every_provider_holds_something(stage):
    held = story.look(stage.scene, stage.stored)
    assert {item.target for item in held} == set(demo_clouds.PLACES)
    assert len(held) == 8


def test_the_later_steps_pass_on_what_is_right(stage):
    held = story.look(stage.scene, stage.stored)
    story.read_back(stage.scene)
    story.refuse(stage.scene)
    story.leave(stage.scene, held)
    text = stage.out.getvalue()
    for section in SECTIONS[:-1]:
        assert section in text


def test_a_refusal_tells_of_every_target(stage):
    with pytest.raises(Refused) as refused:
        stage.scene.broker.put(story.FORBIDDEN, b"")
    for place in demo_clouds.PLACES:
        assert place in str(refused.value)


def test_another_placement_than_the_policy_s_is_found(stage, monkeypatch):
    monkeypatch.setattr(story, "EXPECTED", {**story.EXPECTED, story.PATIENT: []})
    with pytest.raises(Wrong, match="the policy asks for"):
        story.store(stage.scene)


def test_plaintext_beside_a_sealed_object_is_found(stage, spoil):
    spoil("outscale/cloudgouv-eu-west-1", lambda body, metadata: (body, metadata | {"note": "Testard-Valmont"}))
    with pytest.raises(Wrong, match="can read b'Testard-Valmont'"):
        story.look(stage.scene, stage.stored)


def test_plaintext_in_a_sealed_object_is_found(stage, spoil):
    leak = b"Testard-Valmont".hex().encode()
    spoil("cloud-temple/fr1", lambda body, metadata: (body[:200] + leak + body[200 + len(leak) :], metadata))
    with pytest.raises(Wrong, match=r"can read b'Testard-Valmont' \(hex\)"):
        story.look(stage.scene, stage.stored)


def test_a_changed_object_is_not_read_back(stage, spoil):
    for target in ("clever-cloud/par", "ovhcloud/gra"):
        spoil(target, flip, prefix="rh/")
    with pytest.raises(sovbroker.errors.Tampered):
        story.read_back(stage.scene)


def test_a_copy_that_another_makes_up_for_is_found(stage, spoil):
    spoil("ovhcloud/gra", flip, prefix="rh/")
    with pytest.raises(Wrong, match="at ovhcloud/gra cannot be read"):
        story.read_back(stage.scene)


def test_sealed_copies_that_differ_are_found(stage, spoil):
    spoil("ovhcloud/gra", flip, prefix="rh/")
    with pytest.raises(Wrong, match="ovhcloud/gra and clever-cloud/par differ"):
        story.look(stage.scene, stage.stored)


def test_a_file_that_came_back_different_is_found(stage, tmp_path):
    first = stage.scene.samples[0]
    path = tmp_path / "other"
    path.write_bytes(first.path.read_bytes()[:-1] + b"?")
    wrong = replace(first, path=path, digest=demo_samples.digest_of(path))
    scene = replace(stage.scene, samples=[wrong])
    with pytest.raises(Wrong, match="came back with SHA-256"):
        story.read_back(scene)


def test_what_should_be_refused_and_is_not_is_found(stage, monkeypatch):
    monkeypatch.setattr(story, "FORBIDDEN", "presse/allowed.txt")
    with pytest.raises(Wrong, match="the policy forbids it"):
        story.refuse(stage.scene)
    stage.scene.broker.delete("presse/allowed.txt")


def test_an_exit_door_that_does_not_open_is_found(stage, spoil):
    held = story.look(stage.scene, stage.stored)
    for target in ("outscale/cloudgouv-eu-west-1", "cloud-temple/fr1"):
        spoil(target, flip)
    with pytest.raises(Wrong, match="could not open"):
        story.leave(stage.scene, held)


def test_an_exit_door_to_something_else_is_found(stage, tmp_path):
    held = story.look(stage.scene, stage.stored)
    (patient,) = (sample for sample in stage.scene.samples if sample.key == story.PATIENT)
    (tmp_path / "other").write_bytes(b"{}")
    other = replace(patient, path=tmp_path / "other")
    scene = replace(stage.scene, samples=[other])
    with pytest.raises(Wrong, match="not the patient record"):
        story.leave(scene, held)


def test_a_ticket_for_something_else_is_found(stage):
    with pytest.raises(Wrong, match="holds no such object"):
        story.leave(stage.scene, [])


# --- the exit code


@pytest.fixture
def unserved(monkeypatch, tmp_path):
    """A demo that starts no server and keeps its temporary files in a folder of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("error", "code"), [(Wrong("not so"), 1), (ConfigError("not so"), 1), (KeyboardInterrupt(), 130)]
)
def test_what_goes_wrong_is_said_and_ends_with_its_code(monkeypatch, unserved, error, code):
    def fail():
        raise error

    monkeypatch.setattr(story, "serve", fail)
    out = io.StringIO()
    assert demo.run(Console(file=out, width=100)) == code
    assert out.getvalue().startswith("✗ ")
    assert left_in(unserved) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("name", ["boto3", "moto"])
def test_without_servers_it_says_what_to_install(monkeypatch, name):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == name else real(wanted))
    with pytest.raises(ConfigError, match=rf"needs {name} .*sovbroker\[demo\]"), serve():
        pass


def test_main_exits_with_the_code(monkeypatch):
    monkeypatch.setattr(demo, "run", lambda: 7)
    with pytest.raises(SystemExit) as stopped:
        demo.main()
    assert stopped.value.code == 7


def test_the_passphrase_is_gone_afterwards():
    with passphrase() as word:
        assert os.environ[demo_clouds.VARIABLE] == word
    assert demo_clouds.VARIABLE not in os.environ


def test_the_policy_of_the_demo_is_the_one_in_the_examples():
    checkout = Path(__file__).parents[3] / "examples" / "data" / "policy.yaml"
    assert (demo_samples.data() / "policy.yaml").read_bytes() == checkout.read_bytes()
