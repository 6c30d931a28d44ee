"""How long a replicated write is on its way between two regions: nothing, the distance, or what was set by hand.

AWS promises no lag; "typically within a second" is what its pages say
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html). A distance counts as
half a round trip. Jitter makes a lag longer, never shorter; one pair's writes keep their order.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class PairLag:
    """A lag set by hand, in milliseconds, from `source` to `target`."""

    source: str
    target: str
    lag_ms: float


@dataclass(frozen=True)
class ReplicationLag:
    """`distance` adds the way between the regions; `pairs` stand in its place; `jitter` 0.5 adds up to a half."""

    distance: bool = False
    jitter: float = 0.2
    pairs: tuple[PairLag, ...] = ()

    def base_ms(self, source: str, target: str, round_trip_ms: Callable[[str, str], float]) -> float:
        """The lag of a pair without jitter."""
        for pair in self.pairs:
            if (pair.source, pair.target) == (source, target):
                return pair.lag_ms
        return round_trip_ms(source, target) / 2 if self.distance and source != target else 0.0

    def lag_ms(
        self, source: str, target: str, round_trip_ms: Callable[[str, str], float], chance: random.Random
    ) -> float:
        """One write's lag."""
        base = self.base_ms(source, target, round_trip_ms)
        return base * (1.0 + self.jitter * chance.random()) if base else 0.0
