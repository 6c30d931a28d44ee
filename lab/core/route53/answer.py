"""Answers as values: resource records, outcomes with probabilities and reasons, and picking one of them.

How they come about is `walk`'s business; how they look in a packet is the DNS server's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from lab.core.route53.catalog import ZoneTable
from lab.core.zone import RecordSet


@dataclass(frozen=True)
class Reason:
    """One line of the tree that was walked, indented by `depth`."""

    depth: int
    text: str


@dataclass(frozen=True)
class RRset:
    """Resource records of one name and type. `pick_max` is how many random ones of the values are answered at most."""

    name: bytes
    type: str
    ttl: int
    values: tuple[str, ...]
    pick_max: int | None = None
    record: RecordSet | None = None


@dataclass(frozen=True)
class Outcome:
    """One possible answer, with its probability."""

    probability: float
    rcode: str
    authoritative: bool = True
    answer: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[RRset, ...] = ()
    reason: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Decision:
    """All that a question can be answered with; the probabilities add up to 1.

    `scope_bits` is the prefix length of the client's address for which this holds, 0 if the origin did not matter;
    `consulted` are the health checks whose status it depends on. `zone` is None if the name is in no zone. `sampled`
    says that there were too many outcomes to list: then there is one, drawn by chance.
    """

    outcomes: tuple[Outcome, ...]
    scope_bits: int = 0
    consulted: tuple[str, ...] = ()
    zone: ZoneTable | None = None
    sampled: bool = False


REFUSED = Outcome(1.0, "REFUSED", authoritative=False)


def negative_soa(zone: ZoneTable) -> RRset:
    """The SOA of a negative answer, with the TTL that RFC 2308 gives it: the lesser of its own and its minimum."""
    record = zone.groups[zone.name]["SOA"][0]
    value = record.values[0]
    minimum = int(value.split()[-1])
    return RRset(zone.name, "SOA", min(record.ttl or 0, minimum), (value,), None, record)


def choose(decision: Decision, rng: random.Random) -> Outcome:
    """One outcome, by probability."""
    outcomes = decision.outcomes
    if len(outcomes) == 1:
        return outcomes[0]
    return rng.choices(outcomes, [outcome.probability for outcome in outcomes])[0]


def shuffled(rrset: RRset, rng: random.Random) -> tuple[str, ...]:
    """An RRset's values as one answer carries them: in random order, at most `pick_max` of them."""
    values = rrset.values
    if len(values) < 2:
        return values
    count = len(values) if rrset.pick_max is None else min(rrset.pick_max, len(values))
    return tuple(rng.sample(values, count))
