"""What is different while clouds are faked: `sovbroker.open` gives the faked broker, and no real store is opened."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from unittest.mock import patch

from sovbroker import opening, router
from sovbroker.broker import Broker
from sovbroker.config import OWN, Config
from sovbroker.errors import ConfigError
from sovbroker.ports import Binding, Store
from sovbroker.transfer import outgoing

__all__ = ["switched"]

Clock = Callable[[], datetime]
PAUSE: Final = 0.0


@contextmanager
def switched(config: Config, open_faked: Callable[[Clock | None], Broker]) -> Generator[None]:
    """Let whoever opens `config` get the faked broker, and refuse every adapter that could reach a network.

    A retry does not wait: what fails does so because the test says so.
    """
    before, find = opening.assemble, router.find_adapter

    def assemble(other: Config, *, clock: Clock | None = None) -> Broker:
        return open_faked(clock) if _same(config, other) else before(other, clock=clock)

    def find_adapter(name: str) -> Callable[[Binding], Store]:
        if name in OWN:
            return find(name)

        def refuse(binding: Binding) -> Store:
            raise ConfigError(
                f"`{binding.target}` would be opened for real while the clouds of `{config.file}` are faked; fake the "
                "configuration that names it, too"
            )

        return refuse

    with (
        patch.object(opening, "assemble", assemble),
        patch.object(router, "find_adapter", find_adapter),
        patch.object(outgoing, "FIRST_PAUSE", PAUSE),
    ):
        yield


def _same(one: Config, other: Config) -> bool:
    if one.file is None or other.file is None:
        return one.file is other.file
    return one.file.resolve() == other.file.resolve()
