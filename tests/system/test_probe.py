"""Probes of real servers, each with the matrix that it has; and what a broker makes of what was found."""

import dataclasses
import json
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from sovbroker import router
from sovbroker.confine import Confined
from sovbroker.errors import ConfigError, InvalidArgument, NotSupported, PermissionDenied
from sovbroker.ports import Binding, Feature, Support
from sovbroker.probing import Aspect, ProbeFile, find_out
from sovbroker.router import find_adapter
from sovbroker.testing import gcs
from sovbroker.testing.blobs import BlobService
from sovbroker_adapters.memory import MemoryStore

NATIVE, EMULATED, ABSENT, UNSAFE = Support
OWN = "0123456789abcdef"


def matrix(adapter, binding):
    """Probe a real store; return what was found of each line that is not simply there, and look that nothing stays."""
    build = find_adapter(adapter)

    def open_with(settings):
        return Confined(build(dataclasses.replace(binding, settings={**binding.settings, **settings})))

    found = find_out(open_with, installation=OWN)
    store = build(binding)
    assert [info.key for page in store.list() for info in page.objects] == []
    assert list(store.uploads()) == []
    store.close()
    assert found.left == ()
    return {line.name: line.support for line in found.lines if line.support is not NATIVE}, found.lines


def test_moto(moto, bucket):
    moto.create_bucket(bucket)
    found, lines = matrix("s3", moto.binding(bucket))
    assert found == {
        Feature.RETENTION: ABSENT,
        Aspect.VERSIONS: ABSENT,
        # It looks at no signature.
        Feature.PRESIGN: UNSAFE,
        "PutObjectRetention": ABSENT,
        "Content-MD5": ABSENT,
        "x-amz-checksum-sha256": ABSENT,
    }
    assert [line.name for line in lines if line.wrong] == [Feature.PRESIGN]


def test_rclone_pretends(rclone, bucket):
    rclone.create_bucket(bucket)
    # Whatever is declared of it.
    binding = rclone.binding(bucket, settings={"conditional-put": "native"})
    found, lines = matrix("s3", binding)
    assert found == {
        Feature.CONDITIONAL_PUT: UNSAFE,
        # It takes the request, and the adapter sees that nothing holds.
        Feature.RETENTION: ABSENT,
        Aspect.VERSIONS: ABSENT,
        Aspect.NESTED: ABSENT,
        "PutObjectTagging": UNSAFE,
        "PutObjectAcl": UNSAFE,
        "PutObjectRetention": UNSAFE,
        "x-amz-checksum-sha256": ABSENT,
    }
    assert [line.name for line in lines if line.wrong] == [Feature.CONDITIONAL_PUT]


def test_fake_gcs(bucket):
    with gcs.fake_gcs() as server:
        server.create_bucket(bucket)
        found, lines = matrix("gcs", server.binding(bucket))
    assert found == {
        Feature.MULTIPART: EMULATED,
        Feature.RETENTION: ABSENT,
        Feature.PRESIGN: ABSENT,
        Aspect.VERSIONS: ABSENT,
    }
    assert not [line for line in lines if line.wrong]


def test_blob_service(bucket):
    with BlobService() as service:
        service.server.create_container(bucket)
        found, lines = matrix("azure", service.server.binding(bucket))
    assert found == {
        Feature.MULTIPART: EMULATED,
        Feature.RETENTION: ABSENT,
        # It looks at no signature.
        Feature.PRESIGN: UNSAFE,
        # Azure takes dots away from the end of a segment, so that the adapter refuses them.
        Aspect.KEYS: ABSENT,
        Aspect.VERSIONS: None,
    }
    assert [line.name for line in lines if line.wrong] == [Feature.PRESIGN]


def test_blob_service_with_locks(bucket):
    with BlobService(locks=True) as service:
        service.server.create_container(bucket)
        found, lines = matrix("azure", service.server.binding(bucket))
    assert found == {
        Feature.MULTIPART: EMULATED,
        Feature.PRESIGN: UNSAFE,
        Aspect.KEYS: ABSENT,
    }
    assert [line.name for line in lines if line.better] == [Feature.RETENTION]


def test_a_folder(tmp_path):
    found, lines = matrix("local", Binding(target="local", container=str(tmp_path)))
    assert found == {
        Feature.RETENTION: ABSENT,
        Feature.PRESIGN: ABSENT,
        Aspect.PAGES: None,
        Aspect.VERSIONS: ABSENT,
    }
    assert not [line for line in lines if line.wrong]


def test_what_a_killed_probe_left_in_a_folder_goes_with_the_next(tmp_path):
    (tmp_path / "objects").mkdir()
    config = "sovbroker: 1\nkeys: {}\ntargets: [{at: local, path: objects}]\n"
    (tmp_path / "sovbroker.yaml").write_text(config)
    killed = """
import os, signal, sys
from sovbroker.cli import main
from sovbroker_adapters.local import LocalStore
from sovbroker_adapters.local.upload import LocalUpload

LocalUpload.commit = lambda self, parts: os.kill(os.getpid(), signal.SIGKILL)
main(["--config", sys.argv[1], "targets", "probe"])
"""
    done = subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    store = find_adapter("local")(Binding(target="local", container=str(tmp_path / "objects")))
    left = [info.key for page in store.list() for info in page.objects]
    assert left
    assert list(store.uploads())
    store.put("patients/42@06h0", b"stays", size=5)
    command = [sys.executable, "-m", "sovbroker", "--config", str(tmp_path), "targets", "probe", "--json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)
    assert told[0]["left"] == []
    assert [info.key for page in store.list() for info in page.objects] == ["patients/42@06h0"]
    assert list(store.uploads()) == []


# --- what a broker makes of it


class Adjustable(MemoryStore):
    """A store that a test can make lie, and whose settings say what it offers."""

    def __init__(self, target, settings, shelf, lies):
        super().__init__(target)
        unknown = settings.keys() - {*Feature, "create"} - {"addressing", "etags", "checksums", "signature", "region"}
        if "no-setting-of-any-adapter" in unknown:
            raise ConfigError("no such setting")
        offered = {feature: Support(settings[feature]) for feature in Feature if feature in settings}
        self.capabilities = {**self.capabilities, Feature.RETENTION: ABSENT, **offered}
        self._shelf = shelf
        self._lies = lies

    def get(self, key, *, range=None):  # noqa: A002 - the port's word
        if range is not None and "range" in self._lies:
            return super().get(key)
        return super().get(key, range=range)

    def put(self, key, body, *, size, metadata=None, if_absent=False):
        if if_absent and "condition" in self._lies:
            if_absent = False
        return super().put(key, body, size=size, metadata=metadata or {}, if_absent=if_absent)

    def retain(self, key, *, until):
        if not self.capabilities[Feature.RETENTION].usable:
            raise NotSupported("no locks", target=self.target, key=key)
        if "locks" in self._lies:
            return
        super().retain(key, until=until)


@pytest.fixture
def adjusted(clouds, monkeypatch):
    """Let every target of the clouds be adjustable: its shelf stays, its lies can be changed."""
    shelves, lies, opened = {}, set(), []

    def build(binding):
        shelf = shelves.setdefault(binding.target, MemoryStore(binding.target)._shelf)
        opened.append((binding.target, dict(binding.settings)))
        return Adjustable(binding.target, binding.settings, shelf, lies)

    monkeypatch.setattr(router, "find_adapter", lambda name: build)
    return dataclasses.make_dataclass("Adjusted", ["shelves", "lies", "opened"])(shelves, lies, opened)


def test_a_broker_relies_on_no_more_than_was_found(clouds, adjusted):
    broker = clouds.open()
    broker.put("public/a", b"0123456789")
    assert broker.read("public/a", range=(2, 4)) == b"234"
    adjusted.lies.add("range")
    found = {probe.target: probe for probe in broker.targets.probe()}
    assert all([line.name for line in probe.wrong] == [Feature.RANGE] for probe in found.values())
    # At once, in the broker that probed; and in every one that is opened later.
    with clouds.open() as later:
        for asked in (broker, later):
            with pytest.raises(NotSupported, match="a probe found `range` to be unsafe"):
                asked.read("public/a", range=(2, 4))
            assert asked.read("public/a") == b"0123456789"
    adjusted.lies.clear()
    broker.targets.probe()
    assert broker.read("public/a", range=(2, 4)) == b"234"


def test_only_what_was_asked_for_is_probed(clouds, adjusted):
    broker = clouds.open()
    (probe,) = broker.targets.probe("ovhcloud/gra")
    assert probe.target == "ovhcloud/gra"
    assert not probe.error
    assert {target for target, _ in adjusted.opened} == {"ovhcloud/gra"}
    with pytest.raises(InvalidArgument, match="did you mean `ovhcloud/gra`"):
        broker.targets.probe("ovhcloud/gar")


def test_a_condition_that_held_is_still_not_relied_on(clouds, adjusted):
    broker = clouds.open()
    broker.targets.probe()
    capabilities = broker._flow.stores.guarded("ovhcloud/gra", router.Permit.READ).capabilities
    # It is native in memory; what is declared decides, and a lie found takes it away.
    assert capabilities[Feature.CONDITIONAL_PUT] is NATIVE
    adjusted.lies.add("condition")
    broker.targets.probe()
    capabilities = broker._flow.stores.guarded("ovhcloud/gra", router.Permit.READ).capabilities
    assert capabilities[Feature.CONDITIONAL_PUT] is UNSAFE


KEPT = """
  internal: {store: {french: {encrypt: client}}, retain: {min: 3650d}}
"""


def test_locks_that_were_found_are_used_for_what_the_policy_retains(clouds, adjusted):
    line = "  internal: {store: {french: {encrypt: client}}}\n"
    assert line in clouds.POLICY
    clouds.write(policy=clouds.POLICY.replace(line, KEPT.lstrip("\n")))
    broker = clouds.open()
    broker.put("internal/a", b"x")
    assert not any(shelf.retained for shelf in adjusted.shelves.values())
    broker.targets.probe()
    for shelf in adjusted.shelves.values():
        # What the probe itself retained is over.
        shelf.retained.clear()
    stored = broker.put("internal/b", b"x")
    target = stored.copies[0].target
    (name,) = adjusted.shelves[target].retained
    with clouds.open() as later, pytest.raises(PermissionDenied):
        later._flow.stores.guarded(target, router.Permit.READ).delete(name)
    # A service that lets go after all is not asked any more.
    adjusted.lies.add("locks")
    broker.targets.probe()
    broker.put("internal/c", b"x")
    assert list(adjusted.shelves[target].retained) == [name]


def test_probes_are_of_a_place(clouds, adjusted):
    broker = clouds.open()
    adjusted.lies.add("range")
    broker.put("public/a", b"0123456789")
    broker.targets.probe()
    broker.close()
    file = clouds.folder / "sovbroker.yaml"
    file.write_text(file.read_text().replace("bucket: objects", "bucket: others"))
    # Another bucket of the same target was never probed: its lie goes unnoticed.
    with clouds.open() as elsewhere:
        assert elsewhere.read("public/a", range=(2, 4)) == b"012"


def test_no_place_to_keep_probes():
    with pytest.raises(ConfigError, match="beside the state database"):
        router.Targets(router.Stores({})).probe()


def test_a_probe_is_kept_with_the_state_and_names_nobody(clouds, adjusted):
    broker = clouds.open()
    broker.put("public/zoe", b"0123456789", metadata={"name": "Zoe"})
    broker.targets.probe()
    kept = ProbeFile(clouds.folder / "state.db")
    assert {probe.target for probe in kept.probes()} == {"ovhcloud/gra", "outscale/eu-west-2"}
    assert b"oe" not in kept.path.read_bytes().replace(b"does", b"")
    assert kept.path.stat().st_mode & 0o077 == 0
    assert all(probe.at.utcoffset() == timedelta(0) for probe in kept.probes())
