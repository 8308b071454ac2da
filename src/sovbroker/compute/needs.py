"""What a workload needs of a machine, and the cheapest size that has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from sovbroker.errors import InvalidArgument
from sovbroker.machines import Size

__all__ = ["Needs", "memory_of", "ttl_of"]

AMOUNT: Final = re.compile(r"([0-9]{1,9})\s*(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)", re.ASCII)
BYTES: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    f"{letter}iB": 1 << (10 * power) for power, letter in enumerate("KMGT", start=1)
}
SPAN: Final = re.compile(r"([0-9]{1,6})\s*([smhdw])", re.ASCII)
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
SHOWN: Final = 40


def memory_of(text: str) -> int:
    """Return an amount such as `4GiB` or `512 MB` in bytes. Raises InvalidArgument."""
    found = AMOUNT.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise InvalidArgument(f"`{text[:SHOWN]}` is no amount of memory; write one such as `4GiB` or `512MiB`")
    return int(found[1]) * BYTES[found[2]]


def ttl_of(text: str) -> timedelta:
    """Return a time such as `8h`, `30m` or `7d`. Raises InvalidArgument."""
    found = SPAN.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise InvalidArgument(f"`{text[:SHOWN]}` is no time to live; write one such as `30m`, `8h` or `7d`")
    return timedelta(seconds=int(found[1]) * SECONDS[found[2]])


@dataclass(frozen=True, slots=True)
class Needs:
    """At least so many processors, so much memory (bytes), so many GPUs; exactly this architecture.

    `attested`: the machine has to prove one of these kinds of confidential computing; () asks for none. A size of which
    nothing is known proves none.
    """

    cpus: int = 1
    memory: int = 1 << 30
    gpus: int = 0
    arch: str = "x86_64"
    attested: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no machine has."""
        if self.cpus < 1 or self.memory < 1 or self.gpus < 0:
            raise InvalidArgument("a machine has at least one processor, some memory, and no fewer GPUs than none")

    def unmet(self, size: Size) -> str:
        """Say what a size lacks; "" when it has everything."""
        if size.arch != self.arch:
            return f"it is {size.arch}, not {self.arch}"
        if size.cpus < self.cpus:
            return f"{size.cpus} of {self.cpus} processors"
        if size.memory < self.memory:
            return f"{size.memory >> 20} of {-(-self.memory >> 20)} MiB of memory"
        if size.gpus < self.gpus:
            return f"{size.gpus} of {self.gpus} GPUs"
        if self.attested and not set(self.attested) & set(size.attested):
            return f"it does not prove {' or '.join(self.attested)}"
        return ""

    def cheapest(self, sizes: Sequence[Size]) -> Size | None:
        """Return the size that meets the needs at the lowest price; where prices are unknown, the smallest."""
        fit = [size for size in sizes if not self.unmet(size)]
        return min(fit, key=_order, default=None)

    def nearest(self, sizes: Sequence[Size]) -> str:
        """Say what the largest size lacks, for a place where none is enough."""
        if not sizes:
            return "it has no sizes"
        alike = [size for size in sizes if size.arch == self.arch] or sizes
        proving = [size for size in alike if set(self.attested) & set(size.attested)] or alike
        largest = max(proving, key=lambda size: (min(size.gpus, self.gpus), size.cpus, size.memory, size.id))
        return f"no size is enough; `{largest.id}`: {self.unmet(largest)}"


def _order(size: Size) -> tuple[bool, Decimal, int, int, int, str]:
    return (size.price is None, size.price or Decimal(0), size.gpus, size.cpus, size.memory, size.id)
