"""sovbroker: a multi-cloud sovereignty broker.

::

    with sovbroker.open("sovbroker.yaml") as broker:
        broker.put("patients/42.json", data, label="restricted+health")

Nothing heavy is imported before it is used: a cloud's SDK when a target of that cloud is first opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sovbroker import aio, errors, testing
    from sovbroker.broker import Broker
    from sovbroker.initialising import Initialised, init
    from sovbroker.labels import Label
    from sovbroker.opening import open_broker as open  # noqa: A004 - the name that users write: sovbroker.open

__version__ = "0.1.0"

__all__ = ["Broker", "Initialised", "Label", "aio", "errors", "init", "open", "testing"]

_HOMES = {
    "Broker": ("sovbroker.broker", "Broker"),
    "Initialised": ("sovbroker.initialising", "Initialised"),
    "Label": ("sovbroker.labels", "Label"),
    "aio": ("sovbroker.aio", None),
    "errors": ("sovbroker.errors", None),
    "init": ("sovbroker.initialising", "init"),
    "open": ("sovbroker.opening", "open_broker"),
    "testing": ("sovbroker.testing", None),
}


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for."""
    try:
        module, attribute = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module `sovbroker` has no attribute `{name}`") from None
    found: object = import_module(module)
    return found if attribute is None else getattr(found, attribute)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted([*__all__, "__version__"])
