"""Which hosts a request of one target may go to, and those that no request goes to, whatever a binding allows."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import urlsplit

from sovbroker.errors import PermissionDenied
from sovbroker_adapters.peers import no_store

__all__ = ["check_host", "link_local"]

PORTS: Final = {"https": 443, "http": 80}
METADATA_SERVICES: Final = frozenset({"metadata.google.internal", "metadata.goog", "metadata", "instance-data"})
"""Names under which machines of clouds are told their own credentials."""


def link_local(host: str) -> bool:
    """Whether a host, as a URL names it, is a link-local address, a metadata service or nowhere.

    Names are not resolved: what they lead to is seen when it answers (`peers`).
    """
    if host.lower() in METADATA_SERVICES:
        return True
    try:
        return no_store(host)
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
