"""One address and port at which a load balancer listens, plain or TLS, and the connections to it.

A PROXY preface comes before TLS begins, so on a TLS port it is read off the socket before the handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from lab.core import proxy_protocol
from lab.core.alb_response import Answer
from lab.core.proxy_protocol import MalformedPreface
from lab.live.listening import bind_tcp
from lab.live.load_balancer.connection import AlbConnection
from lab.live.load_balancer.exchange import AlbRequest

if TYPE_CHECKING:
    from lab.live.load_balancer.certificates import ServerContexts

HANDSHAKE_S = 10.0
PREFACE_S = 10.0
SWEEPS = 8

Answered = tuple[Answer, list[str]] | None
AnswerRequest = Callable[["ListeningPort", AlbRequest], Awaitable[Answered]]


class ListeningPort:
    """`address`:`port` of the machine, which clients call as `called_port`. `idle_s` in real seconds."""

    def __init__(self, address: str, port: int, called_port: int, respond: AnswerRequest, *, secure: bool) -> None:
        self.address, self.port, self.called_port = address, port, called_port
        self.loop = asyncio.get_running_loop()
        self.connections: set[AlbConnection] = set()
        self.hanging = False
        self.idle_s = 60.0
        self.secure = secure
        self.contexts: ServerContexts | None = None
        self._respond = respond
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Listen. Raises AddressInUse, EnvironmentFailure."""
        sock = bind_tcp(self.address, self.port)
        if not self.secure:
            self._server = await self.loop.create_server(lambda: AlbConnection(self), sock=sock, backlog=1024)
        else:
            sock.listen(1024)
            self._spawn(self._accept(sock))
        self._sweeper = self.loop.call_later(self.idle_s / SWEEPS, self._sweep)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Refuse new connections and reset the open ones."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hang(self, hanging: bool) -> None:
        """Let nothing come back from now on, or drop the connections to which that happened."""
        if self.hanging and not hanging:
            for connection in list(self.connections):
                connection.abort()
        self.hanging = hanging

    async def answer(self, request: AlbRequest, connection: AlbConnection) -> Answered:
        """What to answer, with the cookies to set; None if nothing is to be answered."""
        return await self._respond(self, request)

    def server_name(self, tls: ssl.SSLObject) -> str | None:
        """The name of the certificate that a TLS client was given."""
        return self.contexts.name_of(tls) if self.contexts is not None else None

    def _sweep(self) -> None:
        """Close connections on which nothing has come or gone for the idle timeout."""
        limit = self.loop.time() - self.idle_s
        if not self.hanging:
            for connection in [c for c in self.connections if not c.busy and c.last_active_s < limit]:
                connection.abort()
        self._sweeper = self.loop.call_later(max(self.idle_s / SWEEPS, 0.25), self._sweep)

    # TLS

    async def _accept(self, listener: socket.socket) -> None:
        try:
            while True:
                try:
                    sock, peer = await self.loop.sock_accept(listener)
                except OSError as error:
                    self.loop.call_exception_handler(
                        {"message": f"cannot accept at {self.address}:{self.port}: {error}"}
                    )
                    await asyncio.sleep(0.2)
                    continue
                self._spawn(self._begin_tls(sock, peer))
        finally:
            listener.close()

    async def _begin_tls(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        try:
            async with asyncio.timeout(PREFACE_S):
                client = await self._read_preface(sock) or peer
        except (OSError, TimeoutError, MalformedPreface):
            sock.close()
            return
        except asyncio.CancelledError:
            sock.close()
            raise
        if self.hanging:
            try:
                await asyncio.Event().wait()
            finally:
                sock.close()
        assert self.contexts is not None
        with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):  # the client went away or speaks no TLS
            await self.loop.connect_accepted_socket(
                lambda: AlbConnection(self, client), sock, ssl=self.contexts.context, ssl_handshake_timeout=HANDSHAKE_S
            )

    async def _read_preface(self, sock: socket.socket) -> tuple[str, int] | None:
        """Take the preface off the socket, and nothing that follows it."""
        held = b""
        while True:
            data = await self._peek(sock)
            if not data:
                raise ConnectionResetError("closed before it began")
            preface = proxy_protocol.parse(held + data)
            if preface is None:
                held += sock.recv(len(data))  # all of it belongs to the preface
                continue
            if preface.length:
                sock.recv(preface.length - len(held))
            return preface.source

    async def _peek(self, sock: socket.socket) -> bytes:
        while True:
            try:
                return sock.recv(1024, socket.MSG_PEEK)
            except BlockingIOError:
                readable = self.loop.create_future()
                self.loop.add_reader(sock.fileno(), _wake, readable)
                try:
                    await readable
                finally:
                    self.loop.remove_reader(sock.fileno())


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
