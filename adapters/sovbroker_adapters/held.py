"""HTTP clients that are held to the hosts of their target. Needs httpx.

No proxies, cookies or redirects, and nothing of the environment. Every URL is looked at before anything is sent,
whoever asks for it, and so is who answers; nothing waits longer than the caller does.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import MappingProxyType
from typing import Final

import httpx

from sovbroker.ports import patience
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.peers import watch_transport
from sovbroker_adapters.tls import trust

__all__ = ["Waits", "held_client"]

POOL: Final = 32
NONE: Final[Mapping[str, str]] = MappingProxyType({})

Waits = tuple[float, float]
"""How long, in seconds, connecting may take, and each reading and writing after it."""


def held_client(
    target: str,
    *,
    hosts: AbstractSet[str],
    waits: Waits,
    trusted: ssl.SSLContext | None = None,
    headers: Mapping[str, str] = NONE,
) -> httpx.Client:
    """Return a client that speaks to `hosts` alone. It raises PermissionDenied for another, before anything is sent.

    `trusted` is what TLS trusts, None for the usual authorities.
    """
    connect, each = waits
    return httpx.Client(
        transport=_Held(target, hosts, trust(None, target=target) if trusted is None else trusted),
        # What was stored is asked for, not what a proxy makes of it.
        headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "sovbroker", **headers},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=httpx.Timeout(each, connect=connect),
        follow_redirects=False,
        trust_env=False,
    )


class _Held(httpx.BaseTransport):
    def __init__(self, target: str, hosts: AbstractSet[str], trusted: ssl.SSLContext) -> None:
        self._target = target
        self._hosts = hosts
        # Open bodies hold their connections: a limit would let readers wait for each other.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=POOL)
        self._transport = httpx.HTTPTransport(verify=trusted, trust_env=False, limits=limits)
        watch_transport(self._transport, target=target)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        check_host(str(request.url), hosts=self._hosts, target=self._target)
        caller = patience()
        limits = {step: caller.left(seconds) for step, seconds in request.extensions["timeout"].items()}
        request.extensions = {**request.extensions, "timeout": limits}
        return self._transport.handle_request(request)

    def close(self) -> None:
        self._transport.close()
