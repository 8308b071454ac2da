"""The connection to one bucket: credentials, the SDK's client, the host check, repeated calls, errors.

The client is made when it is first needed, under a lock, and again in a child process: sockets do not survive a fork.
Its session looks at nothing but what the binding says: no variable of the environment sends a request elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError, Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.pauses import pauses
from sovbroker_adapters.peers import check_peer, watch
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.s3.settings import Settings

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
MISSING: Final = "boto3 is not installed; run `pip install 'sovbroker[s3]'`"


class Connection:
    """One bucket of one service. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, settings: Settings) -> None:
        _check(binding, settings)
        self.target = binding.target
        self.bucket = binding.container
        self._binding = binding
        self._settings = settings
        self._clients = PerProcess(self._make)

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
        return self.local(
            lambda client: getattr(client, operation)(Bucket=self.bucket, **(params() if callable(params) else params)),
            key=key,
            again=again,
            conditional=conditional,
        )

    def local(
        self,
        call: Callable[[S3Client], T],
        *,
        key: str | None = None,
        again: bool = False,
        conditional: bool = False,
    ) -> T:
        """Use the client; see `ask`."""
        from sovbroker_adapters.s3.failures import Asked, failure  # noqa: PLC0415 - it needs the SDK

        asked = Asked(self.target, self.bucket, key, conditional)
        for pause in pauses(self._settings.attempts, again=again):
            try:
                return call(self.client())
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
        return self._clients.get()

    def close(self) -> None:
        """Close the connections of this process."""
        made = self._clients.take()
        if made is not None:
            made.close()

    def check_host(self, url: str) -> None:
        """Raise PermissionDenied unless `url` leads to a host of this target."""
        below = self.bucket if self._settings.addressing == "virtual" else ""
        check_host(url, hosts=self._binding.hosts, target=self.target, below=below)

    def _make(self) -> S3Client:
        from botocore import UNSIGNED  # noqa: PLC0415 - the SDK is loaded when the first call needs it
        from botocore.config import Config  # noqa: PLC0415 - as above

        settings, binding = self._settings, self._binding
        checksums = settings.checksums.replace("-", "_")
        config = cast("Any", Config)(  # the stubs lag behind the options
            signature_version=UNSIGNED if settings.anonymous else settings.signature,
            s3={"addressing_style": settings.addressing, "payload_signing_enabled": False},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            max_pool_connections=POOL,
            tcp_keepalive=True,
            proxies={},
            ignore_configured_endpoint_urls=True,
            use_dualstack_endpoint=False,
            use_fips_endpoint=False,
        )
        session = _isolated()
        given: dict[str, Any] = {} if settings.anonymous else self._credentials(session)
        made = session.create_client(
            "s3",
            region_name=binding.region or "us-east-1",
            endpoint_url=binding.endpoint,
            verify=True if settings.ca_bundle is None else str(settings.ca_bundle),
            config=config,
            **given,
        )
        watch(_manager_of(made), partial(check_peer, target=self.target))
        client = cast("S3Client", made)
        events = client.meta.events
        events.register("before-send.s3", self._before_send)
        events.register_first("before-call.s3", _before_call)
        events.register("before-sign.s3.DeleteObjects", _before_bulk_delete)
        return client

    def _before_send(self, request: Any, **_: object) -> None:  # noqa: ANN401 - the SDK's request
        self.check_host(request.url)

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
    """The environment's own credentials: variables, shared files, single sign-on; never the metadata service."""

    def load_credentials(self) -> SdkCredentials | None:
        """Return what the first of them has."""
        from botocore.credentials import create_credential_resolver  # noqa: PLC0415 - the SDK is loaded lazily
        from botocore.session import Session  # noqa: PLC0415 - as above

        resolver = cast("Any", create_credential_resolver(Session()))
        for provider in ("iam-role", "container-role"):
            resolver.remove(provider)
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


def _isolated() -> Session:
    """Return a session that reads neither the environment nor the user's files."""
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES  # noqa: PLC0415 - the SDK is loaded lazily
    from botocore.session import Session  # noqa: PLC0415 - as above

    variables = cast("Mapping[str, tuple[object, ...]]", BOTOCORE_DEFAUT_SESSION_VARIABLES)
    constants: dict[str, Any] = {name: (None, None, *given[2:]) for name, given in variables.items()}
    for name in ("config_file", "credentials_file"):
        constants[name] = (None, None, os.devnull, None)
    session = Session(session_vars=constants)
    session.register_component("data_loader", _loader())
    return session


def _manager_of(client: Any) -> Any:  # noqa: ANN401 - of the SDK's own, which have no types
    """Return what makes the connections of a client. There is no public way to it; so where it moved, nothing goes."""
    try:
        return client._endpoint.http_session._manager  # noqa: SLF001 - as said
    except AttributeError as error:
        raise ConfigError("this version of botocore cannot be held to its hosts; install another one") from error


@cache
def _loader() -> object:
    """Return the SDK's data of S3, read once: most of the time that a client takes to be made."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - the SDK is loaded lazily

    return create_loader()


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


def _before_bulk_delete(request: Any, **_: object) -> None:  # noqa: ANN401 - the SDK's request
    """Send the checksum that every service knows, instead of the one that the SDK has sent since 1.36."""
    import base64  # noqa: PLC0415 - needed here only
    import hashlib  # noqa: PLC0415 - as above

    for name in [name for name in request.headers if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-check"))]:
        del request.headers[name]
    digest = hashlib.md5(request.data, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()
