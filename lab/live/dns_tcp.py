"""DNS over TCP (RFC 7766): several queries a connection, answered in order; idle and surplus ones are dropped."""

from __future__ import annotations

import asyncio
import socket

from lab.live.dns_answerer import Answerer

IDLE_LIMIT_S = 10.0
CONNECTIONS_MAX = 256


class _Connection(asyncio.Protocol):
    def __init__(self, listener: DnsTcpListener) -> None:
        self._listener = listener
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._source = ""
        self._paused = False
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._source = transport.get_extra_info("peername")[0]
        self._listener.admit(self)
        self._wait()

    def _wait(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._listener.idle_limit_s, self.abort)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._answer()

    def _answer(self) -> None:
        """Answer what has come whole, as long as the client takes the answers."""
        complete = False
        while len(self._buffer) >= 2 and not self._paused:
            length = self._buffer[0] << 8 | self._buffer[1]
            if len(self._buffer) < 2 + length:
                break
            packet = bytes(self._buffer[2 : 2 + length])
            del self._buffer[: 2 + length]
            complete = True
            reply = self._listener.answerer.answer_tcp(packet, self._source)
            if self._transport is None:
                return
            if reply is None:
                self.abort()  # RFC 7766 leaves no way to say that nothing comes
                return
            self._transport.write(len(reply).to_bytes(2, "big") + reply)
        if complete:
            self._wait()  # a client that sends a byte at a time does not stay for ever

    @property
    def unsent_bytes(self) -> int:
        """How much of the answers the client has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()
            self._answer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._idle is not None:
            self._idle.cancel()
        self._listener.connections.pop(self, None)

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()


class DnsTcpListener:
    """Serves one bound socket, and owns it."""

    def __init__(self, sock: socket.socket, answerer: Answerer, *, idle_limit_s: float = IDLE_LIMIT_S) -> None:
        self._socket = sock
        self.answerer = answerer
        self.idle_limit_s = idle_limit_s
        self.connections: dict[_Connection, None] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to accept, on the running loop."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), sock=self._socket, backlog=128)

    def admit(self, connection: _Connection) -> None:
        """Count a new connection in; beyond the limit the oldest is dropped."""
        self.connections[connection] = None
        if len(self.connections) > CONNECTIONS_MAX:
            next(iter(self.connections)).abort()

    async def close(self) -> None:
        """Stop and drop what is open."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()
