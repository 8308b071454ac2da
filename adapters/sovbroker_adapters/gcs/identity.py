"""Who asks: a service account by its key, a user by the environment's credentials, or nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError, PermissionDenied
from sovbroker.ports import Binding
from sovbroker_adapters.gcs.settings import DEFAULT_UNIVERSE, Settings
from sovbroker_adapters.hosts import link_local
from sovbroker_adapters.keyfiles import chosen, file_text, given_key, parsed

if TYPE_CHECKING:
    from requests import Session

__all__ = ["Identity", "check_token_url", "credentials_of", "domain_of"]

SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
KEY_FIELDS: Final = ("client_email", "private_key", "private_key_id")
USER_FIELDS: Final = ("client_id", "client_secret", "refresh_token")
HOW: Final = "give `service_account`; the environment is used with `ambient: true` only"


class Identity:
    """Credentials of the SDK and the tokens that they give. Safe for threads, of one process."""

    def __init__(self, credentials: Any, session: Session) -> None:  # noqa: ANN401 - the SDK's credentials are untyped
        self.credentials = credentials
        self._ask = import_module("google.auth.transport.requests").Request(session)
        self._session = session
        self._lock = threading.Lock()

    @property
    def signs(self) -> bool:
        """Whether links can be signed."""
        return isinstance(self.credentials, import_module("google.auth.credentials").Signing)

    def token(self) -> str | None:
        """Return a token that is good for some minutes at least, or None for nobody.

        Raises the SDK's exceptions when it cannot be had.
        """
        # Not by the SDK's own way of renewing: that may also ask another service about the account's region.
        with self._lock:
            if not self.credentials.valid:
                self.credentials.refresh(self._ask)
            return cast("str | None", self.credentials.token)

    def close(self) -> None:
        """Close the connections to the token endpoint."""
        self._session.close()


def credentials_of(binding: Binding, settings: Settings) -> Any:  # noqa: ANN401 - as above
    """Return the credentials of the SDK for a binding. Raises ConfigError."""
    if settings.anonymous:
        return _nobody(settings.universe)
    given = binding.credentials.get("service_account")
    if given is not None:
        return _service_account(given_key(given, target=binding.target), settings, binding.target)
    if not settings.ambient:
        raise ConfigError(f"{binding.target}: no credentials: {HOW}")
    path = _ambient_file()
    if not path.is_file():
        raise ConfigError(f"{binding.target}: no credentials: the environment has none, and there is no `{path}`")
    info = parsed(file_text(path, target=binding.target), target=binding.target)
    if info.get("type") == "authorized_user":
        return _user(info, settings, binding.target)
    return _service_account(info, settings, binding.target)


def domain_of(credentials: Any) -> str:  # noqa: ANN401 - as above
    """Return the universe that credentials are of."""
    return str(credentials.universe_domain)


def _nobody(universe: str) -> Any:  # noqa: ANN401 - as above
    """Return the credentials of nobody, who is of every universe: the SDK's own are of Google's alone."""
    credentials = import_module("google.auth.credentials").AnonymousCredentials()
    credentials._universe_domain = universe  # noqa: SLF001 - there is no other way to say it
    return credentials


def _service_account(info: Mapping[str, Any], settings: Settings, target: str) -> Any:  # noqa: ANN401 - as above
    """Return credentials that sign their own tokens: nobody is asked for one, whatever addresses the key holds."""
    if info.get("type") != "service_account":
        kind = str(info.get("type"))[:40]
        raise ConfigError(f"{target}: the credentials are of the type `{kind}`; only keys of service accounts will do")
    fields = chosen(info, KEY_FIELDS, target=target)
    fields["universe_domain"] = str(info.get("universe_domain") or DEFAULT_UNIVERSE)
    fields["token_uri"] = settings.token_endpoint
    maker = import_module("google.oauth2.service_account").Credentials
    try:
        return maker.from_service_account_info(fields, scopes=SCOPES, always_use_jwt_access=True)
    except Exception as error:
        # Whatever the key's bytes make the parser say; the message must not repeat them.
        raise ConfigError(f"{target}: the service account's private key cannot be read") from error


def _user(info: Mapping[str, Any], settings: Settings, target: str) -> Any:  # noqa: ANN401 - as above
    fields = chosen(info, USER_FIELDS, target=target)
    universe = str(info.get("universe_domain") or DEFAULT_UNIVERSE)
    maker = import_module("google.oauth2.credentials").Credentials
    return maker(None, token_uri=settings.token_endpoint, universe_domain=universe, **fields)


def _ambient_file() -> Path:
    """Return where the environment's credentials are: what the variable names, else what gcloud keeps."""
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named:
        return Path(named)
    folder = os.environ.get("CLOUDSDK_CONFIG")
    return (Path(folder) if folder else Path.home() / ".config" / "gcloud") / "application_default_credentials.json"


def check_token_url(url: str, *, endpoint: str, target: str) -> None:
    """Raise PermissionDenied unless `url` is just the token endpoint."""
    parts = urlsplit(url)
    if url != endpoint or link_local(parts.hostname or ""):
        raise PermissionDenied(f"nothing was sent: `{parts.netloc}` gives no tokens for this target", target=target)
