"""Put one object of a size by one client, and print by how many MiB this process grew: `URL CLIENT SIZE`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from bench._clients import ACCESS, BUCKET, SECRET, bare, broker_at
from bench.peak import Peak

BLOCK: Final = bytes(1 << 20)


def blocks(size: int) -> Iterator[bytes]:
    """Yield a body, a MiB at a time."""
    for _ in range(size >> 20):
        yield BLOCK


class Stream(io.RawIOBase):
    """The same body as a file."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes, as many as there are: a short answer would be taken for the end."""
        count = self._left if size < 0 else min(size, self._left)
        self._left -= count
        return bytes(count)


def put(who: str, url: str, key: str) -> Callable[[int], object]:
    """Return what puts an object of a size, as one does who does not have it in memory."""
    match who:
        case "boto3":
            client = bare(url)
            return lambda size: client.upload_fileobj(Stream(size), BUCKET, key)  # type: ignore[arg-type]  # it reads
        case "s3fs":
            made: Any = import_module("s3fs").S3FileSystem(key=ACCESS, secret=SECRET, endpoint_url=url)
            return lambda size: _written(made.open(f"{BUCKET}/{key}", "wb", autocommit=True), size)
        case "smart_open":
            opened: Any = import_module("smart_open").open
            given = {"client": bare(url)}
            return lambda size: _written(opened(f"s3://{BUCKET}/{key}", "wb", transport_params=given), size)
        case "libcloud":
            place = urlsplit(url)
            driver: Any = import_module("libcloud.storage.drivers.s3").S3StorageDriver(
                ACCESS, SECRET, secure=False, host=place.hostname, port=place.port, region="us-east-1"
            )
            box = import_module("libcloud.storage.base").Container(BUCKET, {}, driver)
            return lambda size: driver.upload_object_via_stream(blocks(size), box, key)
        case "obstore":
            store: Any = import_module("obstore.store").S3Store(
                BUCKET,
                endpoint=url,
                region="us-east-1",
                access_key_id=ACCESS,
                secret_access_key=SECRET,
                virtual_hosted_style_request=False,
                client_options={"allow_http": True},
            )
            return lambda size: import_module("obstore").put(store, key, blocks(size))
        case _:
            raise ValueError(f"`{who}` is none of the clients")


def _written(file: Any, size: int) -> None:  # noqa: ANN401 - whatever a peer calls a file
    with file:
        for block in blocks(size):
            file.write(block)


def main(url: str, who: str, size: int) -> None:
    """Put a small object first, so that what everybody loads and opens once is not counted."""
    if not who.startswith("broker"):
        put(who, url, "small")(2 << 20)
        peak = Peak()
        put(who, url, "big")(size)
        sys.stdout.write(f"{peak.grown()}\n")
        held = bare(url).head_object(Bucket=BUCKET, Key="big")["ContentLength"]
        if held != size:
            raise ValueError(f"{who} stored {held} bytes of {size}")
        return
    prefix = who.removeprefix("broker, ")
    with TemporaryDirectory() as folder, broker_at(url, Path(folder)) as broker:
        broker.put(f"{prefix}/small", BLOCK)
        peak = Peak()
        broker.put(f"{prefix}/big", blocks(size))
        sys.stdout.write(f"{peak.grown()}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
