"""Ceph's object gateway on this machine: a real S3, for tests. It checks signatures, keeps versions and locks objects.

It is not a wheel. The daemons come from Debian or Ubuntu, run as whoever runs the tests, keep everything in temporary
folders and in memory, and know nothing of a cluster that this machine may belong to. They are a monitor, one place for
objects and the gateway; the manager, which counts for people and takes 300 MB, is left out.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import struct
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast
from uuid import uuid4

from sovbroker.errors import ConfigError
from sovbroker.testing.servers import Server, running

__all__ = ["CephServer", "ceph_rgw"]

PROGRAMS: Final = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
INSTALL: Final = "on Debian and Ubuntu: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common"
MEMORY: Final = 2 << 30
READY_WITHIN: Final = 60.0

# Monitors wait a second before each change of their maps, in case more come, and a gateway's first start makes a dozen;
# nor do they run on a disk that is nearly full.
CONF: Final = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}/0]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
run dir = {folder}
crash dir = {folder}
admin socket =
log file =
log to stderr = true
mon cluster log file =
mon data avail crit = 0
mon data avail warn = 0
mon allow pool size one = true
paxos propose interval = 0.05
osd objectstore = memstore
memstore device bytes = {memory}
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
rgw override bucket index max shards = 1
# From midnight to six they work, and a gateway whose OSD was killed waits for them.
rgw enable lc threads = false
"""

KEYRING: Final = """\
[mon.]
key = {}
caps mon = "allow *"
[client.admin]
key = {}
caps mon = "allow *"
caps osd = "allow *"
[osd.0]
key = {}
caps mon = "allow profile osd"
caps osd = "allow *"
[client.rgw]
key = {}
caps mon = "allow rw"
caps osd = "allow rwx"
"""


@dataclass(frozen=True, slots=True)
class _Cluster:
    """A cluster in a folder; the methods that return commands make ready what the daemon needs first."""

    folder: Path

    def words(self, program: str, *rest: str) -> list[str]:
        """Return the command of a program for this cluster. Raises ConfigError when it is not installed."""
        return [_find(program), "-c", str(self.folder / "conf"), *rest]

    def run(self, program: str, *rest: str) -> str:
        """Run a program to its end and return what it printed. Raises ConfigError when it fails."""
        done = subprocess.run(  # noqa: S603 - the words are ours, and there is no shell
            self.words(program, *rest),
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=READY_WITHIN,
            check=False,
        )
        if done.returncode:
            raise ConfigError(f"`{program} {' '.join(rest[:3])} …` failed: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    @property
    def env(self) -> dict[str, str]:
        """What must not come from the environment."""
        return {"CEPH_ARGS": "", "CEPH_KEYRING": str(self.folder / "keyring")}

    def monitor(self, port: int) -> Sequence[str]:
        """Return the monitor's command. Its address is the cluster's identity: another port begins anew."""
        shutil.rmtree(self.folder)
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir(parents=True)
        fsid = str(uuid4())
        conf = CONF.format(fsid=fsid, port=port, folder=self.folder, memory=MEMORY)
        (self.folder / "conf").write_text(conf, encoding="utf-8")
        (self.folder / "keyring").write_text(KEYRING.format(*(_key() for _ in range(4))), encoding="utf-8")
        where = f"[v2:127.0.0.1:{port}/0]"
        self.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", where, str(self.folder / "monmap"))
        files = ("--monmap", str(self.folder / "monmap"), "--keyring", str(self.folder / "keyring"))
        self.run("ceph-mon", "-i", "a", "--mkfs", *files)
        return self.words("ceph-mon", "-i", "a", "-f")

    def osd(self, port: int) -> Sequence[str]:
        """Return the command of what holds the objects; it takes `port` and the next few."""
        ports = (f"--ms-bind-port-min={port}", f"--ms-bind-port-max={port + 100}")
        return self.words("ceph-osd", "-i", "0", "-f", *ports)

    def gateway(self, port: int) -> Sequence[str]:
        """Return the gateway's command. Without `tcp_nodelay` every answer with a body waits for 40 ms."""
        front = f"--rgw-frontends=beast endpoint=127.0.0.1:{port} tcp_nodelay=1"
        return self.words("radosgw", "-n", "client.rgw", "-f", front)


@dataclass(frozen=True, slots=True, kw_only=True)
class CephServer(Server):
    """A running gateway, seen by one of its users."""

    cluster: _Cluster

    def as_user(self, name: str) -> CephServer:
        """Return the same gateway with the keys of another user, who is made now and owns nothing yet."""
        user = _user(self.cluster, name)
        return replace(self, access_key=user["access_key"], secret_key=user["secret_key"])


@contextmanager
def ceph_rgw() -> Generator[CephServer]:
    """Run a cluster of Ceph with its S3 gateway; it holds up to 2 GiB, in memory.

    `If-None-Match` is honoured, except in buckets with versions: so a bucket that is made with `versioned` or `lock`
    is to be bound with the setting `conditional-put: unsafe`. Raises ConfigError, which says what to install, when a
    part of Ceph is missing.
    """
    for program in PROGRAMS:
        _find(program)
    with TemporaryDirectory(prefix="sovbroker-ceph-") as folder:
        cluster = _Cluster(Path(folder) / "cluster")
        cluster.folder.mkdir()
        with running(cluster.monitor, env=cluster.env, ready_within=READY_WITHIN):
            uuid = str(uuid4())
            cluster.run("ceph", "osd", "new", uuid, "0")
            cluster.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", uuid)
            with (
                running(cluster.osd, env=cluster.env, ready_within=READY_WITHIN),
                running(cluster.gateway, env=cluster.env, ready_within=READY_WITHIN) as (port, pid, log),
            ):
                user = _user(cluster, "first")
                yield CephServer(
                    f"http://127.0.0.1:{port}",
                    pid,
                    user["access_key"],
                    user["secret_key"],
                    log,
                    {"conditional-put": "native"},
                    cluster=cluster,
                )


def _user(cluster: _Cluster, name: str) -> dict[str, str]:
    """Make a user and return its keys."""
    words = ("--rgw-cache-enabled=false", "user", "create", "--uid", name, "--display-name", name)
    made = cast("dict[str, Any]", json.loads(cluster.run("radosgw-admin", *words)))
    return cast("dict[str, str]", made["keys"][0])


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise ConfigError(f"there is no `{program}` on this machine; {INSTALL}")
    return found


def _key() -> str:
    """Return a fresh key as Ceph spells it: its kind, when it was made, its length, its bytes."""
    return base64.b64encode(struct.pack("<HIIH", 1, 0, 0, 16) + secrets.token_bytes(16)).decode()
