"""DNS over UDP: one socket, drained each time the loop wakes."""

from __future__ import annotations

import asyncio
import socket

from lab.live.dns_answerer import Answerer

DATAGRAMS_PER_WAKE_MAX = 256
"""After so many the loop gets a turn, so that a flood does not starve TCP, probes and fronts."""


class DnsUdpListener:
    """Serves one bound socket, and owns it."""

    def __init__(self, sock: socket.socket, answerer: Answerer) -> None:
        self._socket = sock
        self._answerer = answerer
        self.port: int = sock.getsockname()[1]

    def start(self) -> None:
        """Begin to answer, on the running loop."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._drain)

    def close(self) -> None:
        """Stop and close the socket."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def _drain(self) -> None:
        sock = self._socket
        answer = self._answerer.answer
        for _ in range(DATAGRAMS_PER_WAKE_MAX):
            try:
                packet, peer = sock.recvfrom(65535)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of an earlier answer; nothing was received
            reply = answer(packet, peer[0], tcp=False)
            if reply is not None:
                try:
                    sock.sendto(reply, peer)
                except OSError:
                    continue  # the buffer is full or the peer is gone: UDP may lose it
