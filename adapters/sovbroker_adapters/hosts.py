"""Hosts that no adapter talks to, whatever a binding allows."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

__all__ = ["link_local"]

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
