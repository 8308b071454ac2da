"""Machines of any OpenStack (Infomaniak, OTC, OVHcloud, one's own), by Keystone, Nova, Cinder and Glance over httpx.

`Binding.endpoint` is Keystone, version 3, such as `https://iam.eu-de.otc.t-systems.com/v3`; `region` is the region in
its catalogue. `hosts` are the only hosts that a request may go to: the other services are where the catalogue says, and
if that is elsewhere nothing is sent. `container` is the project's id, or "": then the credentials tell it. They are
`username`, `password` and `project_id` or `project_name` (with `user_domain_name` and `project_domain_name`), or
`application_credential_id` and `application_credential_secret`. Settings:

================== ============================ ==================================================================
`region`           text                         the region in the catalogue, where it is called otherwise there
`interface`        `public`, `internal`         which of the catalogue's endpoints are meant
`network`          text                         the id of the network of machines; without it, the only one there is
`security-group`   text                         the name of the group of machines; without it, the default one
`zone`             text                         the availability zone of machines and volumes
`volume-type`      text                         the type of volumes
`extra-specs`      true, false (default)        whether each flavor is asked for what it can prove: a call for each
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds    how long an answer may take
`attempts`         int (default 3)              how often a request is made that changes nothing twice
`within`           int (default 60), seconds    how long a volume may take to be made, attached or detached
================== ============================ ==================================================================

Nova is asked for version 2.1 and no later one, which all have. It knows no token of a launch: one that was cut short is
found again by its tags, which are metadata, given with the machine. An image's owner is the id of a project, public
images included. A flavor proves confidential computing where its extra specs name a model that can be attested; plain
`hw:mem_encryption` is encrypted memory, which proves nothing to anybody. `visibility` counts by the limits of the
project; its canary is the project's default security group, as Nova tells of it. Neither the environment nor
`clouds.yaml` is looked at. Prices are not told.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.keystone import question
from sovbroker_adapters.settings import Reading

if TYPE_CHECKING:
    from sovbroker_adapters.openstack.machines import OpenStackMachines

__all__ = ["build"]

MISSING: Final = "httpx is not installed; run `pip install 'sovbroker[openstack]'`"
TEXTS: Final = ("region", "network", "security-group", "zone", "volume-type")
KNOWN: Final = (*TEXTS, "interface", "extra-specs", "connect-timeout", "read-timeout", "attempts", "within")


def build(binding: Binding, /) -> OpenStackMachines:
    """Open the machines of a project in a region. Raises ConfigError for what cannot work; makes no request."""
    try:
        import_module("httpx")
        import_module("certifi")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    reading = Reading(binding)
    reading.check_names(KNOWN)
    question(binding.credentials, target=binding.target, project=binding.container)
    if not (reading.text("region") or binding.region):
        raise ConfigError(f"{binding.target}: no region: the catalogue has one endpoint for each")
    from sovbroker_adapters.openstack.client import Connection  # noqa: PLC0415 - it needs httpx
    from sovbroker_adapters.openstack.machines import OpenStackMachines  # noqa: PLC0415 - as above

    return OpenStackMachines(Connection(binding))
