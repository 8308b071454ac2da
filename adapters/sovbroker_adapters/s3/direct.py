"""The requests that are made for every object, without the SDK's thousand lines for each.

Put, get, head and delete of an object, and a part of an upload, go out over our own connections. Everything else, and
these too where a target needs what only the SDK does (signatures of version 2, checksums on answers), is the SDK's.
Where a request goes is what the SDK says: it is asked once, with a request that is never sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http.client import HTTPResponse
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from sovbroker_adapters.s3.signing import Keys, Signer
from sovbroker_adapters.s3.wire import Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["DIRECT", "PROBE", "Direct", "place_of"]

PROBE: Final = "x"
UNASKED: Final = "nobody was asked"
SAFE: Final = "/~"
META: Final = "x-amz-meta-"
MOST: Final = 1 << 20
OK: Final = range(200, 300)
REDIRECTS: Final = 301
BROKEN: Final = 500


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation: its name at the SDK, its method, and whether its answer has a body."""

    name: str
    method: str
    bodied: bool = False


DIRECT: Final[Mapping[str, _Operation]] = MappingProxyType(
    {
        "put_object": _Operation("PutObject", "PUT"),
        "get_object": _Operation("GetObject", "GET", bodied=True),
        "head_object": _Operation("HeadObject", "HEAD"),
        "delete_object": _Operation("DeleteObject", "DELETE"),
        "upload_part": _Operation("UploadPart", "PUT"),
    }
)
SENT: Final = MappingProxyType(
    {"Range": "range", "IfNoneMatch": "if-none-match", "ChecksumCRC32": "x-amz-checksum-crc32"}
)

TOLD: Final = MappingProxyType(
    {
        "etag": "ETag",
        "content-range": "ContentRange",
        "content-type": "ContentType",
        "cache-control": "CacheControl",
        "content-disposition": "ContentDisposition",
        "content-encoding": "ContentEncoding",
        "content-language": "ContentLanguage",
        "x-amz-object-lock-legal-hold": "ObjectLockLegalHoldStatus",
        "x-amz-object-lock-mode": "ObjectLockMode",
        "x-amz-server-side-encryption": "ServerSideEncryption",
        "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
        "x-amz-storage-class": "StorageClass",
        "x-amz-version-id": "VersionId",
    }
)
"""Headers of answers that are texts, and the SDK's words for them."""

KNOWN: Final = frozenset(
    {"Key", "Body", "ContentLength", "Metadata", "PartNumber", "UploadId", "VersionId"} | SENT.keys()
)
"""The parameters that stand in a request that is made here; with any other one it is the SDK's."""


@dataclass(frozen=True, slots=True)
class Direct:
    """One bucket. `prefix` is what stands before a key in a request's target; `keys` tells what to sign with now.

    `checked`: answers are to be compared with the service's checksums, which is the SDK's to do.
    """

    wire: Wire
    prefix: str
    signer: Signer
    keys: Callable[[], Keys | None]
    checked: bool = False

    def serves(self, operation: str, params: Mapping[str, Any]) -> bool:
        """Whether this is the way for an operation, by its name at the SDK's client, with these parameters.

        What it does not know it must not drop: a version, a digest, a body that is no stream of blocks.
        """
        if operation not in DIRECT or (self.checked and DIRECT[operation].bodied):
            return False
        body = params.get("Body")
        return params.keys() <= KNOWN and (not body or hasattr(body, "stream"))

    def ask(self, operation: _Operation, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a request, and return the answer in the SDK's words. Raises what the SDK raises, OSError, HTTPException.

        `params` are the SDK's; the body is iterated in blocks.
        """
        path = self.prefix + quote(params["Key"], safe=SAFE)
        query = ""
        if "UploadId" in params:
            query = f"partNumber={params['PartNumber']}&uploadId={quote(params['UploadId'], safe='~')}"
        elif "VersionId" in params:
            query = f"versionId={quote(params['VersionId'], safe='~')}"
        headers = {"host": self.wire.host}
        for name in SENT.keys() & params.keys():
            headers[SENT[name]] = params[name]
        for name, value in params.get("Metadata", {}).items():
            headers[META + name] = value
        keys = self.keys()
        if keys is not None:
            now = datetime.now(UTC)
            headers |= self.signer.sign(operation.method, path, query, headers=headers, keys=keys, now=now)
        size = params.get("ContentLength", 0)
        if operation.method == "PUT":
            headers["content-length"] = str(size)
        answer, body = self.wire.ask(
            operation.method, f"{path}?{query}" if query else path, headers, _blocks(params), size=size
        )
        try:
            if operation.bodied and answer.status in OK:
                return _said(answer) | {"Body": body}
            _check(operation, answer, body.read(MOST))
            said = _said(answer)
        except BaseException:
            body.close()
            raise
        body.close()
        return said


def _blocks(params: Mapping[str, Any]) -> Iterable[memoryview]:
    stream = getattr(params.get("Body"), "stream", None)
    return () if stream is None else cast("Iterable[memoryview]", stream())


def _said(answer: HTTPResponse) -> dict[str, Any]:
    """Return what the head of an answer tells, in the SDK's words."""
    said: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    for name, value in answer.headers.items():
        lower = name.lower()
        if lower.startswith(META):
            metadata[lower.removeprefix(META)] = value
            continue
        if lower in TOLD:
            said[TOLD[lower]] = value
            continue
        match lower:
            case "content-length":
                said["ContentLength"] = int(value)
            case "last-modified":
                said["LastModified"] = _moment(value)
            case "x-amz-delete-marker":
                said["DeleteMarker"] = value == "true"
            case "x-amz-object-lock-retain-until-date":
                said["ObjectLockRetainUntilDate"] = _instant(value)
            case _:
                pass
    return said | {"Metadata": metadata, "ResponseMetadata": {"HTTPStatusCode": answer.status}}


def _moment(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _check(operation: _Operation, answer: HTTPResponse, body: bytes) -> None:
    """Raise the SDK's error of an answer that is none of success, so that what it means is judged in one place.

    Where there should be no body, one may come from somebody in between, or be an error after all.
    """
    if answer.status in OK and not body:
        return
    from botocore.exceptions import ClientError  # noqa: PLC0415 - the SDK is loaded when it is needed

    parsed = dict(_parsed(answer, body))
    if answer.status in OK and not parsed["Error"]["Code"]:
        return
    parsed["ResponseMetadata"] = {**parsed["ResponseMetadata"], "HTTPStatusCode": answer.status}
    raise ClientError(cast("Any", parsed), operation.name)


def _parsed(answer: HTTPResponse, body: bytes) -> Mapping[str, Any]:
    """Read an error as the SDK does: its code is "" where the body is XML that speaks of none."""
    # With a status of the 200s there would be no error to it, with one of the 500s it knows HTML.
    status = answer.status if answer.status >= REDIRECTS else BROKEN
    head = dict(answer.headers.items())
    return cast("Mapping[str, Any]", _parser().parse({"status_code": status, "headers": head, "body": body}, None))


@cache
def _parser() -> Any:  # noqa: ANN401 - the SDK's parser
    from botocore.parsers import create_parser  # noqa: PLC0415 - the SDK is loaded when it is needed

    return cast("Any", create_parser)("rest-xml")


class _Nothing:
    """The body of an answer that nobody gave."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """Give nothing."""
        return iter(())


def place_of(client: S3Client, bucket: str) -> str | None:
    """Return the URL of the object `PROBE`, as the SDK would ask for it; no request is made.

    None where something else takes the SDK's requests before they are sent: then it shall go on to do so.
    """
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - the SDK is loaded when the first call needs it
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

    found: list[str] = []
    answer: Mapping[str, Any] = {}

    def instead(request: Any, **_: object) -> Any:  # noqa: ANN401 - the SDK's request and answer
        found.append(request.url)
        return cast("Any", AWSResponse)(request.url, 200, {"ETag": UNASKED}, _Nothing())

    events = client.meta.events
    events.register_last("before-send", instead)
    try:
        with suppress(ClientError):
            answer = client.head_object(Bucket=bucket, Key=PROBE)
    finally:
        events.unregister("before-send", instead)
    return found[0] if answer.get("ETag") == UNASKED else None
