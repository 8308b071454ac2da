"""What the names of a policy's files mean: labels, zones, modes and patterns, each with a finding where it is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sovbroker.document import Findings, Word, suggest
from sovbroker.errors import InvalidArgument
from sovbroker.labels import Lattice
from sovbroker.policy import codes
from sovbroker.policy.documents import ModeDoc
from sovbroker.policy.glob import Glob
from sovbroker.policy.mode import Mode
from sovbroker.policy.rulebook import Alternative

__all__ = ["Words"]


@dataclass(slots=True)
class Words:
    """The names that the files declare together, and which of the zones something used.

    `lattice` is None where it is itself wrong: labels are then not judged, so that one mistake is reported once.
    """

    findings: Findings
    zones: set[str] = field(default_factory=set[str])
    used: set[str] = field(default_factory=set[str])
    lattice: Lattice | None = None

    def zone_names(self, names: Iterable[Word]) -> tuple[str, ...]:
        """Return names of zones as texts; remember that they are used."""
        for name in names:
            self.used.add(str(name))
            if name not in self.zones:
                self.findings.error(codes.NO_ZONE, name.place, f"there is no zone `{name}`", suggest(name, self.zones))
        return tuple(str(name) for name in names)

    def store(self, store: Mapping[Word, ModeDoc]) -> tuple[Alternative, ...]:
        """Return the alternatives of a `store`."""
        self.zone_names(store)
        return tuple(sorted((Alternative(str(z), self.mode(m)) for z, m in store.items()), key=lambda a: a.zone))

    def mode(self, doc: ModeDoc) -> Mode:
        """Return a mode."""
        mode = Mode(doc.encrypt, doc.names, frozenset(self.zone_names(doc.keys)))
        if not mode.sealed and (mode.names_encrypted or mode.keys):
            self.findings.error(
                codes.NEEDS_SEAL,
                doc.place,
                "hidden names and key zones mean nothing for what is not encrypted",
                "add `encrypt: client`",
            )
        return mode

    def label(self, text: Word) -> int:
        """Return the mask of a label; 0 where it is none."""
        if self.lattice is None:
            return 0
        try:
            return self.lattice.mask_of_text(text)
        except InvalidArgument as error:
            message, _, mend = str(error).partition("; ")
            self.findings.error(codes.NO_LABEL, text.place, message, mend)
            return 0

    def glob(self, text: Word) -> Glob | None:
        """Return a path pattern, or None where it is none."""
        try:
            return Glob(str(text))
        except ValueError as error:
            self.findings.error(codes.BAD_GLOB, text.place, str(error))
            return None
