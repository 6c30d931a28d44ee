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
from lab.core.proxy_protocol import MalformedPreface, Preface
from lab.live.listening import bind_tcp
from lab.live.load_balancer.connection import AlbConnection
from lab.live.load_balancer.exchange import AlbRequest

if TYPE_CHECKING:
    from lab.live.load_balancer.certificates import ServerContexts
    from lab.live.load_balancer.travel import Travel

HANDSHAKE_S = 10.0
PREFACE_S = 10.0
ACCEPT_PAUSE_S = 0.2
BACKLOG = 1024
SWEEPS = 8

Answered = tuple[Answer, list[str]] | None
AnswerRequest = Callable[["ListeningPort", AlbRequest], Awaitable[Answered]]
OnRefused = Callable[["ListeningPort", AlbRequest, Answer], None]


class ListeningPort:
    """`address`:`port` of the machine, which clients call as `called_port`.

    `idle_s` is how long a connection may rest, `keep_alive_s` how old it may get; both in real seconds.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html
    """

    def __init__(
        self,
        address: str,
        port: int,
        called_port: int,
        respond: AnswerRequest,
        *,
        secure: bool,
        on_refused: OnRefused = lambda port, request, answer: None,
    ) -> None:
        self.address, self.port, self.called_port = address, port, called_port
        self.loop = asyncio.get_running_loop()
        self.connections: set[AlbConnection] = set()
        self.hanging = False
        self.idle_s = 60.0
        self.keep_alive_s = 3600.0
        self.secure = secure
        self.contexts: ServerContexts | None = None
        self.travel: Travel | None = None
        self._respond, self._on_refused = respond, on_refused
        self.serving = False
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def bind(self) -> None:
        """Listen; who connects waits until `serve`. Raises AddressInUse, EnvironmentFailure."""
        sock = bind_tcp(self.address, self.port)
        sock.listen(BACKLOG)
        self._socket = sock

    async def serve(self) -> None:
        """Begin to accept connections, once."""
        sock = self._socket
        if sock is None or self.serving:
            return
        self.serving = True
        if self.secure:
            self.loop.add_reader(sock.fileno(), self._accept, sock)
        else:
            server = await self.loop.create_server(lambda: AlbConnection(self), sock=sock, backlog=BACKLOG)
            if self._socket is None:
                server.close()
                return
            self._server = server
        self._sweeper = self.loop.call_later(self.idle_s / SWEEPS, self._sweep)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def shut(self) -> None:
        """Refuse new connections and reset the open ones, at once."""
        sock, self._socket = self._socket, None
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        elif sock is not None:
            if self.serving and self.secure:
                self.loop.remove_reader(sock.fileno())
            sock.close()
        for connection in list(self.connections):
            connection.abort()
        for task in self._tasks:
            task.cancel()

    async def drain(self) -> None:
        """Wait until nothing of it is left, after `shut`."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang(self, hanging: bool) -> None:
        """Let nothing come back from now on, or drop the connections to which that happened."""
        if self.hanging and not hanging:
            for connection in list(self.connections):
                connection.abort()
        self.hanging = hanging

    async def answer(self, request: AlbRequest, connection: AlbConnection) -> Answered:
        """What to answer, with the cookies to set; None if nothing is to be answered."""
        return await self._respond(self, request)

    def refused(self, request: AlbRequest, answer: Answer) -> None:
        """Hear of a request that was answered without having been read."""
        self._on_refused(self, request, answer)

    def one_way_s(self, preface: Preface) -> float:
        """How long a client's bytes are on their way to here, in real seconds."""
        return self.travel.one_way_s(preface) if self.travel is not None else 0.0

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

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, peer = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # out of file descriptors: try again when some may have been freed
            self.loop.call_exception_handler({"message": f"cannot accept at {self.address}:{self.port}: {error}"})
            self.loop.remove_reader(listener.fileno())
            self.loop.call_later(ACCEPT_PAUSE_S, self._accept_again, listener)
            return
        sock.setblocking(False)
        self._spawn(self._begin_tls(sock, peer))

    def _accept_again(self, listener: socket.socket) -> None:
        if self._socket is listener:
            self.loop.add_reader(listener.fileno(), self._accept, listener)

    async def _begin_tls(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        try:
            async with asyncio.timeout(PREFACE_S):
                preface = await self._read_preface(sock)
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
                lambda: AlbConnection(self, preface, peer),
                sock,
                ssl=self.contexts.context,
                ssl_handshake_timeout=HANDSHAKE_S,
            )

    async def _read_preface(self, sock: socket.socket) -> Preface:
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
            return preface

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
