"""One connection through the accelerator: a client, its endpoint, and the bytes that go both ways until both ended.

epoll tells once of what becomes ready (edge-triggered): `readable` remembers that there may be more to read than was
taken. Nothing is read that the other side could not be given at once, so what one side does not take stays in the
kernel's buffers of the other. A half-closed connection stays open the other way.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.core import proxy_protocol
from lab.core.proxy_protocol import MalformedPreface
from lab.live.accelerator_delay import DelayLine

if TYPE_CHECKING:
    from lab.live.accelerator_relay import Relay

CHUNK_BYTES = 64 * 1024
DELAYED_BYTES_MAX = 1024 * 1024

READ = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
WRITE = select.EPOLLOUT
HANGUP = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
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


class Side:
    """One socket of a connection, and what waits to be sent on it."""

    __slots__ = ("ended", "fd", "hung", "line", "other", "pending", "readable", "shut", "sock", "watched", "writes")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.pending = b""
        self.readable = False  # there may be bytes, or the end, that have not been read
        self.hung = False  # the end is among what has not been read
        self.ended = False  # the peer sends no more
        self.shut = False  # we send no more
        self.watched = False  # epoll tells of it
        self.writes = False  # epoll tells when it takes bytes again
        self.line: DelayLine | None = None  # what comes from this socket is held up in it
        self.other: Side | None = None


class Connection:
    """A client and, once its first bytes told who it is, its endpoint. `target` is the address that it called."""

    __slots__ = ("client", "closed", "connecting", "endpoint", "first", "head", "relay", "route", "target", "tick")

    def __init__(self, relay: Relay, sock: socket.socket, source: Address, target: Address) -> None:
        self.relay, self.client, self.target = relay, Side(sock), target
        self.endpoint: Side | None = None
        self.route: Route | None = None
        self.connecting = False
        self.closed = False
        self.first = True
        self.head: tuple[Address, bytes] = (source, b"")
        self.tick = relay.tick

    def on_event(self, side: Side, events: int) -> None:
        """Hear of what has become possible on a socket."""
        self.tick = self.relay.tick
        if events & HANGUP:
            side.hung = True
        if self.route is None:
            self.on_first_bytes()
            return
        if events & WRITE and (side.pending or (self.connecting and side is self.endpoint)):
            self._flush(side)
        if events & ~WRITE and not self.closed:
            side.readable = True
            self.read(side)

    def on_first_bytes(self) -> None:
        """Read the preface, if there is one, choose an endpoint and connect to it."""
        try:
            data = self.client.sock.recv(CHUNK_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._watch(self.client)
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
            if self.client.hung:  # no more is told of
                self.on_first_bytes()
            else:
                self._watch(self.client)
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
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:  # no descriptor is left; all others that are ready have to be seen to
            self.close(reset=True)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.route = route
        route.tally.flows += 1
        route.tally.open += 1
        endpoint = self.endpoint = Side(sock)
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
        if self.closed:
            return
        self._flush(endpoint)  # on loopback it is connected by now, and takes them
        if not self.closed:
            self._watch(endpoint)
            if client.watched:  # more may have come, which was told of before
                client.readable = True
                relay.again(self, client)
            else:
                self._watch(client)

    def read(self, side: Side) -> None:
        """Take what there is from one side, if the other can be given it."""
        self._read_once(side)
        if side.hung and side.readable and not self.closed:  # the end comes next
            self._read_once(side)

    def _read_once(self, side: Side) -> None:
        relay, other = self.relay, side.other
        assert self.route is not None and other is not None
        if side.ended or self._is_full(side):
            return  # `_flush` comes back to it
        buffer = relay.buffer
        try:
            count = side.sock.recv_into(buffer, 0, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            side.readable = False
            return
        except OSError:
            self.close(reset=True)
            return
        if count == 0:
            side.readable, side.ended = False, True
            self._pass_on(side, b"")
            return
        if count == CHUNK_BYTES:
            relay.again(self, side)  # after the others
        elif not side.hung:
            side.readable = False  # whatever comes from now on is told of
        if side.line is not None:
            self._pass_on(side, bytes(buffer[:count]))
            return
        if side is self.client:
            self.route.tally.bytes_in += count
        else:
            self.route.tally.bytes_out += count
        try:
            sent = other.sock.send(buffer[:count], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close(reset=True)
            return
        if sent < count:
            other.pending = bytes(buffer[sent:count])
            self._watch(other)

    def _is_full(self, side: Side) -> bool:
        """Whether what comes from a side has to wait in the kernel."""
        if side.line is not None:
            return side.line.bytes > DELAYED_BYTES_MAX
        other = side.other
        return other is None or bool(other.pending) or (self.connecting and other is self.endpoint)

    def _pass_on(self, side: Side, data: bytes) -> None:
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

    def _arrive(self, side: Side, data: bytes) -> None:
        """What came from `side` is due at the other side."""
        other = side.other
        assert other is not None
        if data:
            other.pending = other.pending + data if other.pending else data
        self._flush(other)

    def _flush(self, side: Side) -> None:
        """Send what waits for a side; then end the stream if the other side has, or read on there."""
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
        elif self.connecting and side is self.endpoint and side.writes:
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
        if side.pending or self.connecting:
            self._watch(side)
        if other.readable and not self._is_full(other):
            self.relay.again(self, other)

    def _watch(self, side: Side) -> None:
        """Have epoll tell of what comes; from when bytes wait for the first time, also of when they can be sent."""
        writes = bool(side.pending) or (self.connecting and side is self.endpoint)
        if not side.watched:
            self.relay.epoll.register(side.fd, READ | WRITE if writes else READ)
            side.watched, side.writes = True, writes
        elif writes and not side.writes:
            self.relay.epoll.modify(side.fd, READ | WRITE)  # which tells at once if it already can
            side.writes = True

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
            side.other = side.line = None  # no cycles: what is closed is freed at once
        if self.route is not None:
            self.route.tally.open -= 1
        self.relay.connections.discard(self)
