"""From a query's bytes to an answer's bytes: class, type and EDNS rules, then the resolver, then dnslib.

`ready_udp` keeps finished answers: by source address, then by all of the query's bytes but its id, so client subnet,
case and options need no second look. They go when a record, a weight or a status that they depend on changes.
"""

from __future__ import annotations

import ipaddress
import random
import sys
from dataclasses import replace

from lab.core.route53.answer import Decision, Outcome, RRset, choose
from lab.core.route53.name import NameSyntaxError, to_text
from lab.core.route53.origin import Network, Origin, Origins
from lab.core.route53.query import (
    BADVERS,
    CLASS_IN,
    NOTIMP,
    REFUSED,
    SERVFAIL,
    TYPE_ANY,
    TYPE_AXFR,
    TYPE_IXFR,
    TYPE_OPT,
    UDP_PAYLOAD_DEFAULT,
    UDP_PAYLOAD_MAX,
    Query,
    Unanswerable,
    parse_query,
)
from lab.core.route53.rdata import TYPE_NAMES, RecordValueError
from lab.core.route53.resolver import Resolver
from lab.live.dns_message import TCP_MESSAGE_MAX, pack_answer, pack_code, pack_unanswerable
from lab.live.dns_negative import NegativeAnswers
from lab.live.dns_ready import Ready, make_ready

READY_PACKETS_MAX = 50_000
READY_QUERY_BYTES_MAX = 300
SOURCES_MAX = 1_024
# RFC 8482: one short record instead of everything that a name has.
_HINFO = RRset(b"", "HINFO", 3600, ('"RFC8482" ""',))
_META_TYPES = frozenset(range(128, 256)) - {TYPE_ANY}


class Answerer:
    """Answers packets. `watched` says that `forget_health` will be called for every status that changes."""

    def __init__(self, resolver: Resolver, origins: Origins, rng: random.Random, *, watched: bool = False) -> None:
        self.resolver = resolver
        self.ready_udp: dict[str, dict[bytes, Ready]] = {}
        self.negative = NegativeAnswers(resolver.catalog)
        self.ready_max = READY_PACKETS_MAX
        self._origins = origins
        self._rng = rng
        self._watched = watched
        self._located: dict[str, Origin] = {}
        self._dependents: dict[str, list[tuple[str, bytes]]] = {}
        self._ready_count = 0

    # what changes

    def replace_resolver(self, resolver: Resolver) -> None:
        """Answer from another configuration from now on."""
        self.resolver = resolver
        self.negative = NegativeAnswers(resolver.catalog)
        self.forget()

    def forget(self) -> None:
        """Drop all finished answers."""
        self.ready_udp.clear()
        self._dependents.clear()
        self._ready_count = 0

    def forget_health(self, health_check_id: str) -> None:
        """Drop the finished answers that depend on a health check."""
        for source, key in self._dependents.pop(health_check_id, []):
            table = self.ready_udp.get(source)
            if table is not None:
                table.pop(key, None)

    # packets

    def answer_udp(self, packet: bytes, source: str) -> bytes | None:
        """The answer to a datagram for which none is ready; it is kept for the next one if it may be."""
        negative = self.negative.answer(packet)
        if negative is not None:
            return negative
        query = parse_query(packet)
        if isinstance(query, Unanswerable):
            return pack_unanswerable(query)
        refusal = _refusal(query)
        if refusal is not None:
            return refusal
        try:
            decision = self.decide(query, source)
            ready = make_ready(query, decision, self._rng, payload_max(query, tcp=False))
            self._keep(packet[2:], source, decision, ready)
            answer = ready if isinstance(ready, bytes) else ready.pick()
        except (RecordValueError, NameSyntaxError) as error:
            return _spoiled(query, error)
        return packet[:2] + answer

    def answer_tcp(self, packet: bytes, source: str) -> bytes | None:
        """The answer to one message of a TCP connection; None if it deserves none."""
        query = parse_query(packet)
        if isinstance(query, Unanswerable):
            return pack_unanswerable(query)
        refusal = _refusal(query)
        if refusal is not None:
            return refusal
        try:
            decision = self.decide(query, source)
            limit = payload_max(query, tcp=True)
            return pack_answer(
                query, choose(decision, self._rng), self._rng, payload_max=limit, scope_bits=decision.scope_bits
            )
        except (RecordValueError, NameSyntaxError) as error:
            return _spoiled(query, error)

    def decide(self, query: Query, source: str) -> Decision:
        """Everything that this query can be answered with."""
        origin = self.origin(query, source)
        if query.rtype == TYPE_ANY:
            decision = self.resolver.decide(query.key, "ANY", origin)
            return replace(decision, outcomes=tuple(_minimal_any(query, o) for o in decision.outcomes))
        rtype = TYPE_NAMES.get(query.rtype, f"TYPE{query.rtype}")
        return self.resolver.decide(query.key, rtype, origin)

    def origin(self, query: Query, source: str) -> Origin:
        """The client subnet's place if one was sent, else the source address's."""
        if query.edns is not None and query.edns.subnet is not None and query.edns.subnet.network is not None:
            return self._origins.locate(query.edns.subnet.network)
        known = self._located.get(source)
        if known is None:
            if len(self._located) >= SOURCES_MAX:
                self._located.clear()
            known = self._located[source] = self._origins.locate(ipaddress.ip_network(source))
        return known

    def _keep(self, key: bytes, source: str, decision: Decision, ready: Ready) -> None:
        table = self.ready_udp.get(source)
        if table is None:
            if len(self.ready_udp) >= SOURCES_MAX:
                self.forget()
            table = self.ready_udp[source] = {}
        if decision.zone is None or decision.sampled or len(key) > READY_QUERY_BYTES_MAX:
            return
        if decision.consulted and not self._watched:
            return
        packets = 1 if isinstance(ready, bytes) else ready.packets_max
        if packets > self.ready_max:
            return
        if self._ready_count + packets > self.ready_max:
            self.forget()
            table = self.ready_udp[source] = {}
        table[key] = ready
        self._ready_count += packets
        for health_check_id in decision.consulted:
            self._dependents.setdefault(health_check_id, []).append((source, key))


def payload_max(query: Query, *, tcp: bool) -> int:
    """How long an answer may be, in bytes."""
    if tcp:
        return TCP_MESSAGE_MAX
    return UDP_PAYLOAD_DEFAULT if query.edns is None else min(query.edns.payload_max, UDP_PAYLOAD_MAX)


def client_network(text: str) -> Network:
    """A client's ADDRESS[/BITS] as in `GET /resolve`; without bits /24 or, for IPv6, /48. Raises ValueError."""
    address, _, bits = text.partition("/")
    version = ipaddress.ip_address(address).version
    return ipaddress.ip_network(f"{address}/{bits or (24 if version == 4 else 48)}", strict=False)


def _refusal(query: Query) -> bytes | None:
    """The answer to a query that no zone needs to be asked for."""
    if query.edns is not None and query.edns.version != 0:
        return pack_code(query, BADVERS)
    if query.rclass != CLASS_IN:
        return pack_code(query, REFUSED)
    if query.rtype == TYPE_OPT or query.rtype in _META_TYPES:
        return pack_code(query, REFUSED if query.rtype in (TYPE_AXFR, TYPE_IXFR) else NOTIMP)
    return None


def _spoiled(query: Query, error: ValueError) -> bytes:
    """Control validates what it stores; a value that slipped through spoils its own name only."""
    print(f"dns: {to_text(query.key)}: {error}", file=sys.stderr, flush=True)
    return pack_code(query, SERVFAIL)


def _minimal_any(query: Query, outcome: Outcome) -> Outcome:
    """ANY: a name that exists gets one HINFO record (RFC 8482 §4.2)."""
    negative = outcome.rcode == "NOERROR" and outcome.authoritative and not outcome.answer
    return replace(outcome, answer=(replace(_HINFO, name=query.key),), authority=()) if negative else outcome
