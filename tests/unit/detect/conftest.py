from dataclasses import dataclass, field
from importlib.metadata import EntryPoint

import pytest

from sovbroker.detect import registry


@dataclass
class Offers:
    """Entry points as if packages had them."""

    entries: list[EntryPoint] = field(default_factory=list)

    def add(self, name: str, value: str) -> None:
        self.entries.append(EntryPoint(name, value, registry.DETECTORS))
        registry.known.cache_clear()

    def __call__(self, *, group: str) -> list[EntryPoint]:
        return self.entries if group == registry.DETECTORS else []


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch):
    found = Offers()
    monkeypatch.setattr(registry, "entry_points", found)
    registry.known.cache_clear()
    yield found
    registry.known.cache_clear()
