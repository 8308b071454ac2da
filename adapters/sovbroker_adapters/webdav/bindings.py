"""What is checked of a WebDAV binding before its first request, and the header of its credentials."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Final
from urllib.parse import unquote, urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Credentials
from sovbroker_adapters.peers import own_machine
from sovbroker_adapters.settings import SCHEMES
from sovbroker_adapters.tls import trust
from sovbroker_adapters.webdav.settings import Settings

__all__ = ["authorization", "check_binding"]

MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[webdav]'`"
TOKEN: Final = re.compile(r"[!-~]+")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_binding(binding: Binding, settings: Settings) -> None:
    """Raise ConfigError for what could only fail later, and less clearly."""
    target, secrets = binding.target, binding.credentials
    try:
        import_module("httpx")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    if settings.ca_bundle is not None:
        trust(settings.ca_bundle, target=target)
    if not binding.container.strip("/"):
        raise ConfigError(f"{target}: a WebDAV target needs the folder that is its container")
    _check_endpoint(binding, settings)
    if not binding.hosts:
        raise ConfigError(f"{target}: a WebDAV target needs the hosts that it may talk to")
    if settings.anonymous:
        return
    user, password, token = (secrets.get(name) for name in ("username", "password", "token"))
    if token is None and (user is None or password is None):
        raise ConfigError(f"{target}: no credentials: give `username` and `password`, or `token`")
    if token is not None and not TOKEN.fullmatch(token):
        raise ConfigError(f"{target}: the token holds characters that no header takes")
    if token is None and (":" in str(user) or CONTROL.search(f"{user}{password}")):
        raise ConfigError(f"{target}: the user name holds a colon, or one of both a control character")


def _check_endpoint(binding: Binding, settings: Settings) -> None:
    target, endpoint = binding.target, binding.endpoint or ""
    parts = urlsplit(endpoint)
    try:
        known = parts.scheme in SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError(f"{target}: the endpoint `{endpoint}` is no URL that begins with https:// or http://")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(f"{target}: the endpoint is a plain URL; credentials are given beside it")
    segments = [*unquote(parts.path).split("/"), *binding.container.split("/")]
    if not {".", ".."}.isdisjoint(segments) or "" in binding.container.strip("/").split("/"):
        raise ConfigError(f"{target}: neither the endpoint nor the container has a part `.`, `..` or an empty one")
    if parts.scheme == "http" and not (settings.cleartext or settings.anonymous or own_machine(parts.hostname or "")):
        message = "over http:// everybody on the way reads the password; use https://, or set `cleartext: true`"
        raise ConfigError(f"{target}: {message}")


def authorization(credentials: Credentials) -> Mapping[str, str]:
    """Return the header that credentials are sent with."""
    token = credentials.get("token")
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    pair = f"{credentials.get('username')}:{credentials.get('password')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
