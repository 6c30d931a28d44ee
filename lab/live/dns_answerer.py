"""From a query's bytes to an answer's bytes, for UDP and TCP alike: class, type and EDNS rules, then the resolver."""

from __future__ import annotations

import ipaddress
import random
import sys
from dataclasses import replace

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
from lab.core.route53.resolver import Outcome, Resolver, RRset, choose
from lab.live.dns_message import TCP_MESSAGE_MAX, pack_answer, pack_code, pack_unanswerable

# RFC 8482: one short record instead of everything that a name has.
_HINFO = RRset(b"", "HINFO", 3600, ('"RFC8482" ""',))
_META_TYPES = frozenset(range(128, 256)) - {TYPE_ANY}


class Answerer:
    """Answers packets from a resolver that is replaced whenever the zones change."""

    def __init__(self, resolver: Resolver, origins: Origins, rng: random.Random) -> None:
        self.resolver = resolver
        self._origins = origins
        self._rng = rng
        self._located: dict[str, Origin] = {}

    def answer(self, packet: bytes, source: str, *, tcp: bool) -> bytes | None:
        """The answer to one packet from an address; None if it deserves none. Never raises on bad input."""
        query = parse_query(packet)
        if isinstance(query, Unanswerable):
            return pack_unanswerable(query)
        return self.answer_query(query, source, tcp=tcp)

    def answer_query(self, query: Query, source: str, *, tcp: bool) -> bytes:
        """The answer to a well-formed query."""
        if query.edns is not None and query.edns.version != 0:
            return pack_code(query, BADVERS)
        if query.rclass != CLASS_IN:
            return pack_code(query, REFUSED)
        if query.rtype == TYPE_OPT or query.rtype in _META_TYPES:
            return pack_code(query, REFUSED if query.rtype in (TYPE_AXFR, TYPE_IXFR) else NOTIMP)
        try:
            outcome = choose(self.outcomes(query, source), self._rng)
            return pack_answer(query, outcome, self._rng, payload_max=payload_max(query, tcp=tcp))
        except (RecordValueError, NameSyntaxError) as error:
            # Control validates what it stores; a value that slipped through spoils its own name only.
            print(f"dns: {to_text(query.key)}: {error}", file=sys.stderr, flush=True)
            return pack_code(query, SERVFAIL)

    def outcomes(self, query: Query, source: str) -> tuple[Outcome, ...]:
        """Every answer that this query can get."""
        origin = self.origin(query, source)
        if query.rtype == TYPE_ANY:
            return tuple(_minimal_any(query, o) for o in self.resolver.outcomes(query.key, "ANY", origin))
        rtype = TYPE_NAMES.get(query.rtype, f"TYPE{query.rtype}")
        return self.resolver.outcomes(query.key, rtype, origin)

    def origin(self, query: Query, source: str) -> Origin:
        """The client subnet's place if one was sent, else the source address's."""
        if query.edns is not None and query.edns.subnet is not None and query.edns.subnet.network is not None:
            return self._origins.locate(query.edns.subnet.network)
        return self.origin_of(source)

    def origin_of(self, source: str) -> Origin:
        """The place of a resolver's address."""
        known = self._located.get(source)
        if known is None:
            if len(self._located) > 4096:
                self._located.clear()
            known = self._located[source] = self._origins.locate(ipaddress.ip_network(source))
        return known


def payload_max(query: Query, *, tcp: bool) -> int:
    """How long an answer may be, in bytes."""
    if tcp:
        return TCP_MESSAGE_MAX
    return UDP_PAYLOAD_DEFAULT if query.edns is None else min(query.edns.payload_max, UDP_PAYLOAD_MAX)


def _minimal_any(query: Query, outcome: Outcome) -> Outcome:
    """ANY: a name that exists gets one HINFO record (RFC 8482 §4.2)."""
    negative = outcome.rcode == "NOERROR" and outcome.authoritative and not outcome.answer
    return replace(outcome, answer=(replace(_HINFO, name=query.key),), authority=()) if negative else outcome


def client_network(text: str) -> Network:
    """A client's ADDRESS[/BITS] as in `GET /resolve`; without bits /24 or, for IPv6, /48. Raises ValueError."""
    address, _, bits = text.partition("/")
    version = ipaddress.ip_address(address).version
    return ipaddress.ip_network(f"{address}/{bits or (24 if version == 4 else 48)}", strict=False)
