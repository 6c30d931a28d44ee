"""DNS over UDP: one socket, drained each time the loop wakes."""

from __future__ import annotations

import asyncio
import socket

from lab.live.dns_answerer import Answerer

DATAGRAMS_PER_WAKE_MAX = 256
"""After so many the loop gets a turn, so that a flood does not starve TCP, probes and fronts."""
QUERY_BYTES_MAX = 4096
"""A longer datagram is cut here and found malformed; no query is that long."""


class DnsUdpListener:
    """Serves one bound socket, and owns it."""

    def __init__(self, sock: socket.socket, answerer: Answerer) -> None:
        self._socket = sock
        self._answerer = answerer
        self.port: int = sock.getsockname()[1]

    def start(self) -> None:
        """Begin to answer, on the running loop."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self.drain)

    def close(self) -> None:
        """Stop and close the socket."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def drain(self, datagrams_max: int = DATAGRAMS_PER_WAKE_MAX) -> None:
        """Answer the queries that have come, so many at most, without waiting for others."""
        receive, send = self._socket.recvfrom, self._socket.sendto
        answerer = self._answerer
        tables = answerer.ready_udp
        for _ in range(datagrams_max):
            try:
                packet, peer = receive(QUERY_BYTES_MAX)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of an earlier answer; nothing was received
            table = tables.get(peer[0])
            ready = None if table is None else table.get(packet[2:])
            reply: bytes | None
            if ready is None:
                reply = answerer.answer_udp(packet, peer[0])
                if reply is None:
                    continue
            elif isinstance(ready, bytes):
                reply = packet[:2] + ready
            else:
                reply = packet[:2] + ready.pick()
            try:
                send(reply, peer)
            except OSError:
                continue  # the buffer is full or the peer is gone: UDP may lose it
