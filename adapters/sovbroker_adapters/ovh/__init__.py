"""The account plane of OVHcloud, by python-ovh: regions, containers, users and keys of one public cloud project.

`Binding.container` is the project (its id, the API's `serviceName`), `endpoint` one of `https://eu.api.ovh.com/1.0`,
`https://ca.api.ovh.com/1.0` and `https://api.us.ovhcloud.com/1.0`, or an emulator's; `hosts` the only host that a
request may go to. The credentials are `application_key`, `application_secret` and `consumer_key`, as
https://eu.api.ovh.com/createToken/ makes them: for `GET`, `POST` and `DELETE` on `/cloud/project/PROJECT/*`. Settings:

================== ==============================================================
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds
`user-within`      int (default 120), seconds that a new user may take to be ready
================== ==============================================================

Every call is signed; the clock is the API's own (`/auth/time`), asked once. The environment, `ovh.conf` files, proxies
and `.netrc` are not looked at, and redirects are not followed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding

if TYPE_CHECKING:
    from sovbroker_adapters.ovh.accounts import OvhAccounts

__all__ = ["build"]

MISSING: Final = "python-ovh is not installed; run `pip install 'sovbroker[ovh]'`"


def build(binding: Binding, /) -> OvhAccounts:
    """Open the account plane of a project. Raises ConfigError when the binding cannot work; makes no request."""
    try:
        for name in ("ovh", "requests"):
            import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    from sovbroker_adapters.ovh.accounts import OvhAccounts  # noqa: PLC0415 - it needs the SDK
    from sovbroker_adapters.ovh.client import Connection  # noqa: PLC0415 - as above

    return OvhAccounts(Connection(binding))
