"""Five providers on this machine: one S3 server process each, and a client that knows nothing of sovbroker."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sovbroker.demo.checks import Held, Scanner, Wrong
from sovbroker.demo.samples import data
from sovbroker.errors import ConfigError
from sovbroker.keys import Keyring, PassphraseService
from sovbroker.testing.servers import Server, moto

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["PLACES", "Cloud", "check_stopped", "configure", "passphrase", "serve"]

PLACES: Final = (
    "aws/eu-west-3",
    "ovhcloud/gra",
    "clever-cloud/par",
    "outscale/cloudgouv-eu-west-1",
    "cloud-temple/fr1",
)
VARIABLE: Final = "SOVBROKER_DEMO_PASSPHRASE"
KEYRING: Final = "keyring.json"
NEEDED: Final = ("boto3", "moto")


@dataclass(frozen=True, slots=True)
class Cloud:
    """One provider: the target's id, the server that plays it, and the bucket there."""

    target: str
    server: Server
    bucket: str

    def client(self) -> S3Client:
        """Return a bare boto3 client of the server."""
        import boto3  # noqa: PLC0415  # the extra `s3`, and heavy
        from botocore.config import Config  # noqa: PLC0415  # as above

        client: S3Client = boto3.client(  # pyright: ignore[reportUnknownMemberType]  # stubs for other services are absent
            "s3",
            endpoint_url=self.server.url,
            region_name="us-east-1",
            aws_access_key_id=self.server.access_key,
            aws_secret_access_key=self.server.secret_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
        )
        return client

    def names(self) -> Sequence[str]:
        """Return the names of everything the provider holds, in order."""
        with closing(self.client()) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
            return [item["Key"] for page in pages for item in page.get("Contents", []) if "Key" in item]

    def look(self, scanner: Scanner) -> Sequence[Held]:
        """Read everything that the provider holds, byte by byte, as the provider could."""
        held = list[Held]()
        with closing(self.client()) as client:
            for name in self.names():
                answer = client.get_object(Bucket=self.bucket, Key=name)
                with closing(answer["Body"]) as body:
                    held.append(scanner.look(self.target, name, answer["Metadata"], body))
        return held

    def link(self, name: str) -> str:
        """Return a URL that reads one object's bare bytes."""
        with closing(self.client()) as client:
            return client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": name})


@contextmanager
def serve(places: Sequence[str] = PLACES) -> Generator[Mapping[str, Cloud]]:
    """Start one server process per place, with one bucket each, and stop them all at the end.

    Raises ConfigError when moto or boto3 is not installed.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the demo needs {' and '.join(missing)} for its S3 servers; run `pip install 'sovbroker[demo]'`"
        )
    with ExitStack() as stack:
        clouds = dict[str, Cloud]()
        for target in places:
            server = stack.enter_context(moto())
            cloud = Cloud(target, server, f"valmont-{target.partition('/')[0]}")
            server.create_bucket(cloud.bucket)
            clouds[target] = cloud
        yield clouds


def check_stopped(pids: Sequence[int], folder: Path) -> None:
    """Check that no process of `pids` runs any more, and that `folder` is gone."""
    alive = [pid for pid in pids if _runs(pid)]
    if alive:
        raise Wrong(f"still running: {', '.join(map(str, alive))}")
    if folder.exists():
        raise Wrong(f"`{folder}` is still there")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def passphrase() -> Generator[str]:
    """Make a passphrase for this run, and keep it in this process's environment only while the block runs."""
    word = secrets.token_urlsafe(24)
    os.environ[VARIABLE] = word
    try:
        yield word
    finally:
        os.environ.pop(VARIABLE, None)


def configure(folder: Path, clouds: Mapping[str, Cloud], *, word: str) -> Path:
    """Write policy, keyring and configuration to `folder`; return the configuration's path."""
    (folder / "policy.yaml").write_bytes((data() / "policy.yaml").read_bytes())
    keyring, _recovery = Keyring.create(folder / KEYRING, PassphraseService(word), recovery=False)
    keyring.close()
    targets = [
        {
            "at": cloud.target,
            "bucket": cloud.bucket,
            "endpoint": cloud.server.url,
            "emulated": True,
            "credentials": {"access_key": cloud.server.access_key, "secret_key": cloud.server.secret_key},
        }
        for cloud in clouds.values()
    ]
    key = {
        "service": "file",
        "path": KEYRING,
        "passphrase": {"env": VARIABLE},
        "located": "FR",
        "controlled": ["FR"],
    }
    lines = [
        "sovbroker: 1",
        "policy: policy.yaml",
        "state: state.db",
        "keys:",
        f"  main: {json.dumps(key)}",
        "targets:",
    ]
    lines += [f"  - {json.dumps(target)}" for target in targets]
    path = folder / "sovbroker.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
