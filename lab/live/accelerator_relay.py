"""Relays TCP connections: accepts them, asks where each is to go, and copies bytes both ways until both sides ended.

Every socket is in one epoll set of its own, which is itself a file that asyncio's loop watches: one callback handles
all that is ready, without a transport, a protocol or a handle per connection. That is what makes new connections cheap
(see benchmarks/accelerator_relay.py); it needs Linux, like the rest of the embedded lab. Flow control: what one side
does not take stays in the kernel's buffers of the other. A half-closed connection stays open the other way.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from lab.core import proxy_protocol
from lab.core.proxy_protocol import MalformedPreface
from lab.live.accelerator_delay import DelayLine
from lab.live.listening import bind_tcp

CHUNK_BYTES = 64 * 1024
EVENTS_PER_POLL = 64
POLLS_PER_TURN = 4
ACCEPTS_PER_TURN = 64
DELAYED_BYTES_MAX = 1024 * 1024
ACCEPT_PAUSE_S = 0.2
IDLE_TICKS = 16
"""An idle timeout is noticed within one sixteenth of it."""

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
RESET = struct.pack("ii", 1, 0)

Address = tuple[str, int]


@dataclass(slots=True)
class Tally:
    """What went one way through the accelerator: connections ever and now, and bytes."""

    flows: int = 0
    open: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class Route:
    """Where a connection goes. `preface` is sent before the client's bytes.

    Delays in real seconds: of the client's first bytes, and of all others either way; 0 where no latency is asked for.
    """

    target: Address
    preface: bytes
    tally: Tally
    first_delay_s: float = 0.0
    delay_s: float = 0.0


Router = Callable[[Address, Address], Route | None]
"""From a client's address and the address that it called to its route; None drops the connection."""


class _Side:
    """One socket of a connection: what waits to be sent on it, and what epoll is asked to tell of it."""

    __slots__ = ("ended", "events", "fd", "line", "other", "pending", "shut", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.pending = b""
        self.events = 0
        self.ended = False  # the peer sends no more
        self.shut = False  # we send no more
        self.line: DelayLine | None = None  # what comes from this socket is held up in it
        self.other: _Side | None = None


class _Connection:
    """A client and, once its first bytes told who it is, its endpoint."""

    __slots__ = ("client", "closed", "connecting", "endpoint", "first", "head", "relay", "route", "target", "tick")

    def __init__(self, relay: Relay, sock: socket.socket, source: Address, target: Address) -> None:
        self.relay, self.client, self.target = relay, _Side(sock), target
        self.endpoint: _Side | None = None
        self.route: Route | None = None
        self.connecting = False
        self.closed = False
        self.first = True
        self.head: tuple[Address, bytes] = (source, b"")
        self.tick = relay.tick

    def on_event(self, side: _Side, events: int) -> None:
        self.tick = self.relay.tick
        if self.route is None:
            self._on_first_bytes()
            return
        if events == READ and side.line is None and not side.ended:
            self._copy(side)
            return
        if events & WRITE or (events & select.EPOLLERR and side.pending):
            self._flush(side)
        if events & ~WRITE and not self.closed:
            self._read(side)

    def _on_first_bytes(self) -> None:
        """Read the preface, if there is one, choose an endpoint and connect to it."""
        try:
            data = self.client.sock.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        source, held = self.head
        if not data:
            self.close()
            return
        data = held + data
        try:
            preface = proxy_protocol.parse(data)
        except MalformedPreface:
            self.close(reset=True)
            return
        if preface is None:
            self.head = (source, data)
            return
        if preface.length:
            source = preface.source or source
            data = data[preface.length :]
        route = self.relay.router(source, self.target)
        if route is None:
            self.close(reset=True)
            return
        self._open(route, data)

    def _open(self, route: Route, data: bytes) -> None:
        relay = self.relay
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.route = route
        route.tally.flows += 1
        route.tally.open += 1
        endpoint = self.endpoint = _Side(sock)
        client = self.client
        endpoint.other, client.other = client, endpoint
        if route.delay_s or route.first_delay_s:
            client.line = DelayLine(relay.loop, lambda data: self._arrive(client, data))
            endpoint.line = DelayLine(relay.loop, lambda data: self._arrive(endpoint, data))
        relay.sides[endpoint.fd] = (self, endpoint)
        error = sock.connect_ex(route.target)
        if error not in (0, errno.EINPROGRESS):
            self.close(reset=True)
            return
        self.connecting = True
        if client.line is not None:
            endpoint.pending = route.preface
            if data:
                self._pass_on(client, data)
        else:
            route.tally.bytes_in += len(data)
            endpoint.pending = route.preface + data
        if not self.closed:
            self._flush(endpoint)  # even with nothing to send, whether the connection comes about is to be learnt

    def _copy(self, side: _Side) -> None:
        """The common case, short: what is there is read and the other side takes it at once."""
        buffer, other = self.relay.buffer, side.other
        assert self.route is not None and other is not None
        try:
            count = side.sock.recv_into(buffer, 0, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close(reset=True)
            return
        if count == 0:
            side.ended = True
            self._pass_on(side, b"")
            return
        if side is self.client:
            self.route.tally.bytes_in += count
        else:
            self.route.tally.bytes_out += count
        sent = 0
        if not other.pending and not self.connecting:
            try:
                sent = other.sock.send(buffer[:count], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self.close(reset=True)
                return
            if sent == count:
                return
        self._arrive(side, bytes(buffer[sent:count]))

    def _read(self, side: _Side) -> None:
        if side.ended:
            return
        try:
            data = side.sock.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close(reset=True)
            return
        if not data:
            side.ended = True
            self._watch(side)
        self._pass_on(side, data)

    def _pass_on(self, side: _Side, data: bytes) -> None:
        """Hand on what came from one side, now or later."""
        assert self.route is not None
        if side is self.client:
            self.route.tally.bytes_in += len(data)
        else:
            self.route.tally.bytes_out += len(data)
        if side.line is None:
            self._arrive(side, data)
            return
        first = side is self.client and self.first
        if first:
            self.first = False
        side.line.put(data, self.route.first_delay_s if first else self.route.delay_s)
        if side.line.bytes > DELAYED_BYTES_MAX:
            self._watch(side)

    def _arrive(self, side: _Side, data: bytes) -> None:
        """What came from `side` is due at the other side."""
        other = side.other
        assert other is not None
        if data:
            other.pending = other.pending + data if other.pending else data
        self._flush(other)

    def _flush(self, side: _Side) -> None:
        """Send what waits for a side; then end the stream if the other side has."""
        if side.pending:
            try:
                sent = side.sock.send(side.pending, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                if self.connecting and error.errno == errno.ENOTCONN:
                    sent = 0
                else:
                    self.close(reset=True)
                    return
            if sent and side is self.endpoint:
                self.connecting = False
            side.pending = side.pending[sent:] if sent < len(side.pending) else b""
        elif self.connecting and side is self.endpoint and side.events & WRITE:
            if side.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.close(reset=True)
                return
            self.connecting = False
        other = side.other
        assert other is not None
        if other.ended and not (side.pending or side.shut or self.connecting or (other.line and other.line.bytes)):
            if other.shut:  # both directions are done: closing says so to both
                self.close()
                return
            side.shut = True
            with contextlib.suppress(OSError):  # the peer has gone entirely
                side.sock.shutdown(socket.SHUT_WR)
        self._watch(side)
        self._watch(other)

    def _watch(self, side: _Side) -> None:
        """Ask epoll for what this side can be of use for now."""
        other = side.other
        assert other is not None
        waiting = bool(side.pending) or (self.connecting and side is self.endpoint)
        full = bool(other.pending) or (side.line is not None and side.line.bytes > DELAYED_BYTES_MAX)
        wanted = (WRITE if waiting else 0) | (0 if side.ended or full else READ)
        if wanted != side.events:
            epoll = self.relay.epoll
            if side.events == 0:
                epoll.register(side.fd, wanted)
            elif wanted == 0:
                epoll.unregister(side.fd)
            else:
                epoll.modify(side.fd, wanted)
            side.events = wanted

    def close(self, *, reset: bool = False) -> None:
        """Close both sockets; with a reset where something went wrong."""
        if self.closed:
            return
        self.closed = True
        for side in (self.client, self.endpoint):
            if side is None:
                continue
            self.relay.sides.pop(side.fd, None)
            if side.line is not None:
                side.line.close()
            if reset:
                side.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            side.sock.close()  # which takes it out of the epoll set too
        if self.route is not None:
            self.route.tally.open -= 1
        self.relay.connections.discard(self)


class Relay:
    """Accepts on any number of addresses. `idle_timeout_s` in real seconds."""

    def __init__(self, router: Router, *, idle_timeout_s: float = 340.0) -> None:
        self.router = router
        self.loop = asyncio.get_running_loop()
        self.epoll = select.epoll()
        self.sides: dict[int, tuple[_Connection, _Side]] = {}
        self.connections: set[_Connection] = set()
        self.tick = 0
        self.buffer = memoryview(bytearray(CHUNK_BYTES))
        self.idle_timeouts = 0
        self._listeners: dict[Address, socket.socket] = {}
        self._listening: dict[int, tuple[socket.socket, Address]] = {}
        self._idle_timeout_s = idle_timeout_s
        self._sweeper: asyncio.TimerHandle | None = None
        self.loop.add_reader(self.epoll.fileno(), self._on_ready)

    def listen(self, address: str, port: int, *, as_port: int | None = None) -> None:
        """Accept at an address; the router hears `as_port` as the port called. Raises EnvironmentFailure."""
        sock = bind_tcp(address, port)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        sock.listen(1024)
        self._listeners[address, port] = sock
        self._listening[sock.fileno()] = (sock, (address, as_port or sock.getsockname()[1]))
        self.epoll.register(sock.fileno(), READ)

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
            connection = _Connection(self, sock, source, called)
            client = connection.client
            self.connections.add(connection)
            self.sides[client.fd] = (connection, client)
            client.events = READ
            self.epoll.register(client.fd, READ)
            if self._sweeper is None:
                self._sweeper = self.loop.call_later(self._idle_timeout_s / IDLE_TICKS, self._sweep)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener.fileno() in self._listening:
            self.epoll.modify(listener.fileno(), READ)

    def _sweep(self) -> None:
        """Close what has been idle for the whole timeout; rest when there are no connections."""
        self._sweeper = None
        self.tick += 1
        for connection in [c for c in self.connections if self.tick - c.tick > IDLE_TICKS]:
            self.idle_timeouts += 1
            connection.close(reset=True)
        if self.connections:
            self._sweeper = self.loop.call_later(self._idle_timeout_s / IDLE_TICKS, self._sweep)
