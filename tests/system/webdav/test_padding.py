"""Padded sizes over HTTP: at a WebDAV server that takes neither metadata nor parts, and at S3, on both its ways."""

from __future__ import annotations

import io
import os

import boto3
import pytest

from sovbroker.envelope import CHUNK, padded_size, sealed_size
from sovbroker.transfer.outgoing import PART, SMALL

SIZES = [0, 100, CHUNK - 8, SMALL - 8, SMALL, SMALL + 1, SMALL + PART + 17]
RULES = "  internal: {store: {anywhere: {encrypt: client}}, pad: true}\n"


@pytest.fixture(scope="module")
def noise():
    return os.urandom(SMALL + 2 * PART)


def at_s3(home):
    """Return the lengths of the bodies that S3 itself lists."""
    client = boto3.client(
        "s3",
        endpoint_url=home.s3.url,
        region_name="us-east-1",
        aws_access_key_id=home.s3.access_key,
        aws_secret_access_key=home.s3.secret_key,
    )
    return [item["Size"] for item in client.list_objects_v2(Bucket=home.name).get("Contents", [])]


def written(home, *, fast=False, only=None):
    home.write(policy=home.policy.replace("  internal: {store: {anywhere: {encrypt: client}}}\n", RULES))
    path = home.path / "sovbroker.yaml"
    lines = path.read_text().splitlines(keepends=True)
    if only is not None:
        lines = [line for line in lines if not line.startswith("  - {at:") or only in line]
    text = "".join(lines)
    path.write_text(text.replace("emulated: true", "emulated: true, fast: true") if fast else text)
    return home.open()


def reads(broker, key, data):
    size = len(data)
    assert broker.read(key) == data
    with broker.get(key) as file:
        for back in {min(size, n) for n in (0, 1, 100, CHUNK)}:
            file.seek(-back, io.SEEK_END)
            assert file.read() == data[size - back :]
    for first in {0, size // 2, max(0, size - 3)} if size else set():
        assert broker.read(key, range=(first, first + 100)) == data[first : first + 101]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_that_goes_whole_is_padded_and_so_is_its_copy_in_parts(home, noise, size):
    broker = written(home)
    data = noise[:size]
    broker.put("internal/a", data, label="both")
    padded = sealed_size(padded_size(size))
    assert padded in [path.stat().st_size for path in home.files()]
    assert at_s3(home) == [padded]
    reads(broker, "internal/a", data)
    broker.close()
    for file in home.path.glob("state.db*"):
        file.unlink()
    again = home.open()
    assert again.reindex().whole
    reads(again, "internal/a", data)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("size", [100, SMALL + PART + 17])
def test_a_stream_to_s3_is_padded_at_its_end(home, noise, size, fast):
    broker = written(home, fast=fast, only="ovhcloud/gra")
    data = noise[:size]
    broker.put("internal/a", iter([data]))
    assert at_s3(home) == [sealed_size(padded_size(size))]
    reads(broker, "internal/a", data)
    broker.close()
    for file in home.path.glob("state.db*"):
        file.unlink()
    again = home.open()
    assert again.reindex().whole
    assert again.stat("internal/a").size == size
    reads(again, "internal/a", data)
