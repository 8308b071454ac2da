"""An event loop in a thread, for the proxies: their tests call stores that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Background", "Serve"]

T = TypeVar("T")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LIMIT = 1 << 20


class Background:
    """Runs servers of TCP on 127.0.0.1 until it is closed; then every connection is dropped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sovbroker-proxy", daemon=True)
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._thread.start()

    def listen(self, serve: Serve) -> int:
        """Serve connections on a free port, and return it."""

        async def start() -> asyncio.Server:
            return await asyncio.start_server(self._quietly(serve), "127.0.0.1", 0, limit=LIMIT)

        server = self._run(start())
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening, drop the connections, end the thread. May be called twice."""
        if self._loop.is_closed():
            return
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _quietly(self, serve: Serve) -> Serve:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            # The loop itself would let a task that waits for nothing be collected.
            self._tasks.add(task)
            try:
                await serve(reader, writer)
            except (OSError, EOFError, asyncio.CancelledError):
                # A client that goes away, or the end of the proxy: nothing that a test has to know.
                return
            finally:
                writer.transport.abort()
                self._tasks.discard(task)

        return handle

    async def _stop(self) -> None:
        for server in self._servers:
            for listening in server.sockets:
                self._loop.remove_reader(listening.fileno())
        while running := asyncio.all_tasks() - {asyncio.current_task()}:
            # What is still being accepted becomes a task of ours first: cut short, it would leave its socket open.
            for task in running & self._tasks:
                task.cancel()
            await asyncio.wait(running, timeout=0.01)
        for server in self._servers:
            server.close()
        await asyncio.sleep(0)
