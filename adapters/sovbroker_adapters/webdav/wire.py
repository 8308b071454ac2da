"""The HTTP client of one target: no proxies, no cookies, no redirects, and no host but its own. Needs httpx."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import certifi
import httpcore
import httpx

from sovbroker.errors import ConfigError
from sovbroker.ports import Credentials
from sovbroker_adapters.peers import Check
from sovbroker_adapters.webdav.settings import Settings

__all__ = ["make", "trust"]

POOL = 32
IDLE = 5.0


class Watched(httpcore.NetworkBackend):
    """Connects, and has `check` look at who answers before anything is sent."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._inner = httpcore.SyncBackend()

    def connect_tcp(self, host: str, *args: Any, **named: Any) -> httpcore.NetworkStream:  # noqa: ANN401 - as the library's
        """Connect. Raises PermissionDenied for an address where no store is."""
        made = self._inner.connect_tcp(host, *args, **named)
        try:
            self._check(made.get_extra_info("server_addr")[0], host)
        except BaseException:
            made.close()
            raise
        return made


class Guarded(httpx.BaseTransport):
    """A transport that looks at every URL before anything is sent, whoever asks for it, and at who answers."""

    def __init__(self, check: Callable[[str], None], watched: Watched, context: ssl.SSLContext) -> None:
        self._check = check
        self._transport = httpx.HTTPTransport(verify=context, trust_env=False)
        if not isinstance(getattr(self._transport, "_pool", None), httpcore.ConnectionPool):
            raise ConfigError("this version of httpx cannot be held to its hosts; install httpx 0.28")
        # Open bodies hold their connections: a limit would let readers wait for each other.
        self._transport._pool = httpcore.ConnectionPool(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the only way to say how to connect
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=POOL,
            keepalive_expiry=IDLE,
            network_backend=watched,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises PermissionDenied when it does not lead to the target."""
        self._check(str(request.url))
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def make(settings: Settings, credentials: Credentials, check: Callable[[str], None], peer: Check) -> httpx.Client:
    """Return a client that looks at nothing but what it is given. Raises ConfigError for bad certificates.

    `check` is called with each URL, `peer` with each address that was connected to.
    """
    wait = httpx.Timeout(settings.read_timeout, connect=settings.connect_timeout)
    jar = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx.Client(
        transport=Guarded(check, Watched(peer), trust(settings.ca_bundle)),
        headers={
            "Accept": "*/*",
            # What was stored is asked for, not what a proxy makes of it.
            "Accept-Encoding": "identity",
            "User-Agent": "sovbroker",
            **({} if settings.anonymous else _authorization(credentials)),
        },
        cookies=jar,
        timeout=wait,
        follow_redirects=False,
        trust_env=False,
    )


def trust(bundle: Path | None) -> ssl.SSLContext:
    """Return what TLS trusts: the certificates of `bundle` alone, or those that httpx trusts. Raises ConfigError.

    Not `ssl.create_default_context`: it listens to variables of the environment.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=str(bundle or certifi.where()))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates of `{bundle}` cannot be read: {error}") from error
    return context


def _authorization(credentials: Credentials) -> Mapping[str, str]:
    token = credentials.get("token")
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    pair = f"{credentials.get('username')}:{credentials.get('password')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
