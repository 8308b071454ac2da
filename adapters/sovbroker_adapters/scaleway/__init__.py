"""Machines of Scaleway (Instances, with Block Storage), by its API over httpx.

`Binding.endpoint` is the API's root, `https://api.scaleway.com`; `hosts` the only hosts that a request may go to.
`container` is the project's id, and has to be given. The credential is `secret_key`, that of an API key which may do
`InstancesFullAccess` and `BlockStorageFullAccess` in the project. Settings:

================== ============================ ==================================================================
`zone`             text (default: the region's  the zone in which machines and volumes are made, such as `fr-par-2`
                   first)
`address`          `public` (default), `none`   whether a machine has a public address, which goes when it stops
`security-group`   text                         the id of one; without it, the project's default group of the zone
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds    how long an answer may take
`attempts`         int (default 3)              how often a request is made that changes nothing twice
`within`           int (default 300), seconds   how long a change may take
================== ============================ ==================================================================

Machines, volumes and counts are of all zones of the region, so the id of each begins with its zone. A machine is made
with its tags and stopped, marks its disk, is given its script and is then started. Launched again with its token, one
that was cut short is found and goes on from there; two at once would make two. A script is `cloud-init`'s.

A machine's disk is on Block Storage, which a destroyed machine leaves behind: so a launch marks it with the machine's
id, and `destroy` takes what is so marked, also when the machine is gone already, and nothing else. Other disks on the
hypervisor would go with their machine; then `destroy` refuses. Addresses of one's own stay.

There are no keys here, though the provider has some: those of a project are let into every machine of it, and a key of
one launch is not to open the others. Whoever may add keys to the project may enter its machines. A price is that of the
machine, without its disk and address. `visibility` counts by the provider's dashboard; its canary is the project's
default security group, which a region has as soon as it had a machine: before that, it is blind. Neither the
environment nor a file of the user is looked at; none of it was tried at the provider.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.settings import Reading

if TYPE_CHECKING:
    from sovbroker_adapters.scaleway.machines import ScalewayMachines

__all__ = ["build"]

MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[scaleway]'`"
PROJECT: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KNOWN: Final = ("zone", "address", "security-group", "connect-timeout", "read-timeout", "attempts", "within")


def build(binding: Binding, /) -> ScalewayMachines:
    """Open the machines of a project. Raises ConfigError for what cannot work; makes no request."""
    try:
        import_module("httpx")
        import_module("certifi")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    Reading(binding).check_names(KNOWN)
    secret = binding.credentials.get("secret_key") or ""
    if not (secret and secret.isascii() and secret.isprintable()):
        raise ConfigError(f"{binding.target}: no credentials: give the `secret_key` of an API key")
    if PROJECT.fullmatch(binding.container) is None:
        raise ConfigError(f"{binding.target}: give the id of the project as `project`")
    from sovbroker_adapters.scaleway.client import Connection  # noqa: PLC0415 - it needs httpx
    from sovbroker_adapters.scaleway.machines import ScalewayMachines  # noqa: PLC0415 - as above

    return ScalewayMachines(Connection(binding))
