"""Machines of Azure, and of Bleu and Delos at other hosts, by Resource Manager over httpx.

`Binding.endpoint` is Resource Manager, such as `https://management.azure.com`, `region` the location, `container` the
subscription and the resource group that machines are made in, as `SUBSCRIPTION/GROUP`. `hosts` are the only hosts that
a request may go to; the authority has to be one of them. The credentials are `tenant`, `client_id` and `client_secret`,
which go to the authority and nowhere else. Settings:

================== ============================ ==================================================================
`authority`        text, needed                 the URL or host that gives tokens, such as `login.microsoftonline.com`
`subnet`           text, needed                 the id of the subnet of machines, from `/subscriptions/` on
`audience`         text                         what tokens are for; without it, the endpoint
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds    how long an answer may take
`attempts`         int (default 3)              how often a request is made that changes nothing twice
`within`           int (default 600), seconds   how long an operation may take to be done
================== ============================ ==================================================================

A machine is made by one request, with its disk and its network interface, which end with it. It is called by its
launch's token: what has that name already is returned as it is, though a name is forgotten when its machine is gone.
The machine's own name is the tag `Name`. Tags differ by more than case, and have at most 256 characters. A machine
without a key of the caller's gets one that nobody has. Images are those of a publisher, under `OFFER:SKU`, the newest
version of each. All machines of the subscription that the credentials may read are listed: with rights in one group
alone, those of others are not seen. `visibility` counts by the list of the location; its canary is the resource group.
Prices are not told.
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
    from sovbroker_adapters.azure_arm.machines import ArmMachines

__all__ = ["build"]

MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[azure-arm]'`"
KNOWN: Final = ("authority", "subnet", "audience", "connect-timeout", "read-timeout", "attempts", "within")
SECRETS: Final = ("tenant", "client_id", "client_secret")
CONTAINER: Final = re.compile(r"[0-9a-fA-F-]{36}/[\w.()-]{0,89}[\w()-]", re.ASCII)
TENANT: Final = re.compile(r"[A-Za-z0-9.-]{1,253}")
REGION: Final = re.compile(r"[a-z0-9-]{1,64}")
SUBNET: Final = re.compile(
    r"/subscriptions/[\w-]+/resourceGroups/[\w.()-]+/providers/Microsoft\.Network/virtualNetworks/[\w.-]+/subnets/[\w.-]+",
    re.ASCII,
)


def build(binding: Binding, /) -> ArmMachines:
    """Open the machines of a subscription in a location. Raises ConfigError for what cannot work; makes no request."""
    try:
        import_module("httpx")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    target, reading = binding.target, Reading(binding)
    reading.check_names(KNOWN)
    if CONTAINER.fullmatch(binding.container) is None:
        raise ConfigError(
            f"{target}: `{binding.container}` is not SUBSCRIPTION/GROUP: the id of one, the name of the other"
        )
    if REGION.fullmatch(binding.region or "") is None:
        raise ConfigError(f"{target}: the region `{binding.region}` is none")
    for name in SECRETS:
        if not binding.credentials.get(name):
            raise ConfigError(f"{target}: no credentials: give `tenant`, `client_id` and `client_secret`")
    if TENANT.fullmatch(binding.credentials.get("tenant") or "") is None:
        raise ConfigError(f"{target}: the credential `tenant` is no id or domain of a tenant")
    if SUBNET.fullmatch(reading.text("subnet") or "") is None:
        raise reading.wrong("subnet", "give the id of a subnet, from `/subscriptions/` on")
    authority = _url(reading.text("authority") or "")
    _check_url(binding, "endpoint", binding.endpoint or "")
    _check_url(binding, "authority", authority)
    from sovbroker_adapters.azure_arm.client import Connection  # noqa: PLC0415 - it needs httpx
    from sovbroker_adapters.azure_arm.machines import ArmMachines  # noqa: PLC0415 - as above

    return ArmMachines(Connection(binding, authority=authority))


def _url(authority: str) -> str:
    return authority if "://" in authority else f"https://{authority}"


def _check_url(binding: Binding, name: str, url: str) -> None:
    """Raise ConfigError for a URL that is none, or that leads to no host of the binding."""
    parts = urlsplit(url)
    plain = parts.scheme == "http" and own_machine(parts.hostname or "")
    if not parts.hostname or parts.query or not (parts.scheme == "https" or plain):
        raise ConfigError(f"{binding.target}: the {name} `{url}` is no URL that begins with https://")
    if not {parts.netloc.lower(), parts.hostname} & {host.lower() for host in binding.hosts}:
        raise ConfigError(f"{binding.target}: the {name} `{parts.netloc}` is not among the hosts of this target")
