"""Probes: what a service really does, found out through the port before it is relied on.

Services accept requests and do something else: they ignore conditions, lose names, replace a body by its tags. So
`find_out` opens a target with every feature *claimed*, and judges each claim by what comes back. The lines of its
matrix are kept in a file beside the state (`ProbeFile`), and tighten what a broker relies on (`bound`).

A probe writes under a folder of its own and touches nothing else: `sovbroker.confine` sees to that.
"""

from __future__ import annotations

from sovbroker.probing.file import ProbeFile
from sovbroker.probing.matrix import Found, Opening, find_out
from sovbroker.probing.results import LOOSENED, Aspect, Bound, Line, Probe, bound, is_feature

__all__ = [
    "LOOSENED",
    "Aspect",
    "Bound",
    "Found",
    "Line",
    "Opening",
    "Probe",
    "ProbeFile",
    "bound",
    "find_out",
    "is_feature",
]
