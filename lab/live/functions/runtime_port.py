"""The port at which one environment's runtime calls: a listening socket of its own, and the connections to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from lab.live.functions.runtime_api import RuntimeCalls, RuntimeConnection


class RuntimePort:
    """Accepts on a free port of `address`, and hands each connection to `calls.opened`.

    `host` is "address:port"; `connections` are those that `calls` has taken.
    """

    def __init__(self, address: str, calls: RuntimeCalls) -> None:
        """Listen. Raises OSError."""
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._listener = socket.create_server((address, 0))
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)
        self._accepting: set[asyncio.Task[object]] = set()
        self.connections: set[RuntimeConnection] = set()
        self.host = f"{address}:{self._listener.getsockname()[1]}"

    def abort_connections(self) -> None:
        """Reset what is open; who comes next is accepted."""
        for connection in list(self.connections):
            connection.abort()

    def close(self) -> None:
        """Accept nobody any more."""
        self._loop.remove_reader(self._listener)
        self._listener.close()

    async def closed(self) -> None:
        """After `close`: wait for those that were being accepted; `calls` turns them away."""
        if self._accepting:
            await asyncio.wait(self._accepting)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError, ConnectionAbortedError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(
                self._loop.connect_accepted_socket(lambda: RuntimeConnection(self._calls), connection)
            )
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)
