"""The suite on Ceph, which checks signatures, keeps versions and locks objects; see `sovbroker.testing.ceph`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from sovbroker.errors import PermissionDenied
from sovbroker.testing.ceph import ceph_rgw
from sovbroker.testing.conformance import HiddenSuite, SealedSuite, StoreSuite
from sovbroker_adapters.s3 import build


@pytest.fixture(scope="module")
def ceph():
    with ceph_rgw() as running:
        yield running


@pytest.fixture
def store(ceph, bucket):
    ceph.create_bucket(bucket)
    store = build(ceph.binding(bucket))
    yield store
    store.close()


class TestCeph(StoreSuite):
    pass


class TestCephSealed(SealedSuite):
    pass


class TestCephHidden(HiddenSuite):
    pass


# Ceph 16 does not look at `If-None-Match` in buckets that keep versions.
KEEPING: Final = {"conditional-put": "unsafe"}


class TestCephWithVersions(StoreSuite):
    @pytest.fixture
    def store(self, ceph, bucket):
        ceph.create_bucket(bucket, versioned=True)
        store = build(ceph.binding(bucket, settings=KEEPING))
        yield store
        store.close()


class TestCephWithLocks(StoreSuite):
    @pytest.fixture
    def store(self, ceph, bucket):
        ceph.create_bucket(bucket, lock=True)
        store = build(ceph.binding(bucket, settings=KEEPING | {"retention": "native"}))
        yield store
        store.close()


class TestCephWithTheOldSignature(StoreSuite):
    @pytest.fixture
    def store(self, ceph, bucket):
        ceph.create_bucket(bucket)
        store = build(ceph.binding(bucket, settings={"signature": "s3", "etags": "opaque"}))
        yield store
        store.close()


CHILD = """
import time
from sovbroker.testing.ceph import ceph_rgw
with ceph_rgw() as server:
    print(server.cluster.folder, flush=True)
    time.sleep(600)
"""


def daemons(folder):
    """The processes that were started for a cluster in `folder`, by what their command lines say."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if os.fsencode(f"{folder}/conf") in words:
            found.append(Path(os.fsdecode(words[0])).name)
    return sorted(found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_when_those_who_started_it_are_killed(number):
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    folder = child.stdout.readline().strip()
    assert daemons(folder) == ["ceph-mon", "ceph-osd", "radosgw"]
    child.send_signal(number)
    child.communicate()
    deadline = time.monotonic() + 30
    while daemons(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert daemons(folder) == []
    shutil.rmtree(Path(folder).parent)


def test_a_user_sees_nothing_of_anothers(ceph, bucket):
    ceph.create_bucket(f"own-{bucket}")
    mine = build(ceph.binding(f"own-{bucket}"))
    mine.put("key", b"x", size=1)
    theirs = build(ceph.as_user("somebody").binding(f"own-{bucket}"))
    for call in (lambda: theirs.get("key"), lambda: list(theirs.list()), lambda: theirs.put("key", b"y", size=1)):
        with pytest.raises(PermissionDenied):
            call()
    for store in (mine, theirs):
        store.close()


def test_a_wrong_key_is_refused(ceph, bucket):
    ceph.create_bucket(f"own-{bucket}")
    store = build(replace(ceph, secret_key="wrong").binding(f"own-{bucket}"))
    for call in (store.head, store.get, store.delete, lambda key: store.put(key, b"x", size=1)):
        with pytest.raises(PermissionDenied):
            call("key")
    store.close()
