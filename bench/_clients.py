"""Everybody who is compared on one S3 server, each used as its own documentation would have it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

import sovbroker
from sovbroker.ports import Binding, Credentials
from sovbroker.router import find_adapter

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from sovbroker.broker import Broker
    from sovbroker.ports import Store

__all__ = ["ACCESS", "BUCKET", "SECRET", "Client", "bare", "broker_at", "clients", "null_server", "peers", "store_at"]

ACCESS: Final = "bench"
SECRET: Final = "benchbench"  # noqa: S105 - an emulator's
BUCKET: Final = "bench"
MANY: Final = "many"
PASSPHRASE: Final = "only for this measurement"  # noqa: S105 - protects nothing
TARGET: Final = "ovhcloud/gra"
PEERS: Final[Mapping[str, str]] = {
    "s3fs": "s3fs",
    "smart_open": "smart_open",
    "libcloud": "libcloud",
    "obstore": "obstore",
}
"""The peers, and the module that each needs; the extra `peers` installs them."""

POLICY: Final = """
sovbroker: 1
levels: [public, internal]
zones: {anywhere: {}}
require:
  public: {store: {anywhere: {}}}
  internal: {store: {anywhere: {encrypt: client}}}
classify:
  - {id: clear, path: "clear/**", label: public}
  - {id: sealed, path: "sealed/**", label: internal}
"""

CONFIG: Final = """
sovbroker: 1
policy: policy.yaml
durability: {durability}
keys:
  main: {{service: file, path: keyring.json, passphrase: {{env: SOVBROKER_PASSPHRASE}}}}
targets:
  - at: ovhcloud/gra
    bucket: {bucket}
    endpoint: "{url}"
    emulated: true
    fast: {fast}
    credentials: {{access_key: {access}, secret_key: {secret}}}
"""


@contextmanager
def null_server(*options: str) -> Generator[str]:
    """Run the server that costs next to nothing; yield its URL."""
    server = subprocess.Popen([sys.executable, "-m", "bench.null_s3", *options], stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    try:
        assert server.stdout is not None  # noqa: S101 - it was asked for
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.communicate()


def broker_at(
    url: str,
    folder: Path,
    *,
    durability: str = "power",
    fast: bool = False,
    access: str = ACCESS,
    secret: str = SECRET,
) -> Broker:
    """Open a broker with one target: a bucket of a server."""
    os.environ["SOVBROKER_PASSPHRASE"] = PASSPHRASE
    if not (folder / "keyring.json").exists():
        sovbroker.init(folder)
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    config = CONFIG.format(
        url=url, durability=durability, fast=str(fast).lower(), bucket=BUCKET, access=access, secret=secret
    )
    (folder / "sovbroker.yaml").write_text(config, encoding="utf-8")
    return sovbroker.open(folder)


def store_at(broker: Broker) -> Store:
    """Return the adapter's store below a broker, its connections and all."""
    return broker._flow.stores._store(TARGET)  # noqa: SLF001 - measured with and without what is above it


def bare(url: str, *, access: str = ACCESS, secret: str = SECRET) -> S3Client:
    """Return boto3's client as most programs have it, without the checksums that most services do not know."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=32,
        ),
    )


@dataclass(frozen=True, slots=True)
class Client:
    """One client: put a body under a name, get it, ask for it, and list the 10,000 names of a bucket."""

    name: str
    put: Callable[[str, bytes], object]
    get: Callable[[str], object]
    head: Callable[[str], object] | None = None
    list: Callable[[], int] | None = None


@dataclass(slots=True)
class Numbers:
    """Names that were not used yet."""

    count: itertools.count[int] = field(default_factory=itertools.count)

    def __call__(self) -> str:
        """Return the next one."""
        return f"{os.getpid()}-{next(self.count)}"


@contextmanager
def clients(url: str, *, access: str = ACCESS, secret: str = SECRET, fast: bool = True) -> Generator[list[Client]]:
    """Yield boto3, our adapters, and the broker over them."""
    with ExitStack() as stack:

        def opened(**options: Any) -> Broker:  # noqa: ANN401 - the options of broker_at
            folder = Path(stack.enter_context(TemporaryDirectory()))
            return stack.enter_context(broker_at(url, folder, access=access, secret=secret, **options))

        found = [_boto3(bare(url, access=access, secret=secret))]
        plain = opened()
        found += [_store("adapter s3", store_at(plain)), *_broker("broker", plain)]
        found += _broker("broker, durability: process", opened(durability="process"))
        if fast:
            quick = opened(fast=True)
            found += [_store("adapter obstore (fast)", store_at(quick)), *_broker("broker, fast", quick)]
        yield found


def peers(url: str, *, access: str = ACCESS, secret: str = SECRET) -> tuple[list[Client], list[str]]:
    """Return the peers that are installed, and the names of those that are not."""
    made = {"s3fs": _s3fs, "smart_open": _smart_open, "libcloud": _libcloud, "obstore": _obstore}
    missing = [name for name, module in PEERS.items() if find_spec(module) is None]
    return [make(url, access, secret) for name, make in made.items() if name not in missing], missing


def _boto3(client: S3Client) -> Client:
    def listed() -> int:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=MANY)
        return sum(len(page.get("Contents", ())) for page in pages)

    return Client(
        "boto3",
        lambda key, body: client.put_object(Bucket=BUCKET, Key=key, Body=body),
        lambda key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read(),
        lambda key: client.head_object(Bucket=BUCKET, Key=key),
        listed,
    )


def _store(name: str, store: Store) -> Client:
    def get(key: str) -> bytes:
        with store.get(key) as reader:
            return reader.read()

    return Client(name, lambda key, body: store.put(key, body, size=len(body)), get, store.head)


def _broker(name: str, broker: Broker) -> list[Client]:
    def over(prefix: str) -> Client:
        return Client(
            f"{name}, {prefix}",
            lambda key, body: broker.put(f"{prefix}/{key}", body),
            lambda key: broker.read(f"{prefix}/{key}"),
            lambda key: broker.stat(f"{prefix}/{key}"),
        )

    return [over("clear"), over("sealed")]


def listing_store(url: str, *, adapter: str = "s3") -> Store:
    """Return the store of the bucket with 10,000 objects."""
    binding = Binding(
        target="bench",
        container=MANY,
        endpoint=url,
        region="us-east-1",
        hosts=frozenset({urlsplit(url).netloc}),
        credentials=Credentials({"access_key": ACCESS, "secret_key": SECRET}),
    )
    return find_adapter(adapter)(binding)


def _s3fs(url: str, access: str, secret: str) -> Client:
    filesystem: Any = import_module("s3fs").S3FileSystem(
        key=access, secret=secret, endpoint_url=url, use_listings_cache=False, skip_instance_cache=True
    )

    def listed() -> int:
        return len(filesystem.find(MANY))

    return Client(
        "s3fs",
        lambda key, body: filesystem.pipe_file(f"{BUCKET}/{key}", body),
        lambda key: filesystem.cat_file(f"{BUCKET}/{key}"),
        lambda key: filesystem.info(f"{BUCKET}/{key}", refresh=True),
        listed,
    )


def _smart_open(url: str, access: str, secret: str) -> Client:
    opened: Any = import_module("smart_open").open
    parameters = {"client": bare(url, access=access, secret=secret)}
    whole = parameters | {"multipart_upload": False}

    def put(key: str, body: bytes) -> None:
        with opened(
            f"s3://{BUCKET}/{key}", "wb", transport_params=whole if len(body) < 1 << 20 else parameters
        ) as file:
            file.write(body)

    def get(key: str) -> bytes:
        with opened(f"s3://{BUCKET}/{key}", "rb", transport_params=parameters) as file:
            data: bytes = file.read()
            return data

    return Client("smart_open", put, get)


def _libcloud(url: str, access: str, secret: str) -> Client:
    storage: Any = import_module("libcloud.storage.base")
    made: Any = import_module("libcloud.storage.drivers.s3").S3StorageDriver
    place = urlsplit(url)
    driver = made(access, secret, secure=False, host=place.hostname, port=place.port, region="us-east-1")
    box, many = (storage.Container(name, {}, driver) for name in (BUCKET, MANY))

    def get(key: str) -> bytes:
        found = driver.get_object(BUCKET, key)
        return b"".join(driver.download_object_as_stream(found))

    return Client(
        "libcloud",
        lambda key, body: driver.upload_object_via_stream(BytesIO(body), box, key),
        get,
        lambda key: driver.get_object(BUCKET, key),
        lambda: sum(1 for _ in driver.iterate_container_objects(many)),
    )


def _obstore(url: str, access: str, secret: str) -> Client:
    module: Any = import_module("obstore")
    made: Any = import_module("obstore.store").S3Store

    def store(bucket: str) -> Any:  # noqa: ANN401 - a class of an extension
        return made(
            bucket,
            endpoint=url,
            region="us-east-1",
            access_key_id=access,
            secret_access_key=secret,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    box, many = store(BUCKET), store(MANY)
    return Client(
        "obstore",
        lambda key, body: module.put(box, key, body, use_multipart=len(body) > 16 << 20),
        lambda key: bytes(module.get(box, key).bytes()),
        lambda key: module.head(box, key),
        lambda: sum(len(page) for page in module.list(many)),
    )
