"""Sessions and clients of botocore that look at nothing but what they are given, and wait no longer than their caller.

No variable of the environment and no file of the user names an endpoint, a proxy, a region or credentials; the SDK
repeats nothing and follows nothing. Which hosts a client may talk to is its adapter's to check.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from sovbroker.errors import ConfigError
from sovbroker.ports import patience
from sovbroker_adapters.peers import watch_manager

if TYPE_CHECKING:
    from botocore.session import Session

__all__ = ["PLAIN", "hold", "isolated"]

PLAIN: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "tcp_keepalive": True,
        "proxies": {},
        "ignore_configured_endpoint_urls": True,
        "use_dualstack_endpoint": False,
        "use_fips_endpoint": False,
    }
)
"""What the `Config` of every client says: one attempt, no proxy, no other endpoint."""


def isolated() -> Session:
    """Return a session that reads neither the environment nor the user's files."""
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES  # noqa: PLC0415 - the SDK is loaded lazily
    from botocore.session import Session  # noqa: PLC0415 - as above

    variables = cast("Mapping[str, tuple[object, ...]]", BOTOCORE_DEFAUT_SESSION_VARIABLES)
    constants: dict[str, Any] = {name: (None, None, *given[2:]) for name, given in variables.items()}
    for name in ("config_file", "credentials_file"):
        constants[name] = (None, None, os.devnull, None)
    session = Session(session_vars=constants)
    session.register_component("data_loader", _loader())
    return session


@cache
def _loader() -> object:
    """Return the SDK's data of its services, read once: most of the time that a client takes to be made."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - the SDK is loaded lazily

    return create_loader()


def hold(client: object, *, connect_timeout: float, read_timeout: float, target: str) -> None:
    """Let no request of a client wait longer than its caller, none be led elsewhere, and look at who answers.

    Timeouts are in seconds; `target` is who errors name. Raises ConfigError for an SDK that cannot be held so.

    The SDK knows one time limit for all requests of a client, and leaves redirects to its library, which is no help
    with those that it does not follow.
    """
    from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool  # noqa: PLC0415 - loaded lazily
    from urllib3.util import Timeout  # noqa: PLC0415 - as above

    def held(pool: Any) -> Any:  # noqa: ANN401 - a class of the SDK, and one made of it
        def urlopen(self: object, *args: object, **options: object) -> object:
            caller = patience()
            limits = Timeout(connect=caller.left(connect_timeout), read=caller.left(read_timeout))
            return pool.urlopen(self, *args, **options | {"timeout": limits, "redirect": False})

        return type("Held", (pool,), {"urlopen": urlopen})

    try:
        manager = cast("Any", client)._endpoint.http_session._manager  # noqa: SLF001 - it has no other door
    except AttributeError as error:
        raise ConfigError("this version of botocore cannot be held to its hosts; install another one") from error
    pools = {"http": AWSHTTPConnectionPool, "https": AWSHTTPSConnectionPool}
    manager.pool_classes_by_scheme = {scheme: held(pool) for scheme, pool in pools.items()}
    watch_manager(manager, target=target)
