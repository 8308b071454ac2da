"""The broker for asyncio: the same API, awaitable.

::

    async with sovbroker.aio.open("sovbroker.yaml") as broker:
        stored = await broker.put("patients/42.json", data, label="restricted+health")

Each call runs on a bounded pool of threads, so no event loop is blocked. A cancelled call commits nothing; one whose
commit had begun returns its result, and the cancellation strikes at the task's next `await`. See docs/asyncio.md.
"""

from __future__ import annotations

from sovbroker.aio.broker import AsyncBroker, AsyncKeys
from sovbroker.aio.calls import THREADS
from sovbroker.aio.files import AsyncFile, AsyncWriter
from sovbroker.aio.opening import Opening
from sovbroker.aio.opening import open_later as open  # noqa: A004 - the name that users write: sovbroker.aio.open
from sovbroker.aio.sources import AsyncData, AsyncReadable

__all__ = [
    "THREADS",
    "AsyncBroker",
    "AsyncData",
    "AsyncFile",
    "AsyncKeys",
    "AsyncReadable",
    "AsyncWriter",
    "Opening",
    "open",
]
