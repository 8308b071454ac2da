"""Machines of Cloud Temple's open-source IaaS (OpenIaaS), by the API of its console over httpx.

`Binding.endpoint` is the API's root, `https://shiva.cloud-temple.com/api`; `hosts` the only hosts that a request may go
to. `container` is the tenant's id, or "": then the token tells it. The credentials are a personal access token:
`client_id` and `secret_id`. It answers only to networks that the tenant has allowed. Settings:

================== ============================ ==================================================================
`zone`             text                         the id of the availability zone; without it, the only one there is
`backup-policy`    text, required               the id of the backup policy of machines: without one none is started
`network`          text                         the id of the network of machines; without it, the template's
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds    how long an answer may take
`attempts`         int (default 3)              how often a request is made that changes nothing twice
`within`           int (default 300), seconds   how long a change may take
================== ============================ ==================================================================

Paths and bodies are those of the provider's own Terraform provider; none of it was tried at the provider. A machine
is made halted, given its backup policy, tagged and then started: what has no tags has never run. Its name there ends
with its launch: launched again with its token, one that was cut short is found, and started, or made anew where it
lacked more. There are no sizes there: `c2m4` is two processors and 4 GiB, and `sizes` is our choice of them. A
machine does not tell its template, so a tag does. A script is wrapped into a cloud-config. Templates are the tenant's
own or the provider's: an image has no owner. There is no way to reboot, no keys, and no disk without a machine.
Whether a machine is there is known from the list alone: a 403 or 404 says nothing. Tags cost a call for each machine.
`visibility` has no count; its canary is the availability zone. Neither the environment nor a file of the user is
looked at.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.settings import Reading

if TYPE_CHECKING:
    from sovbroker_adapters.cloudtemple.machines import CloudTempleMachines

__all__ = ["build"]

MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[cloud-temple]'`"
KNOWN: Final = ("zone", "backup-policy", "network", "connect-timeout", "read-timeout", "attempts", "within")


def build(binding: Binding, /) -> CloudTempleMachines:
    """Open the machines of a tenant. Raises ConfigError for what cannot work; makes no request."""
    try:
        import_module("httpx")
        import_module("certifi")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    reading = Reading(binding)
    reading.check_names(KNOWN)
    if not (binding.credentials.get("client_id") and binding.credentials.get("secret_id")):
        raise ConfigError(f"{binding.target}: no credentials: give `client_id` and `secret_id`")
    if reading.text("backup-policy") is None:
        raise reading.wrong("backup-policy", "give the id of a backup policy: no machine is started without one")
    from sovbroker_adapters.cloudtemple.client import Connection  # noqa: PLC0415 - it needs httpx
    from sovbroker_adapters.cloudtemple.machines import CloudTempleMachines  # noqa: PLC0415 - as above

    return CloudTempleMachines(Connection(binding))
