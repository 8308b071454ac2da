"""The connection to one bucket: credentials, the SDK's client, the host check, repeated calls, errors.

The client is made when it is first needed, under a lock, and again in a child process: sockets do not survive a fork.
Its session looks at nothing but what the binding says: no variable of the environment sends a request elsewhere.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError, NotSupported, Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.attempts import pauses
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.s3.direct import DIRECT, PROBE, Direct, place_of
from sovbroker_adapters.s3.settings import Settings
from sovbroker_adapters.s3.signing import Keys, Signer
from sovbroker_adapters.s3.wire import Wire
from sovbroker_adapters.sessions import PLAIN, hold, isolated

if TYPE_CHECKING:
    from botocore.credentials import Credentials as SdkCredentials
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

__all__ = ["Answer", "Connection"]

T = TypeVar("T")
Answer = Mapping[str, Any]
NOTHING: Final[Answer] = {}

POOL: Final = 32
SCHEMES: Final = ("https", "http")
OK: Final = 200
DIGESTED: Final = ("DeleteObjects", "PutObjectRetention")
# The first element of an answer, by the question. Many services answer what they do not know with a listing.
ROOT: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)[\s/>]")
ROOTS: Final = MappingProxyType(
    {
        "GetBucketAcl": "AccessControlPolicy",
        "GetBucketEncryption": "ServerSideEncryptionConfiguration",
        "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
        "GetBucketLocation": "LocationConstraint",
        "GetBucketPolicyStatus": "PolicyStatus",
        "GetBucketVersioning": "VersioningConfiguration",
        "GetObjectLockConfiguration": "ObjectLockConfiguration",
        "GetObjectRetention": "Retention",
        "GetPublicAccessBlock": "PublicAccessBlockConfiguration",
        "ListObjectVersions": "ListVersionsResult",
    }
)
# How moto and Ceph spell them.
ODD_ROOTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "GetBucketVersioning": ("GetBucketVersioningResponse",),
        "GetPublicAccessBlock": ("BlockPublicAccessBlockConfiguration",),
    }
)
ASK_NOBODY: Final = frozenset({"env", "shared-credentials-file", "config-file", "custom-process"})
BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
MISSING: Final = "boto3 is not installed; run `pip install 'sovbroker[s3]'`"


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is open in one process: the SDK's client, and the short way for what is asked most, where it serves."""

    client: S3Client
    direct: Direct | None


class Connection:
    """One bucket of one service. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, settings: Settings) -> None:
        _check(binding, settings)
        self.target = binding.target
        self.bucket = binding.container
        self._binding = binding
        self._settings = settings
        self._opened = PerProcess(self._open)

    def __repr__(self) -> str:
        """Name the bucket, and no secret."""
        return f"Connection(target={self.target!r}, bucket={self.bucket!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled")

    def ask(
        self,
        operation: str,
        params: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = NOTHING,
        *,
        key: str | None = None,
        again: bool = True,
        conditional: bool = False,
    ) -> Answer:
        """Call a method of the client for the bucket, and return the answer as it came: nothing in it is certain.

        `params` may be made anew for each attempt. `again`: the call may be repeated when there is no answer. Whatever
        fails is an error of ours.
        """

        def call(opened: _Opened) -> Answer:
            named = params() if callable(params) else params
            if opened.direct is not None and opened.direct.serves(operation, named):
                return opened.direct.ask(DIRECT[operation], named)
            answer: Answer = getattr(opened.client, operation)(Bucket=self.bucket, **named)
            return answer

        return self._attempted(call, key=key, again=again, conditional=conditional)

    def local(self, call: Callable[[S3Client], T], *, key: str | None = None) -> T:
        """Use the client for what makes no request; see `ask`."""
        return self._attempted(lambda opened: call(opened.client), key=key, again=False, conditional=False)

    def _attempted(self, call: Callable[[_Opened], T], *, key: str | None, again: bool, conditional: bool) -> T:
        from sovbroker_adapters.s3.failures import Asked, failure  # noqa: PLC0415 - it needs the SDK

        asked = Asked(self.target, self.bucket, key, conditional)
        for pause in pauses(self._settings.attempts, again=again):
            try:
                return call(self._opened.get())
            except Exception as error:
                found = failure(error, asked)
                if found is error:
                    raise
                if pause is None or not isinstance(found, Unavailable):
                    raise found from error
            time.sleep(pause)
        raise AssertionError  # the last pause is None

    def client(self) -> S3Client:
        """Return the client of this process."""
        return self._opened.get().client

    def close(self) -> None:
        """Close the connections of this process."""
        made = self._opened.take()
        if made is not None:
            made.client.close()
            if made.direct is not None:
                made.direct.wire.close()

    def check_host(self, url: str) -> None:
        """Raise PermissionDenied unless `url` leads to a host of this target."""
        below = self.bucket if self._settings.addressing == "virtual" else ""
        check_host(url, hosts=self._binding.hosts, target=self.target, below=below)

    def _open(self) -> _Opened:
        session = isolated()
        client = self._make(session)
        return _Opened(client, self._direct(client, session))

    def _direct(self, client: S3Client, session: Session) -> Direct | None:
        """Return the short way, where the target needs nothing that only the SDK does."""
        from botocore.httpsession import get_cert_path  # noqa: PLC0415 - the SDK is loaded when the first call needs it

        settings = self._settings
        if settings.signature != "s3v4" and not settings.anonymous:
            return None
        url = place_of(client, self.bucket)
        if url is None:
            return None
        self.check_host(url)
        bundle: bool | str = True if settings.ca_bundle is None else str(settings.ca_bundle)
        wire = Wire(
            url,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            certificates=cast("Any", get_cert_path)(bundle),
            most=POOL,
            target=self.target,
        )
        prefix = urlsplit(url).path.removesuffix(PROBE)
        signer = Signer(client.meta.region_name)
        return Direct(wire, prefix, signer, self._keys(session), checked=settings.checksums == "when-supported")

    def _keys(self, session: Session) -> Callable[[], Keys | None]:
        """Return what tells the keys to sign with; ambient ones may be renewed, so they are asked for each time."""
        if self._settings.anonymous:
            return lambda: None
        given = self._credentials(session)
        if given:
            names = ("aws_access_key_id", "aws_secret_access_key")
            keys = Keys(given[names[0]], given[names[1]], given.get("aws_session_token"))
            return lambda: keys

        def ambient() -> Keys:
            from botocore.exceptions import NoCredentialsError  # noqa: PLC0415 - the SDK is loaded lazily

            found = cast("Any", session).get_credentials()
            if found is None:
                raise NoCredentialsError
            frozen = found.get_frozen_credentials()
            return Keys(frozen.access_key, frozen.secret_key, frozen.token)

        return ambient

    def _make(self, session: Session) -> S3Client:
        from botocore import UNSIGNED  # noqa: PLC0415 - the SDK is loaded when the first call needs it
        from botocore.config import Config  # noqa: PLC0415 - as above

        settings, binding = self._settings, self._binding
        checksums = settings.checksums.replace("-", "_")
        config = cast("Any", Config)(  # the stubs lag behind the options
            signature_version=UNSIGNED if settings.anonymous else settings.signature,
            s3={
                "addressing_style": settings.addressing,
                "payload_signing_enabled": False,
                "use_accelerate_endpoint": False,
                "us_east_1_regional_endpoint": "regional",
                # A name that ends like those of S3 Express is a name like any other.
                "disable_s3_express_session_auth": True,
            },
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            max_pool_connections=POOL,
            **PLAIN,
        )
        given: dict[str, Any] = {} if settings.anonymous else self._credentials(session)
        made = session.create_client(
            "s3",
            region_name=binding.region or "us-east-1",
            endpoint_url=binding.endpoint,
            verify=True if settings.ca_bundle is None else str(settings.ca_bundle),
            config=config,
            **given,
        )
        client = cast("S3Client", made)
        hold(
            client,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            target=self.target,
        )
        events = client.meta.events
        events.register("before-send.s3", self._before_send)
        events.register_first("before-call.s3", _before_call)
        for operation in DIGESTED:
            events.register(f"before-sign.s3.{operation}", _add_digest)
        events.register("before-parse.s3", self._before_parse)
        if settings.signature == "s3":
            events.register("before-sign.s3", self._before_old_sign)
        return client

    def _before_send(self, request: Any, **_: object) -> None:  # noqa: ANN401 - the SDK's request
        self.check_host(request.url)

    def _before_old_sign(self, request: Any, **_: object) -> None:  # noqa: ANN401 - the SDK's request
        """Ask for the bucket itself by the path that is signed: the SDK signs a slash at the end, and sends none."""
        parts = urlsplit(str(request.url))
        if request.auth_path == f"/{self.bucket}/" and not parts.path.endswith("/"):
            request.url = parts._replace(path=f"{parts.path}/").geturl()

    def _before_parse(self, operation_model: Any, response_dict: dict[str, Any], **_: object) -> None:  # noqa: ANN401 - the SDK's
        """Refuse an answer to another question, which the SDK would take for an empty one to this."""
        name = operation_model.name
        if name not in ROOTS or response_dict["status_code"] != OK:
            return
        found = ROOT.search(response_dict["body"])
        said = "" if found is None else found[1].decode()
        if said not in {ROOTS[name], *ODD_ROOTS.get(name, ())}:
            shown = f"`{said[:40]}`" if said else "something else"
            raise NotSupported(f"the store does not know {name}: it answered {shown}", target=self.target)

    def _credentials(self, session: Session) -> dict[str, str]:
        """Return the keys to sign with; ambient credentials, which may be renewed, go into the session instead."""
        secrets = self._binding.credentials
        access, secret, token = (secrets.get(name) for name in ("access_key", "secret_key", "session_token"))
        profile = secrets.get("profile")
        if profile is not None:
            return _profile(profile, self.target)
        if access is None or secret is None:
            session.register_component("credential_provider", _Ambient())
            return {}
        given = {"aws_access_key_id": access, "aws_secret_access_key": secret}
        return given if token is None else given | {"aws_session_token": token}


class _Ambient:
    """The environment's own credentials: variables, shared files, and the program that a shared file names.

    Whatever asks another service for them is left out (roles, single sign-on, the metadata service of a cloud's
    machine): a role of the shared files may be told to ask that, too.
    """

    def load_credentials(self) -> SdkCredentials | None:
        """Return what the first of them has."""
        from botocore.credentials import create_credential_resolver  # noqa: PLC0415 - the SDK is loaded lazily
        from botocore.session import Session  # noqa: PLC0415 - as above

        resolver = cast("Any", create_credential_resolver(Session()))
        resolver.providers = [each for each in resolver.providers if each.METHOD in ASK_NOBODY]
        return cast("SdkCredentials | None", resolver.load_credentials())


def _check(binding: Binding, settings: Settings) -> None:
    """Raise ConfigError for what could only fail later, and less clearly."""
    try:
        import_module("botocore.session")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    target, secrets = binding.target, binding.credentials
    if not binding.container:
        raise ConfigError(f"{target}: an S3 target needs the name of its bucket")
    if BUCKET.fullmatch(binding.container) is None:
        raise ConfigError(f"{target}: `{binding.container}` is no name of a bucket; ARNs and paths are not taken")
    if not binding.hosts:
        raise ConfigError(f"{target}: an S3 target needs the hosts that it may talk to")
    if binding.endpoint is None and binding.region is None:
        raise ConfigError(f"{target}: an S3 target needs an endpoint or a region")
    if binding.endpoint is not None and urlsplit(binding.endpoint).scheme not in SCHEMES:
        raise ConfigError(f"{target}: the endpoint `{binding.endpoint}` does not begin with https:// or http://")
    if settings.anonymous or settings.ambient:
        return
    if secrets.get("profile") is None and (secrets.get("access_key") is None or secrets.get("secret_key") is None):
        message = "give `access_key` and `secret_key`, or `profile`; the environment is used with `ambient: true` only"
        raise ConfigError(f"{target}: no credentials: {message}")


def _profile(name: str, target: str) -> dict[str, str]:
    """Return the keys that a profile of the user's shared files holds."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - the SDK is loaded lazily
    from botocore.session import Session  # noqa: PLC0415 - as above

    try:
        profiles = cast("Mapping[str, Mapping[str, str]]", Session().full_config.get("profiles", {}))
    except BotoCoreError as error:
        raise ConfigError(f"{target}: the shared AWS files cannot be read: {error}") from error
    wanted = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    found = {key: value for key, value in profiles.get(name, {}).items() if key in wanted}
    if wanted[0] not in found or wanted[1] not in found:
        raise ConfigError(f"{target}: profile `{name}` of the shared AWS files holds no access key and secret key")
    return found


def _before_call(params: dict[str, Any], **_: object) -> None:
    """Keep the SDK from following redirects, and from sending bodies slowly.

    It would ask the service where the bucket is, and believe it; asked often enough, without end. And it would read a
    body by 16 KiB, and wait for a `100 Continue` first: ours are sent in their own blocks. They pass once, so there is
    no time for its own checksum, nor are parts declared to have one: their ETags are compared instead.
    """
    params["context"].setdefault("s3_redirect", {})["redirected"] = True
    params["headers"].pop("x-amz-checksum-algorithm", None)
    stream = getattr(params.get("body"), "stream", None)
    if stream is not None:
        params["body"] = stream()
        params["headers"].pop("x-amz-sdk-checksum-algorithm", None)
        params["context"].get("checksum", {}).pop("request_algorithm", None)


def _add_digest(request: Any, **_: object) -> None:  # noqa: ANN401 - the SDK's request
    """Send the checksum that every service knows, instead of the one that the SDK has sent since 1.36."""
    import base64  # noqa: PLC0415 - needed here only
    import hashlib  # noqa: PLC0415 - as above

    for name in [name for name in request.headers if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-check"))]:
        del request.headers[name]
    digest = hashlib.md5(request.data, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()
