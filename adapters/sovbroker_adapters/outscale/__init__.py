"""Machines of Outscale, by its API (OAPI) over httpx.

`Binding.endpoint` is the API of one region, such as `https://api.eu-west-2.outscale.com/api/v1`, `hosts` the only hosts
that a request may go to, `region` what requests are signed for. `container` is the account's number, or "": then the
credentials tell it. They are `access_key` and `secret_key`. Settings:

================== ============================ ==================================================================
`zone`             text                         the subregion of machines and volumes; without it, the first one
`subnet`           text                         the id of the subnet of machines; without it, the public cloud
`security-group`   text                         the id of the group of machines; without it, the default one
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds    how long an answer may take
`attempts`         int (default 3)              how often a request is made that changes nothing twice
`within`           int (default 60), seconds    how long a machine or volume may take to be made
================== ============================ ==================================================================

No call makes a machine with its tags. So it is made without being started, by its token; then it is tagged, and then
started: what has no tags has never run, is called by its token, and is finished by the same launch, with the script
of that. One that cannot be tagged is destroyed. Its disks end with it. `visibility` counts by `ReadVmsState`; its
canary is the default security group. Neither the environment nor `~/.osc/config.json` is looked at. Prices are those
of the account's catalog, of Linux, where it may read that (`ReadCatalog`, `ReadUnitPrice`) and pays in euro; else
they are not told.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.peers import own_machine
from sovbroker_adapters.settings import Reading

if TYPE_CHECKING:
    from sovbroker_adapters.outscale.machines import OutscaleMachines

__all__ = ["build"]

MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[outscale]'`"
KNOWN: Final = ("zone", "subnet", "security-group", "connect-timeout", "read-timeout", "attempts", "within")
ACCOUNT: Final = re.compile(r"(\d{12})?")
REGION: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def build(binding: Binding, /) -> OutscaleMachines:
    """Open the machines of an account in a region. Raises ConfigError for what cannot work; makes no request."""
    try:
        import_module("httpx")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    target = binding.target
    Reading(binding).check_names(KNOWN)
    if ACCOUNT.fullmatch(binding.container) is None:
        raise ConfigError(f"{target}: the account `{binding.container}` is no number of twelve digits")
    if not (binding.credentials.get("access_key") and binding.credentials.get("secret_key")):
        raise ConfigError(f"{target}: no credentials: give `access_key` and `secret_key`")
    if REGION.fullmatch(binding.region or "") is None:
        raise ConfigError(f"{target}: the region `{binding.region}` is none; requests are signed for one")
    parts = urlsplit(binding.endpoint or "")
    plain = parts.scheme == "http" and own_machine(parts.hostname or "")
    if not parts.hostname or parts.query or not (parts.scheme == "https" or plain):
        raise ConfigError(f"{target}: the endpoint `{binding.endpoint}` is no URL that begins with https://")
    if not binding.hosts:
        raise ConfigError(f"{target}: name the hosts that may be talked to")
    from sovbroker_adapters.outscale.client import Connection  # noqa: PLC0415 - it needs httpx
    from sovbroker_adapters.outscale.machines import OutscaleMachines  # noqa: PLC0415 - as above

    return OutscaleMachines(Connection(binding))
