"""A client's resolver: what it keeps and for how long, when it asks, how it follows CNAMEs, and real ones' bad habits.

A look-up is a generator that yields questions and is sent replies; `lab.live.stub_resolver` puts them on the wire.
RFC 1034 §5.3.1, RFC 2308 (negative caching).
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field

from lab.core.route53.name import to_text, to_wire

CNAME_CHAIN_MAX = 16
ATTEMPTS = 2
CACHE_ENTRIES_MAX = 10_000
_PLAIN_NAME = re.compile(r"[a-z0-9_.-]+")


@dataclass(frozen=True)
class Habits:
    """What a resolver does with what it is told. All off is one that behaves.

    `ttl_s` is used instead of every TTL (0 keeps nothing: each look-up asks); `cache_forever` keeps the first answer
    for ever; `pin_address` goes on with one address as long as it lives, whatever later answers say; `tcp_only`
    never asks over UDP; `serve_stale` uses an expired answer when no server answers (RFC 8767).
    """

    ttl_s: int | None = None
    cache_forever: bool = False
    pin_address: bool = False
    tcp_only: bool = False
    serve_stale: bool = False


@dataclass(frozen=True)
class Ask:
    """A question to put on the wire."""

    name: str
    type: str
    tcp: bool


@dataclass(frozen=True)
class ReplyRecord:
    """One record of a reply; `name` is lower case with a final dot."""

    name: str
    type: str
    ttl: int
    value: str


@dataclass(frozen=True)
class Reply:
    """A reply as it was parsed. `negative_ttl_s` is what its SOA says of how long an absence holds."""

    rcode: str
    records: tuple[ReplyRecord, ...] = ()
    truncated: bool = False
    negative_ttl_s: int = 0


@dataclass(frozen=True)
class Found:
    """What a look-up came to. `ttl_s` is what is left of the TTL; `rcode` is TIMEOUT if no server answered."""

    addresses: tuple[str, ...]
    ttl_s: int
    from_cache: bool
    rcode: str
    chain: tuple[str, ...] = ()
    tcp: bool = False


@dataclass
class _Entry:
    values: tuple[str, ...]
    rcode: str
    expires_ms: float
    chain: tuple[str, ...]


@dataclass
class StubCache:
    """What one resolver knows. `speed` divides TTLs."""

    speed: float = 1.0
    habits: Habits = Habits()
    entries: dict[tuple[str, str], _Entry] = field(default_factory=dict)
    pinned: dict[tuple[str, str], str] = field(default_factory=dict)

    def look_up(self, name: str, rtype: str, now_ms: float) -> Generator[Ask, Reply | None, Found]:
        """The look-up of a name. Send a Reply for each Ask, None where none came in time."""
        cached = self.cached(name, rtype, now_ms)
        if cached is not None:
            return cached
        key = _key(name, rtype)
        entry = self.entries.get(key)
        fresh, tcp = yield from self._ask(key, now_ms)
        if fresh is None:
            if entry is not None and self.habits.serve_stale:
                return self._found(key, entry, now_ms, from_cache=True)
            return Found((), 0, False, "TIMEOUT")
        if fresh.rcode in ("NOERROR", "NXDOMAIN"):  # failures are not kept
            if len(self.entries) >= CACHE_ENTRIES_MAX:
                self.entries.clear()
            self.entries[key] = fresh
        return self._found(key, fresh, now_ms, from_cache=False, tcp=tcp)

    def cached(self, name: str, rtype: str, now_ms: float) -> Found | None:
        """What the cache alone says; None if a server must be asked."""
        key = _key(name, rtype)
        entry = self.entries.get(key)
        if entry is not None and (self.habits.cache_forever or entry.expires_ms > now_ms):
            return self._found(key, entry, now_ms, from_cache=True)
        return None

    def flush(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self.pinned.clear()

    def _found(
        self, key: tuple[str, str], entry: _Entry, now_ms: float, *, from_cache: bool, tcp: bool = False
    ) -> Found:
        values = entry.values
        if self.habits.pin_address and values:
            values = (self.pinned.setdefault(key, values[0]),)
        left_s = max(0, round((entry.expires_ms - now_ms) * self.speed / 1000))
        return Found(values, left_s, from_cache, entry.rcode, entry.chain, tcp)

    def _ask(self, key: tuple[str, str], now_ms: float) -> Generator[Ask, Reply | None, tuple[_Entry | None, bool]]:
        name, rtype = key
        chain: list[str] = []
        ttl_s = 1 << 31
        tcp = False
        while True:
            reply, over_tcp = yield from self._exchange(name, rtype)
            tcp = tcp or over_tcp
            if reply is None:
                return None, tcp
            asked = name
            name, ttl_s = _follow(reply, name, chain, ttl_s)
            values = [record for record in reply.records if record.type == rtype and record.name == name]
            if values:
                ttl_s = min(ttl_s, *(record.ttl for record in values))
                kept = tuple(record.value for record in values)
                return _Entry(kept, reply.rcode, now_ms + self._keep_ms(ttl_s), tuple(chain)), tcp
            if name != asked and reply.rcode == "NOERROR" and not reply.negative_ttl_s and len(chain) < CNAME_CHAIN_MAX:
                continue  # the chain leads out of what this server told: ask for its end
            negative_s = min(ttl_s, reply.negative_ttl_s)
            return _Entry((), reply.rcode, now_ms + self._keep_ms(negative_s), tuple(chain)), tcp

    def _keep_ms(self, ttl_s: int) -> float:
        if self.habits.ttl_s is not None:
            ttl_s = self.habits.ttl_s
        return ttl_s * 1000 / self.speed

    def _exchange(self, name: str, rtype: str) -> Generator[Ask, Reply | None, tuple[Reply | None, bool]]:
        """One question, asked again when nothing comes, and over TCP when the reply was cut off."""
        tcp = self.habits.tcp_only
        for _ in range(ATTEMPTS):
            reply = yield Ask(name, rtype, tcp)
            if reply is not None and reply.truncated and not tcp:
                tcp = True
                reply = yield Ask(name, rtype, tcp)
            if reply is not None:
                return reply, tcp
        return None, tcp


def _key(name: str, rtype: str) -> tuple[str, str]:
    text = name.lower().rstrip(".") + "."
    return text if _PLAIN_NAME.fullmatch(text) else to_text(to_wire(text)), rtype


def _follow(reply: Reply, name: str, chain: list[str], ttl_s: int) -> tuple[str, int]:
    """The end of the reply's chain of CNAMEs from `name`, and the least TTL on the way; `chain` grows."""
    while len(chain) < CNAME_CHAIN_MAX:
        alias = next((r for r in reply.records if r.type == "CNAME" and r.name == name), None)
        if alias is None:
            break
        name = alias.value.lower()
        chain.append(name)
        ttl_s = min(ttl_s, alias.ttl)
    return name, ttl_s
