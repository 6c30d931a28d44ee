"""Finished answers, all but the query's id: one packet, or packets to choose from by weight, or in random orders."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable
from itertools import accumulate

from lab.core.route53.answer import Decision, Outcome
from lab.core.route53.query import Query
from lab.live.dns_message import pack_answer

ORDERS_MAX = 32
"""So many random orders (or random eights, for multivalue) of one answer's values are kept to choose from."""


class Orders:
    """One answer with its values in random orders; each is made when it is first needed."""

    __slots__ = ("_limit", "_made", "_make", "_random", "packets_max")

    def __init__(self, make: Callable[[], bytes], limit: int, rng: random.Random) -> None:
        self.packets_max = limit
        self._make = make
        self._limit = limit
        self._made: list[bytes] = []
        self._random = rng.random

    def pick(self) -> bytes:
        """The packet without its id."""
        made = self._made
        if len(made) < self._limit:
            made.append(self._make())
            return made[-1]
        return made[int(self._random() * self._limit)]


class Alternatives:
    """Answers with probabilities; each is packed when it is first drawn."""

    __slots__ = ("_made", "_make", "_random", "_sums", "packets_max")

    def __init__(
        self, probabilities: list[float], make: Callable[[int], bytes | Orders], rng: random.Random, packets_max: int
    ) -> None:
        self.packets_max = packets_max
        *sums, _ = accumulate(probabilities)
        self._sums = sums
        self._make = make
        self._made: list[bytes | Orders | None] = [None] * len(probabilities)
        self._random = rng.random

    def pick(self) -> bytes:
        """The packet without its id."""
        index = bisect(self._sums, self._random())
        made = self._made[index]
        if made is None:
            made = self._made[index] = self._make(index)
        return made if isinstance(made, bytes) else made.pick()


Ready = bytes | Orders | Alternatives


def make_ready(query: Query, decision: Decision, rng: random.Random, payload_max: int) -> Ready:
    """The finished answer to a query, and to every other of the same bytes. Raises RecordValueError."""

    def pack(outcome: Outcome) -> bytes:
        return pack_answer(query, outcome, rng, payload_max=payload_max, scope_bits=decision.scope_bits)[2:]

    def finish(index: int) -> bytes | Orders:
        outcome = decision.outcomes[index]
        orders = _orders(outcome)
        return pack(outcome) if orders == 1 else Orders(lambda: pack(outcome), orders, rng)

    if len(decision.outcomes) == 1:
        return finish(0)
    packets_max = sum(_orders(outcome) for outcome in decision.outcomes)
    return Alternatives([outcome.probability for outcome in decision.outcomes], finish, rng, packets_max)


def _orders(outcome: Outcome) -> int:
    """How many orders of an outcome's values are worth keeping."""
    longest = max((len(rrset.values) for rrset in outcome.answer), default=1)
    return 1 if longest < 2 else ORDERS_MAX if longest < 100 else 4 * ORDERS_MAX
