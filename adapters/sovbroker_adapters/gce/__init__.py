"""Machines of Google Compute Engine, and of S3NS, which is the same interface in another universe, over httpx.

`Binding.endpoint` is the API, `https://compute.googleapis.com/compute/v1` or `https://compute.s3nsapis.fr/compute/v1`,
`hosts` the only hosts that a request may go to, `container` the project, `region` the region of its machines. The
credential is `service_account`: the key of one as JSON, or the path of its file, which nobody else may read. Each
request carries a token that the key signs by itself: nobody is asked for one, so that there is no other host, and the
key never leaves. It has to be of the endpoint's universe. Settings:

================== ============================ ==================================================================
`zone`             text                         the zone of new machines and volumes; without it, the region's
                                                first one by its name. Those of all its zones are listed
`subnet`           text                         the subnetwork of machines, by its name; without it, the project's
                                                network `default`
`public-address`   bool (default false)         whether machines get an address that the world can reach
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds    how long an answer may take
`attempts`         int (default 3)              how often a request is made: all that change something are known
                                                again by their request id
`within`           int (default 300), seconds   how long an operation may take to be done
================== ============================ ==================================================================

Names and labels hold lower-case letters, digits and little else there. So a machine is called by its launch's token,
and its own name stands in its description, as JSON, with all tags that no label can hold; the others are labels. The
same holds for volumes. The same token in another zone is another launch. A script is a startup script that runs once;
keys of the project let nobody in, and a machine has no service account, so nothing in it speaks for the project.
`visibility` counts by the lists of each zone, where `machines` asks for all at once; its canary is the project. Prices
are not told, nor which sizes are confidential; a launch may ask for it all the same.
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
    from sovbroker_adapters.gce.machines import GceMachines

__all__ = ["build"]

MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[gce]'`"
KNOWN: Final = ("zone", "subnet", "public-address", "connect-timeout", "read-timeout", "attempts", "within")
PROJECT: Final = re.compile(r"(?:[a-z][a-z0-9.-]{0,61}:)?[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def build(binding: Binding, /) -> GceMachines:
    """Open the machines of a project in a region. Raises ConfigError for what cannot work; makes no request."""
    try:
        import_module("httpx")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    target, reading = binding.target, Reading(binding)
    reading.check_names(KNOWN)
    if PROJECT.fullmatch(binding.container) is None:
        raise ConfigError(f"{target}: `{binding.container}` is no id of a project")
    if NAME.fullmatch(binding.region or "") is None:
        raise ConfigError(f"{target}: the region `{binding.region}` is none")
    for name in ("zone", "subnet"):
        value = reading.text(name)
        if value is not None and NAME.fullmatch(value) is None:
            raise reading.wrong(name, f"`{value}` is no name: lower-case letters, digits and hyphens")
    zone = reading.text("zone")
    if zone is not None and zone.rpartition("-")[0] != binding.region:
        raise reading.wrong("zone", f"`{zone}` is no zone of `{binding.region}`")
    parts = urlsplit(binding.endpoint or "")
    plain = parts.scheme == "http" and own_machine(parts.hostname or "")
    if not parts.hostname or parts.query or not (parts.scheme == "https" or plain):
        raise ConfigError(f"{target}: the endpoint `{binding.endpoint}` is no URL that begins with https://")
    if not binding.hosts:
        raise ConfigError(f"{target}: name the hosts that may be talked to")
    from sovbroker_adapters.gce.client import Connection  # noqa: PLC0415 - it needs httpx
    from sovbroker_adapters.gce.machines import GceMachines  # noqa: PLC0415 - as above
    from sovbroker_adapters.gce.signing import ServiceAccount  # noqa: PLC0415 - loaded when it is needed

    account = ServiceAccount.of(binding)
    host = parts.hostname.lower()
    if not own_machine(host) and not host.endswith(f".{account.universe}"):
        raise ConfigError(f"{target}: the key is of the universe `{account.universe}`, and `{host}` is not of it")
    return GceMachines(Connection(binding, account))
