"""Who answers: the address behind a host's name, looked at after connecting and before a byte is sent.

A name that may be talked to can still lead elsewhere, by a poisoned answer of DNS or an entry that was never right. TLS
finds out most of that, after the first bytes; a machine's metadata service speaks no TLS. Each `watch_` is for one
library, and raises ConfigError where its version does not connect as it is known to: better no connection than an
unseen one.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from sovbroker.errors import ConfigError, PermissionDenied

__all__ = [
    "check_name",
    "check_peer",
    "no_store",
    "own_machine",
    "watch_manager",
    "watch_session",
    "watch_transport",
]

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
LOCALHOST: Final = "localhost"


def own_machine(host: str) -> bool:
    """Whether a host, as a URL names it, is this machine, so that what is sent there passes no network."""
    name = host.lower().rstrip(".")
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def no_store(address: str) -> bool:
    """Whether an address is link-local, a metadata service or nowhere. Raises ValueError for what is no address."""
    found = _inner(address)
    return found.is_link_local or found in METADATA or found.is_unspecified or found.is_multicast


def check_peer(address: str, host: str, *, target: str) -> None:
    """Raise PermissionDenied for an address where no store can be, and for this machine.

    This machine is allowed where `host` says so by itself. Other private addresses are: a provider of one's own and the
    end of a private link have such.
    """
    local = own_machine(host) or host.lower().rstrip(".").endswith(f".{LOCALHOST}")
    try:
        refused = no_store(address) or (_inner(address).is_loopback and not local)
    except ValueError:
        refused = True
    if refused:
        raise PermissionDenied(f"nothing was sent: `{host}` has led to {address}, where no store is", target=target)


def check_name(host: str, *, target: str) -> None:
    """Raise PermissionDenied where one of the addresses that a name has now is not allowed; see `check_peer`.

    For a library that cannot be watched. It asks again by itself, and may be told something else; a name that has no
    address is its own to find out.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    for *_, address in found:
        check_peer(str(address[0]), host, target=target)


def watch_session(session: Any, *, target: str) -> None:  # noqa: ANN401 - of requests, which not every adapter has
    """Have every connection that a session of requests makes from now on looked at; its adapters are mounted."""
    # An adapter may be mounted for several schemes.
    for manager in dict.fromkeys(adapter.poolmanager for adapter in session.adapters.values()):
        watch_manager(manager, target=target)


def watch_manager(manager: Any, *, target: str) -> None:  # noqa: ANN401 - as above, of urllib3
    """Have every connection that a pool manager of urllib3 makes from now on looked at."""
    pools = getattr(manager, "pool_classes_by_scheme", {})
    if not pools or not all(hasattr(pool.ConnectionCls, "_new_conn") for pool in pools.values()):
        raise ConfigError("this version of urllib3 cannot be held to its hosts; install another one")
    manager.pool_classes_by_scheme = {scheme: _watched(pool, target) for scheme, pool in pools.items()}


def watch_transport(transport: Any, *, target: str) -> None:  # noqa: ANN401 - as above, of httpx
    """Have every connection that a transport of httpx makes from now on looked at."""
    pool = getattr(transport, "_pool", None)
    backend = getattr(pool, "_network_backend", None)
    if not hasattr(backend, "connect_tcp"):
        raise ConfigError("this version of httpx cannot be held to its hosts; install another one")
    pool._network_backend = _Backend(backend, target)  # type: ignore[union-attr]  # noqa: SLF001 - it has no other door


class _Backend:
    """What connects for httpx; of what `inner` can, only TCP is needed."""

    def __init__(self, inner: Any, target: str) -> None:  # noqa: ANN401 - as above
        self._inner = inner
        self._target = target

    def connect_tcp(self, host: str, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as the library's
        """Connect. Raises PermissionDenied for an address where no store is."""
        made = self._inner.connect_tcp(host, *args, **named)
        try:
            check_peer(made.get_extra_info("server_addr")[0], host, target=self._target)
        except BaseException:
            made.close()
            raise
        return made


def _watched(pool: Any, target: str) -> type:  # noqa: ANN401 - a class of urllib3
    """Return a pool whose connections look at who answers; TLS begins after that."""
    plain = pool.ConnectionCls

    def connect(connection: Any) -> Any:  # noqa: ANN401 - urllib3's connection, and a socket
        made = plain._new_conn(connection)  # noqa: SLF001 - where urllib3 connects, for http and https alike
        try:
            check_peer(made.getpeername()[0], connection.host, target=target)
        except BaseException:
            made.close()
            raise
        return made

    checked = type(plain.__name__, (plain,), {"_new_conn": connect})
    return type(pool.__name__, (pool,), {"ConnectionCls": checked})


def _inner(address: str) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, else itself."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return found
    if found in TRANSLATED:
        return IPv4Address(int(found) & 0xFFFFFFFF)
    return found.ipv4_mapped or found.sixtofour or found
