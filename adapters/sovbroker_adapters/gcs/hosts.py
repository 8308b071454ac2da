"""Which hosts a request may go to."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import PermissionDenied
from sovbroker_adapters.hosts import link_local

__all__ = ["check_host", "check_token_url"]

PORTS: Final = {"https": 443, "http": 80}


def check_host(url: str, *, hosts: AbstractSet[str], target: str) -> None:
    """Raise PermissionDenied unless `url` leads to one of `hosts` (`host` or `host:port`)."""
    host, port, scheme = _parts(url)
    allowed = {name.lower() for name in hosts}
    bracketed = f"[{host}]" if ":" in host else host
    own = f"{bracketed}:{port}" in allowed or (PORTS.get(scheme) == port and host in allowed)
    if link_local(host) or not own:
        raise PermissionDenied(f"nothing was sent: `{host}:{port}` is not a host of this target", target=target)


def check_token_url(url: str, *, endpoint: str, target: str) -> None:
    """Raise PermissionDenied unless `url` is just the token endpoint."""
    if url != endpoint or link_local(_parts(url)[0]):
        host, port, _ = _parts(url)
        raise PermissionDenied(f"nothing was sent: `{host}:{port}` gives no tokens for this target", target=target)


def _parts(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0), parts.scheme
