"""Machines placed by label: the compute half of the broker."""

from __future__ import annotations

from sovbroker.compute.audit import Audit, AuditedMachine, AuditedPlace, Standing
from sovbroker.compute.face import Compute, Node
from sovbroker.compute.journal import Journal
from sovbroker.compute.launching import Secrets
from sovbroker.compute.places import ComputePlace, Providers
from sovbroker.compute.planning import Option, Plan, Surroundings
from sovbroker.compute.prices import PriceList, Rate
from sovbroker.compute.reaping import Reaped, Stray
from sovbroker.compute.sshkeys import ImportedKey, SshKeys
from sovbroker.compute.volumes import Placed, Volumes

__all__ = [
    "Audit",
    "AuditedMachine",
    "AuditedPlace",
    "Compute",
    "ComputePlace",
    "ImportedKey",
    "Journal",
    "Node",
    "Option",
    "Placed",
    "Plan",
    "PriceList",
    "Providers",
    "Rate",
    "Reaped",
    "Secrets",
    "SshKeys",
    "Standing",
    "Stray",
    "Surroundings",
    "Volumes",
]
