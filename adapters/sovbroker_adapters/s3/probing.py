"""What a probe may ask of an S3 service beside the port: nothing of it is used for anything else.

Some services take a sub-resource for the object itself, and replace its body by the request's XML.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from sovbroker_adapters.s3.client import Connection

__all__ = ["sub_resources", "wrong_digests"]

WRONG: Final = b"not this body"
HELD: Final = timedelta(seconds=1)


def sub_resources(connection: Connection) -> Mapping[str, Callable[[str], None]]:
    """Return the calls that write beside an object. The retention ends after a second, and may be ended before."""

    def tag(key: str) -> None:
        tags = {"TagSet": [{"Key": "probe", "Value": "1"}]}
        connection.ask("put_object_tagging", {"Key": key, "Tagging": tags}, key=key, again=False)

    def permit(key: str) -> None:
        connection.ask("put_object_acl", {"Key": key, "ACL": "private"}, key=key, again=False)

    def retain(key: str) -> None:
        held = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + HELD}
        connection.ask("put_object_retention", {"Key": key, "Retention": held}, key=key, again=False)

    return MappingProxyType({"PutObjectTagging": tag, "PutObjectAcl": permit, "PutObjectRetention": retain})


def wrong_digests(connection: Connection) -> Mapping[str, Callable[[str, bytes], None]]:
    """Return the puts that announce the digest of another body."""

    def put(digest: Mapping[str, str]) -> Callable[[str, bytes], None]:
        def send(key: str, body: bytes) -> None:
            connection.ask("put_object", {"Key": key, "Body": body, **digest}, key=key, again=False)

        return send

    md5 = hashlib.md5(WRONG, usedforsecurity=False).digest()
    return MappingProxyType(
        {
            "Content-MD5": put({"ContentMD5": _text(md5)}),
            "x-amz-checksum-sha256": put({"ChecksumSHA256": _text(hashlib.sha256(WRONG).digest())}),
        }
    )


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
