"""Which hosts a request may go to."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import PermissionDenied

__all__ = ["check_host", "check_token_url"]

PORTS: Final = {"https": 443, "http": 80}
METADATA_SERVICES: Final = frozenset(
    {"metadata.google.internal", "metadata.goog", "metadata", "instance-data", "fd00:ec2::254"}
)


def check_host(url: str, *, hosts: AbstractSet[str], target: str) -> None:
    """Raise PermissionDenied unless `url` leads to one of `hosts` (`host` or `host:port`)."""
    host, port, scheme = _parts(url)
    allowed = {name.lower() for name in hosts}
    bracketed = f"[{host}]" if ":" in host else host
    own = f"{bracketed}:{port}" in allowed or (PORTS.get(scheme) == port and host in allowed)
    if _link_local(host) or not own:
        raise PermissionDenied(f"nothing was sent: `{host}:{port}` is not a host of this target", target=target)


def check_token_url(url: str, *, endpoint: str, target: str) -> None:
    """Raise PermissionDenied unless `url` is just the token endpoint."""
    if url != endpoint or _link_local(_parts(url)[0]):
        host, port, _ = _parts(url)
        raise PermissionDenied(f"nothing was sent: `{host}:{port}` gives no tokens for this target", target=target)


def _parts(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0), parts.scheme


def _link_local(host: str) -> bool:
    if host.lower() in METADATA_SERVICES:
        return True
    try:
        return ip_address(host).is_link_local
    except ValueError:
        return False
