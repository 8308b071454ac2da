"""Objects by a storage driver of apache-libcloud. Made for services that no other adapter speaks to.

`Binding.container` is the container, `endpoint` the URL of the service, `region` the name in signatures, `hosts` the
only hosts that a request may go to. libcloud's own tables of hosts and regions are not used. Settings:

================== ==================================== ==============================================================
`driver`           a name of libcloud's, with hyphens   `minio`, `s3`, `digitalocean-spaces`, `scaleway`; see below
`attempts`         int (default 3)                      how often a call that may be repeated is made
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds
`ca-bundle`        path                                 certificates to trust instead of the usual ones
`etags`            `md5` (default), `opaque`            whether an ETag of 32 hex digits is the body's MD5
`keys`             `any` (default), `files`             `files`: names must do as file names
`put_max` …        int                                  the fields of `Limits`
================== ==================================== ==============================================================

Credentials are `access_key` and `secret_key`. The environment's proxies, certificates and libcloud's own variables are
not looked at; redirects are not followed.

A driver has no conditions, copies, links, retention, and no uploads in parts that could be opened again: all are
declared absent; beyond 16 MiB the broker sends one request, of what has a known size. Listings start at the beginning
and are folded here. Bodies are streamed both ways. What was stored is verified by its ETag or by its size, what is read
as a whole by its ETag.

Which drivers there are was judged one by one: see `docs/decisions/0022`. The others are refused, with the reason.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.libcloud.settings import Settings

if TYPE_CHECKING:
    from sovbroker_adapters.libcloud.store import LibcloudStore

__all__ = ["build"]

MISSING: Final = "apache-libcloud is not installed; run `pip install 'sovbroker[libcloud]'`"


def build(binding: Binding, /) -> LibcloudStore:
    """Open the container `binding.container`. Raises ConfigError when the binding cannot work; makes no request."""
    settings = Settings.of(binding)
    try:
        for name in ("libcloud.storage.base", "requests"):
            import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    from sovbroker_adapters.libcloud.client import Connection  # noqa: PLC0415 - it needs the SDK
    from sovbroker_adapters.libcloud.store import LibcloudStore  # noqa: PLC0415 - as above

    return LibcloudStore(Connection(binding, settings), settings)
