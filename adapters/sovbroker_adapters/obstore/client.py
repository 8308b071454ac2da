"""The connection to one container by object_store: its client, repeated calls, errors."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit

from sovbroker.errors import ConfigError, Unavailable
from sovbroker.ports import Binding, patience
from sovbroker_adapters.attempts import pauses
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.obstore.failures import NOWHERE, Asked, failure
from sovbroker_adapters.obstore.library import check_environment, load
from sovbroker_adapters.obstore.settings import Settings
from sovbroker_adapters.peers import check_name
from sovbroker_adapters.processes import PerProcess

__all__ = ["Connection"]

T = TypeVar("T")

FOR_EVER: Final = timedelta(days=365)


class Connection:
    """One container of one service. Safe for threads; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding, settings: Settings) -> None:
        self.target = binding.target
        self.container = binding.container
        self._binding = binding
        self._settings = settings
        self._clients = PerProcess(self._make)
        self._looked = False
        self._url = self._checked()
        self._secrets = self._read_secrets()
        check_environment(settings.protocol, target=self.target)

    def __repr__(self) -> str:
        """Name the container, and no secret."""
        return f"Connection(target={self.target!r}, container={self.container!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled")

    def ask(self, call: Callable[[Any], T], *, key: str, again: bool = True, conditional: bool = False) -> T:
        """Use the client. Whatever fails is an error of ours. `again`: a call without an answer may be repeated."""
        asked = Asked(self.target, self.container, key, conditional)
        for pause in pauses(self._settings.attempts, again=again):
            try:
                # Its library knows no time limit of one call, so that this is as near as a deadline comes.
                patience().left(self._settings.read_timeout)
                self._look()
                return call(self._clients.get())
            except Exception as error:
                found = failure(error, asked)
                if found is error:
                    raise
                if pause is None or not isinstance(found, Unavailable):
                    raise found from error
            time.sleep(pause)
        raise AssertionError  # the last pause is None

    def close(self) -> None:
        """Let go of the connections of this process."""
        self._clients.take()

    def _look(self) -> None:
        """Look once at where the endpoint's name leads: who answers cannot be seen here."""
        if not self._looked:
            check_name(self._url.hostname or "", target=self.target)
            self._looked = True

    def _checked(self) -> SplitResult:
        """Return the endpoint with the bucket or the account where it belongs. Raises ConfigError, PermissionDenied."""
        given = self._binding.endpoint
        if given is None:
            raise ConfigError(f"{self.target}: `fast: true` needs the endpoint of the target")
        url = urlsplit(given)
        path = url.path.rstrip("/")
        if self._settings.protocol == "s3" and self._settings.addressing == "virtual":
            url = url._replace(netloc=f"{self.container}.{url.netloc}")
        if self._settings.protocol == "azure" and self._settings.addressing == "path":
            path = f"/{self._account()}"
        url = url._replace(path=path)
        check_host(url.geturl(), hosts=self._binding.hosts, target=self.target, below=self.container)
        return url

    def _account(self) -> str:
        """Return the account's name; the store beside has seen to it that there is one."""
        url = urlsplit(self._binding.endpoint or "")
        label = (url.hostname or "").partition(".")[0]
        named = self._settings.account or self._binding.credentials.get("account") or url.path.strip("/")
        return named or label

    def _read_secrets(self) -> dict[str, Any]:
        """Return what object_store takes for credentials."""
        secrets = self._binding.credentials
        if self._settings.anonymous:
            return {"access_key_id": "", "secret_access_key": "", "token": None, "expires_at": None}
        access = secrets.get("access_key")
        if self._settings.protocol == "azure":
            sas = secrets.get("sas")
            return {"expires_at": None} | ({"access_key": access} if sas is None else {"sas_token": _pairs(sas)})
        secret = secrets.get("secret_key")
        if secrets.get("profile") is not None or access is None or secret is None:
            raise ConfigError(f"{self.target}: `fast: true` needs `access_key` and `secret_key`; it reads no profile")
        token = secrets.get("session_token")
        return {"access_key_id": access, "secret_access_key": secret, "token": token, "expires_at": None}

    def _make(self) -> Any:  # noqa: ANN401 - a class of another language
        settings = self._settings
        check_environment(settings.protocol, target=self.target)
        store = load().store
        maker, config = (store.S3Store, self._s3()) if settings.protocol == "s3" else (store.AzureStore, self._azure())
        try:
            return maker(
                self.container,
                config=config,
                client_options={
                    "allow_http": self._url.scheme == "http",
                    "connect_timeout": timedelta(seconds=settings.connect_timeout),
                    "read_timeout": timedelta(seconds=settings.read_timeout),
                    "timeout": FOR_EVER,
                    # A redirect to another host, and what the environment says of proxies, ends where nobody listens.
                    "proxy_url": f"http://{NOWHERE}",
                    "proxy_excludes": self._url.hostname or "",
                },
                retry_config={"max_retries": 0},
                credential_provider=lambda: self._secrets,
            )
        except Exception as error:
            raise ConfigError(f"{self.target}: object_store does not open this target: {error}"[:300]) from error

    def _s3(self) -> dict[str, Any]:
        """Return the configuration: every key that the environment could set, too."""
        settings, url = self._settings, self._url.geturl()
        config = {
            "endpoint": url,
            "aws_endpoint_url_s3": url,
            "region": self._binding.region or "us-east-1",
            "virtual_hosted_style_request": settings.addressing == "virtual",
            "skip_signature": settings.anonymous,
            # As of the adapter beside: TLS and the comparison of what was stored do more.
            "unsigned_payload": True,
            "conditional_put": "etag",
            "disable_tagging": True,
            "disable_bulk_delete": False,
            "request_payer": False,
            "s3_express": False,
        }
        return config | ({"checksum_algorithm": "sha256"} if settings.checksums else {})

    def _azure(self) -> dict[str, Any]:
        """Return the configuration, as above."""
        return {
            "endpoint": self._url.geturl(),
            "account_name": self._account(),
            "skip_signature": False,
            "use_emulator": False,
            "use_fabric_endpoint": False,
            "disable_tagging": True,
        }


def _pairs(sas: str) -> list[tuple[str, str]]:
    """Return a shared access signature, or a URL that holds one, as pairs."""
    token = urlsplit(sas).query if "://" in sas else sas.removeprefix("?")
    return [(name, value) for name, values in parse_qs(token).items() for value in values]
