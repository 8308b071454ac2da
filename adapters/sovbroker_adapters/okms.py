"""A service key of OVHcloud's KMS, over its REST interface with a client certificate. The key never leaves the service.

`KeyBinding.key` is `OKMS-ID/KEY-ID`, both as the service shows them; `endpoint` is the domain's own address, such as
`https://eu-west-rbx.okms.ovh.net`. Settings:

================== ============================ ==================================================================
`certificate`      path                         the access certificate, PEM
`private-key`      path                         its private key, PEM, readable by its owner only
`timeout`          int (default 10), seconds    how long an answer may take
`ca-bundle`        path                         certificates to trust instead of the system's
================== ============================ ==================================================================

No proxy of the environment is used and no redirect followed.
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
import stat
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, cast
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError, KeyUnavailable, PermissionDenied, SealError, Tampered, Unavailable
from sovbroker.ports import Binding, KeyBinding
from sovbroker_adapters.contexts import bound, digest, unbound
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.settings import Reading
from sovbroker_adapters.tls import trust

if TYPE_CHECKING:
    import httpx

__all__ = ["OkmsService", "build"]

MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[okms]'`"
KNOWN: Final = ("certificate", "private-key", "timeout", "ca-bundle")
KEY: Final = re.compile(r"[0-9A-Za-z-]{1,64}/[0-9A-Za-z-]{1,64}")
TIMEOUT: Final = 10
ANSWER_MAX: Final = 64 << 10
WRAPPED_MAX: Final = 8192
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
OK: Final = 200
BAD: Final = 400
WHY: Final = {401: "it refuses the certificate", 403: "it refuses the certificate", 404: "there is no such key"}


def build(binding: KeyBinding, /) -> OkmsService:
    """Open the key `binding.key`. Raises ConfigError when the binding cannot work; makes no request."""
    try:
        import_module("httpx")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    reading = Reading(Binding(binding.name, binding.key, settings=binding.settings))
    reading.check_names(KNOWN)
    if KEY.fullmatch(binding.key) is None:
        raise ConfigError(f"{binding.name}: the key `{binding.key}` is not of the form `OKMS-ID/KEY-ID`")
    parts = urlsplit(binding.endpoint or "")
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigError(f"{binding.name}: the endpoint `{binding.endpoint}` is no URL that begins with https://")
    return OkmsService(binding, _trust(binding.name, reading), timeout=reading.number("timeout", TIMEOUT))


class OkmsService:
    """A `KeyService` over one service key. Safe for threads and after a fork; not picklable."""

    def __init__(self, binding: KeyBinding, trusted: ssl.SSLContext, *, timeout: int) -> None:
        self.name = binding.name
        self._binding = binding
        self._trusted = trusted
        self._timeout = timeout
        self._clients = PerProcess(self._client)
        domain, key = binding.key.split("/")
        self._root = f"{(binding.endpoint or '').rstrip('/')}/api/{domain}/v1/servicekey/{key}/"

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """See `KeyService.wrap`."""
        plain = base64.b64encode(bound(secret, context)).decode("ascii")
        wrapped = self._ask("encrypt", {"plaintext": plain, "context": digest(context)}, "ciphertext")
        if not wrapped.isascii() or len(wrapped) > WRAPPED_MAX:
            raise KeyUnavailable(f"{self._where} answered with something that is no ciphertext")
        return wrapped.encode("ascii")

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `KeyService.unwrap`."""
        if not wrapped.isascii() or not 0 < len(wrapped) <= WRAPPED_MAX:
            raise Tampered
        asked = {"ciphertext": wrapped.decode("ascii"), "context": digest(context)}
        plain = self._ask("decrypt", asked, "plaintext", opening=True)
        try:
            return unbound(base64.b64decode(plain, validate=True), context)
        except (binascii.Error, ValueError):
            raise KeyUnavailable(f"{self._where} answered with something that is no plaintext") from None

    def close(self) -> None:
        """See `KeyService.close`."""
        client = self._clients.take()
        if client is not None:
            client.close()

    def __repr__(self) -> str:
        """Print which key it is, and no secret."""
        return f"OkmsService(name={self.name!r}, key={self._binding.key!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a key service cannot be pickled: it holds secrets")

    @property
    def _where(self) -> str:
        return f"the key `{self._binding.key}` of {self.name}"

    def _ask(self, operation: str, body: dict[str, str], wanted: str, *, opening: bool = False) -> str:
        """Make a call, and return one text of its answer. Whatever fails is an error of ours."""
        httpx = import_module("httpx")
        url = self._root + operation
        try:
            answer = self._clients.get().post(url, json=body)
        except (PermissionDenied, Unavailable) as error:
            raise KeyUnavailable(f"{self._where} is out of reach: {error}") from error
        except (httpx.HTTPError, OSError) as error:
            raise KeyUnavailable(f"{self._where} is out of reach: {type(error).__name__}") from error
        found: object = None
        if len(answer.content) <= ANSWER_MAX:
            with suppress(ValueError):
                found = answer.json()
        told = cast("dict[str, object]", found) if isinstance(found, dict) else {}
        if answer.status_code != OK:
            raise self._refused(answer.status_code, told, opening=opening)
        value = told.get(wanted)
        if not isinstance(value, str) or not value:
            raise KeyUnavailable(f"{self._where} gave an answer without `{wanted}`")
        return value

    def _refused(self, status: int, told: dict[str, object], *, opening: bool) -> SealError:
        code = str(told.get("error_code", told.get("code", "")))[:80]
        # What is wrong with the key itself has other words than what is wrong with the ciphertext.
        about_key = any(word in str(told).lower() for word in ("state", "inactive", "deactivated", "destroyed"))
        if opening and status == BAD and not about_key:
            return Tampered()
        why = WHY.get(status, "it refuses the request" if status < 500 else "it does not answer as it should")  # noqa: PLR2004 - HTTP's own
        return KeyUnavailable(f"{self._where}: {why} (status {status}{f', {code}' if code else ''})")

    def _client(self) -> httpx.Client:
        from sovbroker_adapters.held import held_client  # noqa: PLC0415 - httpx is loaded when it is needed

        waits = (self._timeout, self._timeout)
        return held_client(self.name, hosts=self._binding.hosts, waits=waits, trusted=self._trusted)


def _trust(name: str, reading: Reading) -> ssl.SSLContext:
    """Return what the service is known by, and what we are known by. Raises ConfigError."""
    certificate, key, bundle = (reading.path(each) for each in ("certificate", "private-key", "ca-bundle"))
    if certificate is None or key is None:
        raise ConfigError(f"{name}: the access certificate is missing: give the settings `certificate`, `private-key`")
    try:
        if key.stat().st_mode & OTHERS:
            raise ConfigError(f"{name}: the private key `{key}` can be read by others; run `chmod 600 {key}`")
        context = trust(bundle, target=name)
        # Without a function to ask, an encrypted key would stop and ask on the terminal.
        context.load_cert_chain(Path(certificate), Path(key), password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{name}: the access certificate cannot be used: {error}") from error
    return context
