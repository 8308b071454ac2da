"""Letters about patients, kept where the policy says, and a public count of them: an application with tests of its own.

`test_letters.py` tests it with the configuration that it runs with, and every cloud of that configuration faked.
"""

import sys
from collections import Counter
from pathlib import Path

import sovbroker
from sovbroker import Broker
from sovbroker.objects import Info

CONFIG = Path(__file__).with_name("sovbroker.yaml")


class Letters:
    """The letters of one practice."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def save(self, patient: str, day: str, text: str) -> None:
        """Keep a letter. When this returns, it lies at two providers."""
        self._broker.put(f"patients/{patient}/{day}.txt", text.encode(), content_type="text/plain; charset=utf-8")

    def read(self, patient: str, day: str) -> str:
        """Return a letter. Raises sovbroker.errors.NotFound."""
        return self._broker.read(f"patients/{patient}/{day}.txt").decode()

    def days(self, patient: str = "") -> list[str]:
        """Return the day of each letter, about one patient or about all, in order."""
        prefix = f"patients/{patient}/" if patient else "patients/"
        return sorted(Path(info.key).stem for info in self._broker.list(prefix) if isinstance(info, Info))

    def publish(self, month: str) -> str:
        """Publish how many letters there were on each day of a month (`2026-11`); return the key of the table."""
        counted = Counter(day for day in self.days() if day.startswith(month))
        rows = [f"{day},{count}" for day, count in counted.items()]
        key = f"public/letters-{month}.csv"
        self._broker.put(key, "\n".join(["day,letters", *rows, ""]).encode(), content_type="text/csv")
        return key


def main(arguments: list[str]) -> str:
    """Publish the table of a month."""
    (month,) = arguments
    with sovbroker.open(CONFIG) as broker:
        return Letters(broker).publish(month)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
