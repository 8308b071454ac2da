"""Who answers: the address behind a host's name, checked after connecting and before a byte is sent.

A name that may be talked to can still lead elsewhere, by a poisoned answer of DNS or an entry that was never right. TLS
finds out most of that, after the first bytes; a machine's metadata service speaks no TLS.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from sovbroker.errors import ConfigError, PermissionDenied

__all__ = ["Check", "check_peer", "own_machine", "watch"]

Check = Callable[[str, str], None]
"""Called with the address that was connected to and the host that was meant; raises."""

METADATA: Final = frozenset(
    map(
        ip_address,
        (
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure's own agent
            "192.0.0.192",  # Oracle, the first generation
            "fd00:42::42",  # Scaleway
            "fd00:ec2::23",  # AWS, of a cluster's pods
            "fd00:ec2::254",  # AWS
            "fd20:ce::254",  # Google
        ),
    )
)
"""Where machines of clouds are told their own credentials, besides what is link-local."""

TRANSLATED: Final = ip_network("64:ff9b::/96")


def own_machine(host: str) -> bool:
    """Whether a host, as a URL names it, says by itself that it is this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def check_peer(address: str, host: str, *, target: str) -> None:
    """Raise PermissionDenied where no storage service can be: link-local, a metadata service, nowhere, this machine.

    This machine is allowed where `host` says so by itself. Other private addresses are: a provider of one's own and the
    end of a private link have such.
    """
    try:
        found = _inner(ip_address(address.partition("%")[0]))
    except ValueError as error:
        raise _refused(host, address, target) from error
    nowhere = found.is_unspecified or found.is_multicast
    if found.is_link_local or found in METADATA or nowhere or (found.is_loopback and not own_machine(host)):
        raise _refused(host, address, target)


def watch(manager: Any, check: Check) -> None:  # noqa: ANN401 - a pool manager of urllib3, which not every adapter has
    """Have every connection that a pool manager of urllib3 makes from now on checked before anything is sent on it.

    Raises ConfigError for a urllib3 that does not connect where this looks: better no connection than an unseen one.
    """
    pools = getattr(manager, "pool_classes_by_scheme", {})
    if not pools or not all(hasattr(pool.ConnectionCls, "_new_conn") for pool in pools.values()):
        raise ConfigError("this version of urllib3 cannot be held to its hosts; install another one")
    manager.pool_classes_by_scheme = {scheme: _watched(pool, check) for scheme, pool in pools.items()}


def _watched(pool: Any, check: Check) -> type:  # noqa: ANN401 - a class of urllib3
    """Return a pool of connections that check who answers; TLS begins after that."""
    plain = pool.ConnectionCls

    def connect(connection: Any) -> Any:  # noqa: ANN401 - urllib3's connection, and a socket
        made = plain._new_conn(connection)  # noqa: SLF001 - where urllib3 connects, for http and https alike
        try:
            check(made.getpeername()[0], connection.host)
        except BaseException:
            made.close()
            raise
        return made

    checked = type(plain.__name__, (plain,), {"_new_conn": connect})
    return type(pool.__name__, (pool,), {"ConnectionCls": checked})


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _refused(host: str, address: str, target: str) -> PermissionDenied:
    return PermissionDenied(f"nothing was sent: `{host}` has led to {address}, where no store is", target=target)
