"""A real Keystone on this machine, OpenStack's identity service: for tests of what takes its tokens.

It is no dependency of ours: `pip install keystone` puts it into an environment of its own, whose interpreter the
environment variable SWIFT_PYTHON names (`sovbroker.testing.swift` needs Swift in the same one).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError
from sovbroker.testing.servers import running

__all__ = ["DOMAIN", "Keystone", "issue", "keystone", "openstack_python"]

DOMAIN: Final = "Default"
"""The name of the domain in which everything is."""

READY_WITHIN: Final = 120.0
TIMEOUT: Final = 60.0
ADMIN: Final = "admin"

CONFIG: Final = """
[DEFAULT]
use_stderr = true
default_log_levels = alembic=WARN,keystone.cmd=WARN
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/keys
[fernet_receipts]
key_repository = {folder}/keys
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory
"""

# A child of each command: the commands leave their configuration behind, and importing them takes the longest.
RUN: Final = """
import os, sys
from keystone.cmd import cli
_, config, host, port, password = sys.argv
url = f"http://{host}:{port}/v3"
mine = [f"--keystone-user={os.getuid()}", f"--keystone-group={os.getgid()}"]
named = ["--bootstrap-password", password, "--bootstrap-public-url", url, "--bootstrap-region-id", "one"]
for words in (["db_sync"], ["fernet_setup", *mine], ["bootstrap", *named]):
    child = os.fork()
    if not child:
        cli.main(["keystone-manage", "--config-file", config, *words])
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"`keystone-manage {words[0]}` failed")
sys.argv = sys.argv[:1]
os.environ["OS_KEYSTONE_CONFIG_FILES"] = config
from keystone.server.wsgi import initialize_public_application
from werkzeug.serving import WSGIRequestHandler, run_simple
WSGIRequestHandler.protocol_version = "HTTP/1.1"
run_simple(host, int(port), initialize_public_application(), threaded=True)
"""


@dataclass(frozen=True, slots=True)
class Keystone:
    """A running Keystone: `url` is that of its version 3, `token` an administrator's, `log` what it prints to."""

    url: str
    pid: int
    log: Path
    token: str = field(repr=False)

    @property
    def host(self) -> str:
        """`host:port`, as `Binding.hosts` takes it."""
        return urlsplit(self.url).netloc

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Ask as the administrator; return the answer. Raises ConfigError for one that is an error."""
        return _ask(self.host, method, f"/v3/{path}", body, {"X-Auth-Token": self.token})[1]

    def create_project(self, name: str) -> str:
        """Make a project, and return its id."""
        made = self.ask("POST", "projects", {"project": {"name": name, "domain_id": DOMAIN.lower()}})
        return str(made["project"]["id"])

    def create_user(self, name: str, password: str, *, project: str, role: str) -> str:
        """Make a user with a role in the project with the id `project`, and return the user's id."""
        user = {"name": name, "password": password, "domain_id": DOMAIN.lower()}
        made = str(self.ask("POST", "users", {"user": user})["user"]["id"])
        found = self.ask("GET", f"roles?name={role}")["roles"][0]["id"]
        self.ask("PUT", f"projects/{project}/users/{made}/roles/{found}")
        return made

    def create_application_credential(self, user: str, password: str, *, project: str) -> tuple[str, str]:
        """Make an application credential of the user with the id `user`, by its own token; return id and secret."""
        token = issue(self.host, {"user": {"id": user, "password": password}}, project=project)
        path, body = f"/v3/users/{user}/application_credentials", {"application_credential": {"name": "sovbroker"}}
        made = _ask(self.host, "POST", path, body, {"X-Auth-Token": token})[1]["application_credential"]
        return str(made["id"]), str(made["secret"])

    def revoke(self, token: str) -> None:
        """Make a token invalid before its time."""
        _ask(self.host, "DELETE", "/v3/auth/tokens", None, {"X-Auth-Token": self.token, "X-Subject-Token": token})

    def offer(self, kind: str, url: str, *, region: str = "one") -> None:
        """Name a service in the catalogue, at a URL that may hold `$(project_id)s`."""
        if not any(found["id"] == region for found in self.ask("GET", "regions")["regions"]):
            self.ask("POST", "regions", {"region": {"id": region}})
        known = self.ask("GET", f"services?type={kind}")["services"]
        service = (known or [self.ask("POST", "services", {"service": {"type": kind, "name": kind}})["service"]])[0]
        endpoint = {"service_id": service["id"], "interface": "public", "region_id": region, "url": url}
        self.ask("POST", "endpoints", {"endpoint": endpoint})


def openstack_python(module: str) -> str:
    """Return the interpreter in whose environment an OpenStack service is: SWIFT_PYTHON. Raises ConfigError."""
    found = os.environ.get("SWIFT_PYTHON")
    path = None if found is None else shutil.which(found)
    if path is None:
        raise ConfigError(
            f"there is no `{module}` on this machine; run `python -m venv DIR`, `DIR/bin/pip install swift keystone "
            "keystonemiddleware`, and set SWIFT_PYTHON to `DIR/bin/python`"
        )
    return str(Path(path).absolute())


@contextmanager
def keystone(folder: Path) -> Generator[Keystone]:
    """Run Keystone with its database in `folder`. Raises ConfigError when it is not installed."""
    python = openstack_python("keystone")
    password = "not-a-secret"  # noqa: S105 - of an administrator who lives as long as the test
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "keys").mkdir(mode=0o700, exist_ok=True)
    config = folder / "keystone.conf"
    config.write_text(CONFIG.format(folder=folder), encoding="utf-8")

    def command(port: int) -> Sequence[str]:
        return [python, "-c", RUN, str(config), "127.0.0.1", str(port), password]

    with running(command, ready_within=READY_WITHIN) as (port, pid, log):
        host = f"127.0.0.1:{port}"
        person = {"user": {"name": ADMIN, "password": password, "domain": {"name": DOMAIN}}}
        yield Keystone(f"http://{host}/v3", pid, log, issue(host, person, project=None))


def issue(host: str, person: Mapping[str, object], *, project: str | None) -> str:
    """Return a token of somebody who shows a password, for a project by id; None: the administrator's own."""
    scope = {"name": ADMIN, "domain": {"name": DOMAIN}} if project is None else {"id": project}
    identity = {"methods": ["password"], "password": person}
    asked: Mapping[str, object] = {"auth": {"identity": identity, "scope": {"project": scope}}}
    return str(_ask(host, "POST", "/v3/auth/tokens", asked, {})[0])


def _ask(
    host: str, method: str, path: str, body: Mapping[str, object] | None, headers: Mapping[str, str]
) -> tuple[str | None, dict[str, Any]]:
    """Return the token that an answer gives, and what it holds."""
    connection = HTTPConnection(host, timeout=TIMEOUT)
    try:
        sent = b"" if body is None else json.dumps(body).encode()
        connection.request(method, path, body=sent, headers={"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        said = answer.read()
    finally:
        connection.close()
    if answer.status not in range(200, 300):
        raise ConfigError(f"Keystone answered {answer.status} to {method} {path}: {said[:300]!r}")
    return answer.headers.get("X-Subject-Token"), json.loads(said) if said else {}
