"""How much a process grew at most, from now on. The kernel counts; it can be told to forget an earlier peak (Linux)."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Peak"]

MEBI = 1024


class Peak:
    """The growth of the resident set since this was made, in MiB."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before = self._now()

    def grown(self) -> float:
        """Return by how much the highest resident set since then exceeds the one of then."""
        return self._now() - self._before

    @staticmethod
    def _now() -> float:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / MEBI for line in lines if line.startswith("VmHWM"))
