"""OVHcloud by python-ovh: the account plane of one public cloud project, and its machines in one region.

`Binding.container` is the project (its id, the API's `serviceName`), `endpoint` one of `https://eu.api.ovh.com/1.0`,
`https://ca.api.ovh.com/1.0` and `https://api.us.ovhcloud.com/1.0`, or an emulator's; `hosts` the only host that a
request may go to. The credentials are `application_key`, `application_secret` and `consumer_key`, as
https://eu.api.ovh.com/createToken/ makes them: for `GET`, `POST` and `DELETE` on `/cloud/project/PROJECT/*`. Settings:

================== ==============================================================
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds
`user-within`      int (default 120), seconds that a new user may take to be ready
`within`           int (default 120), seconds that a change of a machine may take
`volume-type`      text (default `classic`), the kind of volumes that are made
`region`           text (default: the binding's), the region of machines in that place, such as `GRA11` in `gra`
================== ==============================================================

Every call is signed; the clock is the API's own (`/auth/time`), asked once. The environment, `ovh.conf` files, proxies
and `.netrc` are not looked at, and redirects are not followed.

For machines, `region` is one of the project's, such as `GRA11`, and the rights are the same. The API has neither tags
nor tokens of launches, and fakes of them would be found by nobody else: a launch is asked for once, and the machine's
name tells which one it was. `visibility` counts by the quota that the project uses in the region; its canary is a
flavor, which is listed by the same project and region as machines are. How many GPUs a flavor has is not told, and no
price.
"""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.settings import Reading

if TYPE_CHECKING:
    from sovbroker_adapters.ovh.accounts import OvhAccounts
    from sovbroker_adapters.ovh.machines import OvhMachines

__all__ = ["build", "build_machines"]

MISSING: Final = "python-ovh is not installed; run `pip install 'sovbroker[ovh]'`"


def build(binding: Binding, /) -> OvhAccounts:
    """Open the account plane of a project. Raises ConfigError when the binding cannot work; makes no request."""
    _need()
    from sovbroker_adapters.ovh.accounts import OvhAccounts  # noqa: PLC0415 - it needs the SDK
    from sovbroker_adapters.ovh.client import Connection  # noqa: PLC0415 - as above

    return OvhAccounts(Connection(binding))


def build_machines(binding: Binding, /) -> OvhMachines:
    """Open the machines of a project in a region. Raises ConfigError for what cannot work; makes no request."""
    _need()
    from sovbroker_adapters.ovh.client import Connection  # noqa: PLC0415 - it needs the SDK
    from sovbroker_adapters.ovh.machines import OvhMachines  # noqa: PLC0415 - as above

    if not binding.region:
        raise ConfigError(f"{binding.target}: name the region of the machines, such as `GRA11`")
    # The catalogue's regions are sites, of which machines are told apart by a number or a letter: `gra`, `GRA11`.
    site, region = binding.region.upper(), Reading(binding).text("region") or binding.region.upper()
    if re.fullmatch(rf"{re.escape(site)}(?:[0-9]{{1,2}}|-[A-Z])?", region) is None:
        raise ConfigError(f"{binding.target}: setting `region`: `{region}` is no region of machines in {site}")
    settings = {name: value for name, value in binding.settings.items() if name != "region"}
    return OvhMachines(Connection(replace(binding, region=region, settings=settings)))


def _need() -> None:
    try:
        for name in ("ovh", "requests"):
            import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
