"""A closed-loop HTTP/1.1 load generator in one process: N keep-alive connections, one request at a time on each.

    python benchmarks/load_generator.py ADDRESS PORT HOST METHOD PATH CONNECTIONS SECONDS

Prints one JSON line: requests per second, latency percentiles in milliseconds, and the answers by status. Bounded by
SECONDS. It shares two cores with what it measures, so it is bare: sockets on epoll, and of an answer it reads only the
status and where it ends.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import Counter

SILENCE_LIMIT_S = 30.0


class Connection:
    """One keep-alive connection with one request under way."""

    def __init__(self, address: str, port: int) -> None:
        self.socket = socket.create_connection((address, port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.answer = b""

    def send(self, request: bytes) -> None:
        self.answer = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """The answer's status once it is whole; None before. Raises ConnectionError if the other side leaves."""
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionError("the connection was closed")
        answer = self.answer = self.answer + piece
        head = answer.find(b"\r\n\r\n")
        if head < 0:
            return None
        length = answer.lower().find(b"\r\ncontent-length:", 0, head)
        end = answer.find(b"\r\n", length + 2)
        body = 0 if length < 0 else int(answer[length + 17 : end])
        return int(answer[9:12]) if len(answer) >= head + 4 + body else None


def load(address: str, port: int, request: bytes, connections: int, seconds: float) -> dict[str, object]:
    """Send `request` over and over on each connection for so many seconds."""
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    poll = select.epoll()
    made = {
        connection.socket.fileno(): connection for connection in (Connection(address, port) for _ in range(connections))
    }
    for descriptor in made:
        poll.register(descriptor, select.EPOLLIN)
    started = time.perf_counter()
    until = started + seconds
    for connection in made.values():
        connection.send(request)
    while made:
        ready = poll.poll(SILENCE_LIMIT_S)
        if not ready:
            raise TimeoutError(f"no answer for {SILENCE_LIMIT_S:g} s")
        for descriptor, _ in ready:
            connection = made[descriptor]
            status = connection.receive()
            if status is None:
                continue
            now = time.perf_counter()
            latencies.append(now - connection.sent_at)
            statuses[status] += 1
            if now < until:
                connection.send(request)
            else:
                poll.unregister(descriptor)
                made.pop(descriptor).socket.close()
    elapsed = time.perf_counter() - started
    latencies.sort()
    return {
        "requests_per_s": round(len(latencies) / elapsed, 1),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 3),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 3),
        "statuses": dict(statuses),
    }


def request_bytes(method: str, path: str, host: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """One request on the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


if __name__ == "__main__":
    address, port, host, method, path, connections, seconds = sys.argv[1:]
    print(json.dumps(load(address, int(port), request_bytes(method, path, host), int(connections), float(seconds))))
