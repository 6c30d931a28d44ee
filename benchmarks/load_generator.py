"""A closed-loop HTTP/1.1 load generator in one process: N keep-alive connections, one request at a time on each.

    python benchmarks/load_generator.py ADDRESS PORT HOST METHOD PATH CONNECTIONS SECONDS

Prints one JSON line: requests per second, latency percentiles in milliseconds, and the answers by status. Bounded by
SECONDS; the same process measures the lab and its peers, so the generator's own cost is the same on both sides.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

import httptools


class Connection(asyncio.Protocol):
    def __init__(self, request: bytes, until: float, tally: Tally) -> None:
        self._request, self._until, self._tally = request, until, tally
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._started = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._tally.latencies.append(now - self._started)
        self._tally.statuses[self._parser.get_status_code()] += 1
        if now >= self._until:
            self._transport.close()
        else:
            asyncio.get_running_loop().call_soon(self._next)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Tally:
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()


async def load(address: str, port: int, request: bytes, connections: int, seconds: float) -> dict[str, object]:
    """Send `request` over and over on each connection for so many seconds."""
    loop = asyncio.get_running_loop()
    tally, started = Tally(), time.perf_counter()
    made = [
        (await loop.create_connection(lambda: Connection(request, started + seconds, tally), address, port))[1]
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*(connection.done for connection in made))
    elapsed = time.perf_counter() - started
    ordered = sorted(tally.latencies)
    return {
        "requests_per_s": round(len(ordered) / elapsed, 1),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 3),
        "statuses": dict(tally.statuses),
    }


def request_bytes(method: str, path: str, host: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """One request on the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


if __name__ == "__main__":
    address, port, host, method, path, connections, seconds = sys.argv[1:]
    print(
        json.dumps(
            asyncio.run(load(address, int(port), request_bytes(method, path, host), int(connections), float(seconds)))
        )
    )
