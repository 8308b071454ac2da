"""Which hosts a request of one target may go to, and those that no request goes to, whatever a binding allows."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import PermissionDenied

__all__ = ["check_host", "link_local", "own_machine"]

PORTS: Final = {"https": 443, "http": 80}
METADATA_SERVICES: Final = frozenset(
    {"metadata.google.internal", "metadata.goog", "metadata", "instance-data", "fd00:ec2::254"}
)
"""Names and addresses under which machines of clouds are told their own credentials."""


def link_local(host: str) -> bool:
    """Whether a host, as a URL names it, is a link-local address or a metadata service. Names are not resolved."""
    if host.lower() in METADATA_SERVICES:
        return True
    try:
        return ip_address(host).is_link_local
    except ValueError:
        return False


def own_machine(host: str) -> bool:
    """Whether a host, as a URL names it, is this machine, so that what is sent there passes no network."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(url: str, *, hosts: AbstractSet[str], target: str, below: str = "") -> None:
    """Raise PermissionDenied unless `url` leads to one of `hosts` (`host`, or `host:port`).

    `below` is a label, such as a bucket, that may stand in front of any of them; "" for none.
    """
    parts = urlsplit(url)
    host, port = (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme, 0)
    names = {host}
    if below and host.startswith(f"{below.lower()}."):
        names.add(host.removeprefix(f"{below.lower()}."))
    allowed = {name.lower() for name in hosts}
    usual = PORTS.get(parts.scheme) == port
    spelled = {f"[{name}]" if ":" in name else name for name in names}
    named = {f"{name}:{port}" for name in spelled} | (names | spelled if usual else set[str]())
    if link_local(host) or named.isdisjoint(allowed):
        raise PermissionDenied(f"nothing was sent: `{host}:{port}` is not a host of this target", target=target)
