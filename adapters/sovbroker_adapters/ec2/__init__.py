"""Machines of AWS EC2, or of a service that speaks its interface, by boto3's core.

`Binding.endpoint` is the service of one region, such as `https://ec2.eu-west-3.amazonaws.com`, `hosts` the only hosts
that a request may go to, `region` what requests are signed for. `container` is the account's number, or "": then the
credentials tell it. They are `access_key`, `secret_key`, and `session_token` where the keys are temporary. Settings:

================== ============================ ==================================================================
`zone`             text                         where machines and volumes are; without it, the region's first one
`subnet`           text                         the id of the subnet of machines; without it, the account's default
`security-group`   text                         the id of the group of machines; without it, the network's default
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds    how long an answer may take
`attempts`         int (default 3)              how often a request is made that changes nothing twice
`within`           int (default 60), seconds    how long a volume may take to be made, attached or detached
================== ============================ ==================================================================

A machine is made in one call, with its tags and those of its disks; its metadata service wants a session (IMDSv2), and
its disks end with it. The id of a key is its name. A machine that was just made may take a few seconds to be found by
its id. `visibility` counts by `DescribeInstanceStatus`; its canary is the default security group, which no network can
be without, so that an account without any network in the region has none. Neither the environment's variables, nor the
user's files, nor a metadata service is looked at. Prices are not told.
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
    from sovbroker_adapters.ec2.machines import Ec2Machines

__all__ = ["build"]

MISSING: Final = "boto3 is not installed; run `pip install 'sovbroker[ec2]'`"
KNOWN: Final = ("zone", "subnet", "security-group", "connect-timeout", "read-timeout", "attempts", "within")
ACCOUNT: Final = re.compile(r"(\d{12})?")
REGION: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def build(binding: Binding, /) -> Ec2Machines:
    """Open the machines of an account in a region. Raises ConfigError for what cannot work; makes no request."""
    try:
        import_module("botocore.session")
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
    if not parts.hostname or not (parts.scheme == "https" or plain):
        raise ConfigError(f"{target}: the endpoint `{binding.endpoint}` is no URL that begins with https://")
    if not binding.hosts:
        raise ConfigError(f"{target}: name the hosts that may be talked to")
    from sovbroker_adapters.ec2.client import Connection  # noqa: PLC0415 - it needs the SDK
    from sovbroker_adapters.ec2.machines import Ec2Machines  # noqa: PLC0415 - as above

    return Ec2Machines(Connection(binding))
