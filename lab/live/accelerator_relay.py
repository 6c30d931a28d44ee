"""Relays TCP connections: accepts them, asks where each is to go, and has `accelerator_connection` copy the bytes.

Every socket is in one epoll set of its own, which is itself a file that asyncio's loop watches: one callback handles
all that is ready, without a transport, a protocol or a handle per connection. That is what makes new connections cheap
(see benchmarks/accelerator_relay.py); it needs Linux, like the rest of the embedded lab.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable

from lab.live.accelerator_connection import CHUNK_BYTES, Address, Connection, Route, Side
from lab.live.listening import bind_tcp

EVENTS_PER_POLL = 64
POLLS_PER_TURN = 4
ACCEPTS_PER_TURN = 64
ACCEPT_PAUSE_S = 0.2
IDLE_TICKS = 16
"""An idle timeout is noticed within one sixteenth of it."""

Router = Callable[[Address, Address], Route | None]
"""From a client's address and the address that it called to its route; None drops the connection."""


class Relay:
    """Accepts on any number of addresses. `idle_timeout_s` in real seconds."""

    def __init__(self, router: Router, *, idle_timeout_s: float = 340.0) -> None:
        self.router = router
        self.loop = asyncio.get_running_loop()
        self.epoll = select.epoll()
        self.sides: dict[int, tuple[Connection, Side]] = {}
        self.connections: set[Connection] = set()
        self.tick = 0
        self.buffer = memoryview(bytearray(CHUNK_BYTES))
        self.idle_timeouts = 0
        self._listeners: dict[Address, socket.socket] = {}
        self._listening: dict[int, tuple[socket.socket, Address]] = {}
        self._idle_timeout_s = idle_timeout_s
        self._sweeper: asyncio.TimerHandle | None = None
        self._again: list[tuple[Connection, Side]] = []
        self.loop.add_reader(self.epoll.fileno(), self._on_ready)

    def listen(self, address: str, port: int, *, as_port: int | None = None) -> int:
        """Accept at an address and return the port, a free one for 0; the router hears `as_port` as the port called.

        Raises EnvironmentFailure.
        """
        sock = bind_tcp(address, port)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        sock.listen(1024)
        self._listeners[address, port] = sock
        bound = int(sock.getsockname()[1])
        self._listening[sock.fileno()] = (sock, (address, as_port or bound))
        self.epoll.register(sock.fileno(), select.EPOLLIN)
        return bound

    def stop_listening(self, address: str, port: int) -> None:
        """Refuse new connections there; open ones go on."""
        sock = self._listeners.pop((address, port))
        self.epoll.unregister(sock.fileno())
        del self._listening[sock.fileno()]
        sock.close()

    @property
    def listening(self) -> frozenset[Address]:
        """The addresses at which connections are accepted."""
        return frozenset(self._listeners)

    def close(self) -> None:
        """Close everything, open connections with a reset."""
        if self.epoll.closed:
            return
        self.loop.remove_reader(self.epoll.fileno())
        for address, port in list(self._listeners):
            self.stop_listening(address, port)
        for connection in list(self.connections):
            connection.close(reset=True)
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.epoll.close()

    def _on_ready(self) -> None:
        sides = self.sides
        for _ in range(POLLS_PER_TURN):  # a second look is cheaper than another turn of asyncio's loop
            ready = self.epoll.poll(0, EVENTS_PER_POLL)
            for fd, events in ready:
                found = sides.get(fd)
                if found is not None:
                    connection, side = found
                    if not connection.closed:
                        connection.on_event(side, events)
                elif fd in self._listening:
                    self._accept(*self._listening[fd])
            if not ready or self.epoll.closed:
                return

    def again(self, connection: Connection, side: Side) -> None:
        """Come back to a side that has more to read, after all that is ready now."""
        if not self._again:
            self.loop.call_soon(self._on_again)
        self._again.append((connection, side))

    def _on_again(self) -> None:
        work, self._again = self._again, []
        for connection, side in work:
            if side.readable and not connection.closed:
                connection.read(side)

    def _accept(self, listener: socket.socket, called: Address) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, source = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # out of file descriptors: try again when some may have been freed
                self.loop.call_exception_handler({"message": f"cannot accept at {called[0]}:{called[1]}: {error}"})
                self.epoll.modify(listener.fileno(), 0)
                self.loop.call_later(ACCEPT_PAUSE_S, self._accept_again, listener)
                return
            connection = Connection(self, sock, source, called)
            self.connections.add(connection)
            self.sides[connection.client.fd] = (connection, connection.client)
            connection.on_first_bytes()  # which often have come by now
            if self._sweeper is None:
                self._sweeper = self.loop.call_later(self._idle_timeout_s / IDLE_TICKS, self._sweep)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener.fileno() in self._listening:
            self.epoll.modify(listener.fileno(), select.EPOLLIN)

    def _sweep(self) -> None:
        """Close what has been idle for the whole timeout; rest when there are no connections."""
        self._sweeper = None
        self.tick += 1
        for connection in [c for c in self.connections if self.tick - c.tick > IDLE_TICKS]:
            self.idle_timeouts += 1
            connection.close(reset=True)
        if self.connections:
            self._sweeper = self.loop.call_later(self._idle_timeout_s / IDLE_TICKS, self._sweep)
