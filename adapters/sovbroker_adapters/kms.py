"""A symmetric key of AWS KMS, or of a service that speaks its interface, by boto3's core. The key never leaves it.

`KeyBinding.key` is the key's id, its ARN, `alias/NAME`, or an alias's ARN. `region` is what requests are signed for;
without an `endpoint`, it is asked where AWS has its KMS there, which `hosts` must name. Credentials are `access_key`,
`secret_key`, and `session_token` where the keys are temporary. They need `kms:Encrypt` and `kms:Decrypt`, no more.
Settings:

================== ============================ ==================================================================
`timeout`          int (default 10), seconds    how long a connection, and an answer, may take
`attempts`         int (default 3)              how often a request is made that may yet succeed
`ca-bundle`        path                         certificates to trust instead of the system's
================== ============================ ==================================================================

The service learns, and its journal keeps, the digest of what a secret is bound to: it stands in the encryption context.
Neither the environment's variables, nor the user's files, nor a metadata service is looked at. An alias that is pointed
at another key no longer opens what was wrapped before.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError, KeyUnavailable, PermissionDenied, SovbrokerError, Tampered
from sovbroker.ports import Binding, KeyBinding, patience
from sovbroker_adapters.attempts import pauses
from sovbroker_adapters.contexts import bound, digest, unbound
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.peers import own_machine
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.sessions import PLAIN, hold, isolated
from sovbroker_adapters.settings import Reading
from sovbroker_adapters.tls import trust

__all__ = ["KmsService", "build"]

MISSING: Final = "boto3 is not installed; run `pip install 'sovbroker[aws-kms]'`"
KNOWN: Final = ("timeout", "attempts", "ca-bundle")
ID: Final = r"[A-Za-z0-9_.-]{1,256}"
ALIAS: Final = r"alias/[A-Za-z0-9/_-]{1,250}"
KEY: Final = re.compile(rf"{ID}|{ALIAS}|arn:[a-z0-9-]+:kms:[a-z0-9-]+:[A-Za-z0-9]*:(key/{ID}|{ALIAS})")
REGION: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
TIMEOUT: Final = 10
ATTEMPTS: Final = 3
POOL: Final = 32
WRAPPED_MAX: Final = 6144
BOUND_TO: Final = "sovbroker"
"""The name in the encryption context."""

DAMAGED: Final = "InvalidCiphertextException"
LATER: Final = frozenset(
    {
        "DependencyTimeoutException",
        "InternalError",
        "InternalFailure",
        "KMSInternalException",
        "KeyUnavailableException",
        "LimitExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
LATER_BY_STATUS: Final = frozenset({408, 425, 429})
OTHER_KEY: Final = "it has another key than what was wrapped belongs to; an alias may point elsewhere now"
USE: Final = "it is no symmetric key that encrypts and decrypts"
CREDENTIALS: Final = "it refuses these credentials"
WHY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DisabledException": "it is disabled",
        "IncorrectKeyException": OTHER_KEY,
        "InvalidKeyUsageException": USE,
        "KMSInvalidStateException": "its state does not allow this; it may be about to be deleted",
        "NotFoundException": "there is no such key",
        **dict.fromkeys(
            (
                "AccessDenied",
                "AccessDeniedException",
                "ExpiredToken",
                "ExpiredTokenException",
                "IncompleteSignature",
                "InvalidClientTokenId",
                "InvalidSignatureException",
                "MissingAuthenticationToken",
                "MissingAuthenticationTokenException",
                "NotAuthorized",
                "OptInRequired",
                "RequestExpired",
                "SignatureDoesNotMatch",
                "UnrecognizedClientException",
            ),
            CREDENTIALS,
        ),
    }
)
SHOWN: Final = 200


class _Unshown(bytes):
    """What the SDK does not print: at its lowest level, it logs all that it sends and gets, and secrets are in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


def build(binding: KeyBinding, /) -> KmsService:
    """Open the key `binding.key`. Raises ConfigError when the binding cannot work; makes no request."""
    try:
        import_module("botocore.session")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    name = binding.name
    reading = Reading(Binding(name, binding.key, settings=binding.settings))
    reading.check_names(KNOWN)
    if KEY.fullmatch(binding.key) is None:
        raise ConfigError(f"{name}: the key `{binding.key}` is no id, ARN or `alias/NAME` of a key")
    if not (binding.credentials.get("access_key") and binding.credentials.get("secret_key")):
        raise ConfigError(f"{name}: no credentials: give `access_key` and `secret_key`")
    if REGION.fullmatch(binding.region or "") is None:
        raise ConfigError(f"{name}: the region `{binding.region}` is none; requests are signed for one")
    if not binding.hosts:
        raise ConfigError(f"{name}: name the hosts that may be talked to")
    if binding.endpoint is not None:
        parts = urlsplit(binding.endpoint)
        fine = parts.scheme == "https" or (parts.scheme == "http" and own_machine(parts.hostname or ""))
        if not (fine and parts.hostname):
            raise ConfigError(f"{name}: the endpoint `{binding.endpoint}` is no URL that begins with https://")
    bundle = reading.path("ca-bundle")
    if bundle is not None:
        trust(bundle, target=name)
    return KmsService(binding, reading)


class KmsService:
    """A `KeyService` over one key. Safe for threads and after a fork; holds secrets, so it is not picklable."""

    def __init__(self, binding: KeyBinding, reading: Reading) -> None:
        self.name = binding.name
        self._binding = binding
        self._timeout = reading.number("timeout", TIMEOUT)
        self._attempts = reading.number("attempts", ATTEMPTS)
        self._bundle = reading.path("ca-bundle")
        self._clients = PerProcess(self._client)

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """See `KeyService.wrap`."""
        answer = self._ask("encrypt", {"Plaintext": bound(secret, context)}, context)
        wrapped = answer.get("CiphertextBlob")
        if not isinstance(wrapped, bytes) or not 0 < len(wrapped) <= WRAPPED_MAX:
            raise KeyUnavailable(f"{self._where} answered with something that is no ciphertext")
        return wrapped

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyService.unwrap`."""
        if not 0 < len(wrapped) <= WRAPPED_MAX:
            raise Tampered
        answer = self._ask("decrypt", {"CiphertextBlob": wrapped}, context)
        plain = answer.get("Plaintext")
        if not isinstance(plain, bytes):
            raise KeyUnavailable(f"{self._where} answered with something that is no plaintext")
        return unbound(plain, context)

    def close(self) -> None:
        """See `KeyService.close`."""
        client = self._clients.take()
        if client is not None:
            client.close()

    def __repr__(self) -> str:
        """Print which key it is, and no secret."""
        return f"KmsService(name={self.name!r}, key={self._binding.key!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a key service cannot be pickled: it holds secrets")

    @property
    def _where(self) -> str:
        return f"the key `{self._binding.key}` of {self.name}"

    def _ask(self, operation: str, asked: Mapping[str, bytes], context: bytes) -> Mapping[str, object]:
        """Make a call, again where that may help, and return its answer. Whatever fails is an error of ours."""
        for pause in pauses(self._attempts, again=True):
            try:
                patience().left(self._timeout)
                call = getattr(self._clients.get(), operation)
                answer = call(KeyId=self._binding.key, EncryptionContext={BOUND_TO: digest(context)}, **asked)
                return self._of_this_key(answer)
            except KeyUnavailable:
                raise
            except Exception as error:
                refused = _refused(error)
                if refused is not None:
                    raise KeyUnavailable(f"{self._where} is out of reach: {refused}") from error
                code, status = _answered(error)
                if operation == "decrypt" and code == DAMAGED:
                    raise Tampered from error
                if pause is None or not _may_pass(code, status):
                    raise self._failure(error) from error
            time.sleep(pause)
        raise AssertionError  # the last pause is None

    def _of_this_key(self, answer: Mapping[str, object]) -> Mapping[str, object]:
        """Return an answer, unless it is another key's. Which key an alias stands for is not known here."""
        asked, used = self._binding.key, answer.get("KeyId")
        if "alias/" not in asked and isinstance(used, str) and asked.rpartition("/")[2] != used.rpartition("/")[2]:
            raise KeyUnavailable(f"{self._where}: the service used another one, `{used[:SHOWN]}`")
        return answer

    def _failure(self, error: Exception) -> KeyUnavailable:
        code, status = _answered(error)
        if status == 0:
            # What the SDK says of an answer that it cannot read may hold a part of it.
            why = str(error) if isinstance(error, SovbrokerError) else type(error).__name__
            return KeyUnavailable(f"{self._where} is out of reach: {why}")
        if _may_pass(code, status):
            why = "it does not answer as it should"
        else:
            why = WHY.get(code, CREDENTIALS if status in {401, 403} else "it refuses the request")
        return KeyUnavailable(f"{self._where}: {why} (status {status}{f', {code[:SHOWN]}' if code else ''})")

    def _client(self) -> Any:  # noqa: ANN401 - the SDK makes the class when it runs
        from botocore.config import Config  # noqa: PLC0415 - the SDK is loaded when the first call needs it

        secrets = self._binding.credentials
        limits = {"connect_timeout": self._timeout, "read_timeout": self._timeout}
        config = cast("Any", Config)(**PLAIN, **limits, max_pool_connections=POOL)  # the stubs lag behind the options
        client = cast("Any", isolated()).create_client(
            "kms",
            region_name=self._binding.region,
            endpoint_url=self._binding.endpoint,
            verify=True if self._bundle is None else str(self._bundle),
            config=config,
            aws_access_key_id=secrets.get("access_key"),
            aws_secret_access_key=secrets.get("secret_key"),
            aws_session_token=secrets.get("session_token"),
        )
        hold(client, connect_timeout=self._timeout, read_timeout=self._timeout, target=self.name)
        events = client.meta.events
        events.register("before-send.kms", self._before_send)
        events.register_last("before-call.kms", _before_call)
        events.register_first("before-parse.kms", _before_parse)
        return client

    def _before_send(self, request: Any, **_: object) -> None:  # noqa: ANN401 - the SDK's request
        check_host(request.url, hosts=self._binding.hosts, target=self.name)


def _before_call(params: dict[str, Any], **_: object) -> None:
    params["body"] = _Unshown(params["body"])


def _before_parse(response_dict: dict[str, Any], **_: object) -> None:
    response_dict["body"] = _Unshown(response_dict["body"])


def _refused(error: Exception) -> PermissionDenied | None:
    """Return the refusal of a host, if it is one: ours, or in what the SDK makes of it."""
    found: object = getattr(error, "kwargs", {}).get("error", error)
    return found if isinstance(found, PermissionDenied) else None


def _answered(error: Exception) -> tuple[str, int]:
    """Return the code and the HTTP status of an answer; "" and 0 where there was none."""
    found: object = getattr(error, "response", None)
    answer = cast("Mapping[str, Any]", found if isinstance(found, Mapping) else {})
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(answer.get("Error", {}).get("Code", "")), int(status)


def _may_pass(code: str, status: int) -> bool:
    """Whether the same request may succeed later."""
    # An error in what says that it is a success is a broken answer.
    return code in LATER or status in LATER_BY_STATUS or not 300 <= status < 500  # noqa: PLR2004 - HTTP's own
