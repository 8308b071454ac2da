"""The HTTP client of one target: no proxies, no cookies, no redirects, and no host but its own. Needs httpx."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import certifi
import httpx

from sovbroker.errors import ConfigError
from sovbroker.ports import patience
from sovbroker_adapters.keystone import unsaid
from sovbroker_adapters.peers import watch_transport
from sovbroker_adapters.swift.settings import Settings

__all__ = ["make", "trust"]

POOL = 32


class Guarded(httpx.BaseTransport):
    """A transport that looks at every URL before anything is sent, whoever asks for it, and at who answers."""

    def __init__(self, check: Callable[[str], None], context: ssl.SSLContext, *, target: str) -> None:
        self._check = check
        # Open bodies hold their connections: a limit would let readers wait for each other.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=POOL)
        self._transport = httpx.HTTPTransport(verify=context, trust_env=False, limits=limits)
        watch_transport(self._transport, target=target)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises PermissionDenied when it does not lead to the target."""
        self._check(str(request.url))
        caller = patience()
        limits = {step: caller.left(seconds) for step, seconds in request.extensions["timeout"].items()}
        request.extensions = {**request.extensions, "timeout": limits}
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def make(settings: Settings, check: Callable[[str], None], *, target: str) -> httpx.Client:
    """Return a client that looks at nothing but what it is given. Raises ConfigError for bad certificates."""
    unsaid()
    return httpx.Client(
        transport=Guarded(check, trust(settings.ca_bundle), target=target),
        # What was stored is asked for, not what a proxy makes of it.
        headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "sovbroker"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=httpx.Timeout(settings.read_timeout, connect=settings.connect_timeout),
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
