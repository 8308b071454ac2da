"""What a probe found: the matrix of one target, and what of it a broker may take over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sovbroker.ports import Binding, Feature, Support

__all__ = ["LOOSENED", "Aspect", "Bound", "Line", "Probe", "bound", "is_feature"]

LOOSENED: Final = frozenset({Feature.RETENTION})
"""What a probe may say to be there although nobody declared it: one object that stays proves it.

That of several writers one always wins is proved by no number of them.
"""


class Aspect(StrEnum):
    """What is looked at beside the features. The first four are promises of every store."""

    BODIES = "bodies"
    LISTING = "listing"
    KEYS = "odd keys"
    NESTED = "nested keys"
    PAGES = "pages"
    VERSIONS = "versions"


PROMISED: Final = frozenset({Aspect.BODIES, Aspect.LISTING, Aspect.KEYS, Aspect.NESTED})


def is_feature(name: str) -> bool:
    """Whether a line is about a feature of the port."""
    return name in frozenset(Feature)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the matrix: what was looked at, what it is like, and why.

    `support` None: it could not be found out. `declared` is what the adapter and its settings say of a feature.
    """

    name: str
    support: Support | None
    reason: str = ""
    declared: Support | None = None

    @property
    def wrong(self) -> bool:
        """Whether something was promised and is not there to be relied on; what nobody could find out is not."""
        if self.declared is not None:
            return self.declared.usable and (self.support is None or not self.support.usable)
        return self.name in PROMISED and self.support in {None, Support.UNSAFE}

    @property
    def better(self) -> bool:
        """Whether a feature is there that nobody declared."""
        return self.declared is not None and not self.declared.usable and bool(self.support and self.support.usable)


@dataclass(frozen=True, slots=True)
class Probe:
    """The matrix of one target, as it was found at a moment, by a version of its adapter.

    `left` are the keys of the probe that could not be removed. `error` says why there is no matrix, "" when there is.
    """

    target: str
    container: str
    endpoint: str
    adapter: str
    version: str
    at: datetime
    lines: tuple[Line, ...] = ()
    left: tuple[str, ...] = ()
    error: str = ""

    @property
    def wrong(self) -> Sequence[Line]:
        """The lines where something is promised that is not there."""
        return tuple(line for line in self.lines if line.wrong)

    def support(self, name: str) -> Support | None:
        """Return what was found of a feature or an aspect; None when nothing was."""
        return next((line.support for line in self.lines if line.name == name), None)

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "target": self.target,
            "container": self.container,
            "endpoint": self.endpoint,
            "adapter": self.adapter,
            "version": self.version,
            "at": self.at.isoformat(),
            "lines": [
                {"name": line.name, "support": line.support, "reason": line.reason, "declared": line.declared}
                for line in self.lines
            ],
            "left": list(self.left),
            "error": self.error or None,
        }


@dataclass(frozen=True, slots=True)
class Bound:
    """How a target is opened after a probe: with `settings` beside its own, and with what was `found` to be refused."""

    settings: Mapping[str, str | int | bool]
    found: Mapping[Feature, Support]

    def over(self, binding: Binding) -> Binding:
        """Return a binding with these settings."""
        return replace(binding, settings={**binding.settings, **self.settings}) if self.settings else binding


def bound(probe: Probe, binding: Binding, *, version: str) -> Bound:
    """Return what a stored probe changes for a target whose adapter has this `version`.

    It tightens whatever it says of a feature that it found to be less than it was declared. It loosens `LOOSENED`
    alone: where the settings leave them open, and only as the same version of the adapter found them.
    """
    settings: dict[str, str | int | bool] = {}
    found: dict[Feature, Support] = {}
    same = version == probe.version != ""
    for line in probe.lines:
        if line.declared is None or line.support is None:
            continue
        feature = Feature(line.name)
        looser = line.better and same and feature in LOOSENED and feature not in binding.settings
        if not line.support.usable:
            found[feature] = line.support
        elif looser or (line.declared is Support.NATIVE and line.support is Support.EMULATED):
            settings[feature] = line.support
    return Bound(MappingProxyType(settings), MappingProxyType(found))
