"""A real OpenStack Swift on this machine: proxy, object, container and account server, three replicas on one disk.

It is no dependency of ours: `pip install swift keystone keystonemiddleware` puts it into an environment of its own,
whose interpreter the environment variable SWIFT_PYTHON names. Any version from 2.30 on will do, a distribution's too.

What is left out: memcached, in whose place the proxy remembers in its own memory; and the daemons that replicate, audit
and expire. The proxy takes passwords of v1 (`tempauth`), tokens of Keystone, each for accounts of their own, and S3's
signatures.
"""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Credentials
from sovbroker.testing.keystone import DOMAIN, Keystone, issue, keystone, openstack_python
from sovbroker.testing.servers import Server, running

__all__ = ["S3_FACE", "SwiftServer", "swift"]

S3_FACE: Final[Mapping[str, str | int | bool]] = MappingProxyType({"conditional-put": "absent", "metadata_max": 256})
"""What the `s3` adapter has to know of Swift's S3 interface: it answers 501 to `If-None-Match`."""

READY_WITHIN: Final = 60.0
TIMEOUT: Final = 60.0
MEMORY_DISK: Final = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
SERVICE_PASSWORD: Final = "not-a-secret"  # noqa: S105 - of a user who lives as long as the test
DEVICES: Final = ("d1", "d2", "d3")

SWIFT_CONF: Final = """
[swift-hash]
swift_hash_path_prefix = sovbroker
swift_hash_path_suffix = sovbroker
"""
COMMON: Final = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
log_level = ERROR
"""
STORAGE: Final = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
PROXY: Final = """
[pipeline:main]
pipeline = {pipeline}
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:memory]
paste.filter_factory = sovbroker_memory:factory
[filter:tempauth]
use = egg:swift#tempauth
reseller_prefix = AUTH
user_test_tester = testing .admin
user_test_reader = reading
storage_url_scheme = http
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {identity}
auth_url = {identity}
auth_type = password
interface = public
username = swift
password = {password}
project_name = service
user_domain_name = {domain}
project_domain_name = {domain}
delay_auth_decision = true
token_cache_time = -1
[filter:keystoneauth]
use = egg:swift#keystoneauth
reseller_prefix = KEY
operator_roles = admin, member
[filter:s3api]
use = egg:swift#s3api
auth_pipeline_check = false
location = us-east-1
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
allow_versioned_writes = true
"""
BEFORE: Final = ("catch_errors", "gatekeeper", "healthcheck", "listing_formats", "bulk", "tempurl")
AFTER: Final = ("copy", "container_quotas", "slo", "dlo", "symlink")

MEMORY: Final = '''
"""What memcached would remember, in the memory of the proxy."""
import time

class Memory:
    def __init__(self):
        self.kept = {}
    def get(self, key, raise_on_error=False):
        value, until = self.kept.get(key, (None, 0))
        return value if not until or until > time.time() else None
    def set(self, key, value, serialize=True, time=0, min_compress_len=0, raise_on_error=False):
        self.kept[key] = (value, until(time))
    def incr(self, key, delta=1, time=0):
        value = max(0, int(self.get(key) or 0) + delta)
        self.kept[key] = (value, until(time))
        return value
    def decr(self, key, delta=1, time=0):
        return self.incr(key, -delta, time)
    def delete(self, key, server_key=None):
        self.kept.pop(key, None)
    def set_multi(self, mapping, server_key, serialize=True, time=0, min_compress_len=0):
        for key, value in mapping.items():
            self.set(key, value, time=time)
    def get_multi(self, keys, server_key):
        return [self.get(key) for key in keys]

def until(seconds):
    return time.time() + seconds if 0 < seconds < 2592000 else seconds

def factory(conf, **rest):
    memory = Memory()
    def wrap(app):
        def call(env, start_response):
            env["swift.cache"] = memory
            return app(env, start_response)
        return call
    return wrap
'''

# The rings are made once the storage servers have their ports, by the first who needs them.
RUN: Final = """
import sys
from swift.common import utils
from swift.common.ring import RingBuilder
from swift.common.wsgi import run_wsgi
_, kind, config, folder, devices, *ports = sys.argv
utils.set_swift_dir(folder)
for name, port in zip(("account", "container", "object"), ports):
    builder = RingBuilder(4, 3, 1)
    for number, device in enumerate(devices.split(",")):
        builder.add_dev({"id": number, "region": 1, "zone": number, "ip": "127.0.0.1", "port": int(port),
                         "device": device, "weight": 1.0})
    builder.rebalance(seed="1")
    builder.get_ring().save(f"{folder}/{name}.ring.gz")
sys.exit(run_wsgi(config, f"{kind}-server", verbose=True))
"""


@dataclass(frozen=True, slots=True)
class SwiftServer:
    """A running Swift: `url` is its proxy's root, `identity` the Keystone that gives tokens for `project`, if any.

    `application` is an application credential of the same user, id and secret.
    """

    url: str
    pid: int
    log: Path
    user: str = "test:tester"
    key: str = field(default="testing", repr=False)
    reader: str = "test:reader"
    reader_key: str = field(default="reading", repr=False)
    identity: Keystone | None = None
    project: str = ""
    application: tuple[str, str] = field(default=("", ""), repr=False)

    @property
    def host(self) -> str:
        """`host:port`, as `Binding.hosts` takes it."""
        return urlsplit(self.url).netloc

    @property
    def s3(self) -> Server:
        """The same server by its S3 interface. Buckets are containers of the account of v1."""
        return Server(self.url, self.pid, self.user, self.key, self.log, S3_FACE)

    def ask(
        self,
        method: str,
        path: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        query: str = "",
    ) -> bytes:
        """Ask about `path` in the account of v1, and return the answer. Raises ConfigError for one that is an error."""
        connection = HTTPConnection(self.host, timeout=TIMEOUT)
        try:
            connection.request("GET", "/auth/v1.0", headers={"X-Auth-User": self.user, "X-Auth-Key": self.key})
            answer = connection.getresponse()
            answer.read()
            token, account = answer.headers.get("X-Auth-Token", ""), answer.headers.get("X-Storage-Url", "")
            given = {"X-Auth-Token": token, **(headers or {})}
            url = f"{urlsplit(account).path}/{quote(path)}".rstrip("/") + (f"?{query}" if query else "")
            connection.request(method, url, body, given)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status not in range(200, 300):
            raise ConfigError(f"Swift answered {answer.status} to {method} {path}: {said[:300]!r}")
        return said

    def create_container(self, name: str, headers: Mapping[str, str] | None = None) -> None:
        """Make a container in the account of v1; one that is there already is kept."""
        self.ask("PUT", name, headers)

    def create_project_container(self, name: str) -> None:
        """Make a container in the account of Keystone's project; one that is there already is kept."""
        if self.identity is None:
            raise ConfigError("this Swift has no Keystone; run it `with_keystone`")
        person = {"name": "tester", "password": self.key, "domain": {"name": DOMAIN}}
        token = issue(self.identity.host, {"user": person}, project=self.project)
        connection = HTTPConnection(self.host, timeout=TIMEOUT)
        try:
            connection.request("PUT", f"/v1/KEY_{self.project}/{quote(name)}", headers={"X-Auth-Token": token})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status not in {201, 202}:
            raise ConfigError(f"the container `{name}` was not made: {answer.status} {said[:300]!r}")

    def binding(
        self,
        container: str,
        *,
        target: str = "test",
        settings: Mapping[str, str | int | bool] | None = None,
        credentials: Mapping[str, str] | None = None,
    ) -> Binding:
        """Return what the `swift` adapter needs to open `container` in the account of v1."""
        return Binding(
            target=target,
            container=container,
            endpoint=self.url,
            hosts=frozenset({self.host}),
            credentials=Credentials(credentials or {"username": self.user, "password": self.key}),
            settings={"auth": "v1", "authority": f"{self.url}/auth/v1.0", **(settings or {})},
        )


@contextmanager
def swift(*, with_keystone: bool = False) -> Generator[SwiftServer]:
    """Run Swift, with a Keystone if that is asked for. Raises ConfigError when it is not installed."""
    python = openstack_python("swift")
    with tempfile.TemporaryDirectory(prefix="sovbroker-swift-", dir=_ground()) as name, ExitStack() as stack:
        folder = Path(name)
        for device in DEVICES:
            (folder / "devices" / device).mkdir(parents=True)
        (folder / "swift.conf").write_text(SWIFT_CONF, encoding="utf-8")
        (folder / "sovbroker_memory.py").write_text(MEMORY, encoding="utf-8")
        identity = stack.enter_context(keystone(folder / "keystone")) if with_keystone else None
        ports: list[str] = []

        def start(kind: str, text: str) -> tuple[int, int, Path]:
            config = folder / f"{kind}.conf"

            def command(port: int) -> Sequence[str]:
                common = COMMON.format(port=port, user=getpass.getuser(), folder=folder)
                config.write_text(common + text, encoding="utf-8")
                return [python, "-c", RUN, kind, str(config), name, ",".join(DEVICES), *ports]

            return stack.enter_context(running(command, env={"PYTHONPATH": name}, ready_within=READY_WITHIN))

        started = [start(kind, STORAGE.format(kind=kind)) for kind in ("account", "container", "object")]
        ports += [str(port) for port, _, _ in started]
        port, pid, log = start("proxy", _proxy(identity))
        server = SwiftServer(f"http://127.0.0.1:{port}", pid, log)
        yield server if identity is None else _with_project(server, identity)


def _ground() -> str | None:
    """Return a folder in memory where files take the attributes in which Swift keeps metadata; None: the usual one.

    Swift waits for the disk at every write, three times.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=MEMORY_DISK) as probe:
            os.setxattr(probe.name, "user.swift.metadata", bytes(4096))
    except OSError:
        return None
    return MEMORY_DISK


def _proxy(identity: Keystone | None) -> str:
    """Return the proxy's configuration."""
    # The one that comes last leaves alone what the other has decided.
    tokens = () if identity is None else ("authtoken", "keystoneauth")
    pipeline = [*BEFORE, "memory", "s3api", *tokens, "tempauth", *AFTER, "versioned_writes", "proxy-server"]
    plain = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in (*BEFORE, *AFTER))
    url = "" if identity is None else identity.url
    return PROXY.format(pipeline=" ".join(pipeline), identity=url, domain=DOMAIN, password=SERVICE_PASSWORD) + plain


def _with_project(server: SwiftServer, identity: Keystone) -> SwiftServer:
    """Return the server with a project of Keystone's, a user in it, and the proxy's own user that looks tokens up."""
    service = identity.create_project("service")
    identity.create_user("swift", SERVICE_PASSWORD, project=service, role="admin")
    project = identity.create_project("records")
    user = identity.create_user("tester", server.key, project=project, role="member")
    identity.offer("object-store", f"{server.url}/v1/KEY_$(project_id)s")
    application = identity.create_application_credential(user, server.key, project=project)
    return replace(server, identity=identity, project=project, application=application)
