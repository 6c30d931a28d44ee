"""A resolver as a client in a place has it: asks the lab's DNS with the place's client subnet, keeps what it is told.

`lookup` blocks, for the command line and threads; `lookup_async` does not. What is kept is decided in
`lab.core.stub_resolver`; both share one cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
import threading
import time
from dataclasses import dataclass

from lab.core.stub_resolver import Ask, Habits, Reply, StubCache
from lab.core.topology import Place, Topology
from lab.live.clock import now_ms
from lab.live.dns_client import make_query, parse_reply

REPLY_LIMIT_S = 2.0


@dataclass(frozen=True)
class Lookup:
    """What a look-up came to. `ttl_s` is what is left of the TTL in lab seconds; `took_ms` is real time.

    `rcode` is NOERROR, NXDOMAIN, REFUSED, ... or TIMEOUT. `chain` are the CNAMEs that were followed.
    """

    addresses: tuple[str, ...]
    ttl_s: int
    from_cache: bool
    took_ms: float
    rcode: str
    chain: tuple[str, ...] = ()
    tcp: bool = False


class StubResolver:
    """One client's resolver in a place. Safe to share between threads."""

    def __init__(
        self,
        topology: Topology,
        place: Place | str | None,
        *,
        habits: Habits = Habits(),  # noqa: B008 - frozen
        reply_limit_s: float = REPLY_LIMIT_S,
    ) -> None:
        place = topology.place(place) if isinstance(place, str) else place
        self._server = topology.reachable(topology.dns_address, topology.dns_port)
        self._subnet = None if place is None else ipaddress.ip_network(place.subnet)
        self._reply_limit_s = reply_limit_s
        self._cache = StubCache(topology.speed, habits)
        self._lock = threading.Lock()
        self._rng = random.Random()

    def flush(self) -> None:
        """Forget everything."""
        with self._lock:
            self._cache.flush()

    def lookup(self, name: str, type: str = "A") -> Lookup:
        """Look a name up, from the cache or from the lab's DNS."""
        started = time.monotonic()
        with self._lock:
            steps = self._cache.look_up(name, type, now_ms())
            reply: Reply | None = None
            try:
                ask = next(steps)
                while True:
                    reply = self._exchange(ask)
                    ask = steps.send(reply)
            except StopIteration as end:
                found = end.value
        took_ms = (time.monotonic() - started) * 1000
        return Lookup(found.addresses, found.ttl_s, found.from_cache, took_ms, found.rcode, found.chain, found.tcp)

    async def lookup_async(self, name: str, type: str = "A") -> Lookup:
        """The same without blocking the loop: an answer in the cache is given at once, others come from a thread."""
        with self._lock:
            cached = self._cache.cached(name, type, now_ms())
        if cached is not None:
            return Lookup(cached.addresses, cached.ttl_s, True, 0.0, cached.rcode, cached.chain)
        return await asyncio.to_thread(self.lookup, name, type)

    def _exchange(self, ask: Ask) -> Reply | None:
        query_id = self._rng.getrandbits(16)
        query = make_query(query_id, ask.name, ask.type, self._subnet)
        deadline = time.monotonic() + self._reply_limit_s
        try:
            return self._over_tcp(query, deadline) if ask.tcp else self._over_udp(query, deadline)
        except OSError:  # refused or timed out: nobody answers there
            return None

    def _over_udp(self, query: bytes, deadline: float) -> Reply | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(self._server)
            sock.send(query)
            while True:
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                reply = parse_reply(sock.recv(65535), query)
                if reply is not None:  # anything else is not an answer to this question
                    return reply

    def _over_tcp(self, query: bytes, deadline: float) -> Reply | None:
        with socket.create_connection(self._server, timeout=self._reply_limit_s) as sock:
            sock.sendall(len(query).to_bytes(2, "big") + query)
            data = b""
            while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                chunk = sock.recv(65535)
                if not chunk:
                    return None
                data += chunk
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            return parse_reply(data[2:], query)
