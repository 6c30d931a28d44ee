"""A simulated history's script, made from a seed: who writes what when, and what goes wrong.

A plan is a value: it can be printed, run again, and made smaller.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "cut",  # messages from `region` to `other` are not shipped
    "pause",  # nothing is shipped into or out of `region`
    "down",  # `region` refuses everything, and keeps its data
    "lose_data",  # `region`'s engine dies and comes back empty
    "crash",  # the replicator dies at its `count`-th operation on its store from then on
    "drop",  # requests and answers between replicator and engines are lost
    "slow",  # requests and answers take long, some longer than anyone waits
    "throttle",  # `region` fails applies, some half-way
    "skew",  # `region`'s clock is `count` ms off
    "late_replica",  # `region` joins the group only at `at_ms`
    "gap",  # `region`'s stream forgets its records at `at_ms`
]
KINDS: tuple[FaultKind, ...] = (
    "cut",
    "pause",
    "down",
    "lose_data",
    "crash",
    "drop",
    "slow",
    "throttle",
    "skew",
    "late_replica",
    "gap",
)
LOSSES: tuple[FaultKind, ...] = ("lose_data", "lose_data", "gap", "crash")
"""What meets in every third history: engines that lose everything, streams with gaps, and a replicator that dies."""
REGIONS = ("ap-east-1", "eu-west-1", "us-east-1")
WRITES_MIN, WRITES_MAX = 40, 60
LENGTH_MS = 3_000
START_MS = 1_000_000


@dataclass(frozen=True)
class PlannedWrite:
    """A put of `content`, or a delete (None), of the key with this number."""

    at_ms: int
    region: str
    key: int
    content: bytes | None


@dataclass(frozen=True)
class PlannedFault:
    """A fault from `at_ms` until `until_ms`; `other` and `count` as the kind wants."""

    kind: FaultKind
    at_ms: int
    until_ms: int
    region: str = ""
    other: str = ""
    count: int = 0


@dataclass(frozen=True)
class Plan:
    """One history. `fences`: the engines can refuse applies that come too late. Times count from the start.

    `delay_ms` is the longest that an ordinary request or answer takes.
    """

    seed: int
    fences: bool
    delay_ms: int
    keys: int
    writes: tuple[PlannedWrite, ...]
    faults: tuple[PlannedFault, ...]


def make_plan(seed: int) -> Plan:
    """The plan of a seed: at least 40 writes on at most 5 keys, at least two kinds of fault."""
    chance = random.Random(f"{seed}:plan")
    keys = chance.randint(1, 5)
    # Some histories are bursts, in which writes meet within milliseconds; others are spread out.
    gap_ms = chance.choice((1, 5, 20, 60))
    at_ms = 0
    writes = []
    for n in range(chance.randint(WRITES_MIN, WRITES_MAX)):
        at_ms += chance.randint(0, 2 * gap_ms)
        content = None if chance.random() < 0.2 else b"same" if chance.random() < 0.1 else b"%d" % n
        writes.append(PlannedWrite(at_ms, chance.choice(REGIONS), chance.randrange(keys), content))
    length_ms = max(at_ms, 100)
    kinds = chance.sample(KINDS, chance.randint(2, 4))
    faults = [_fault(chance, kind, length_ms) for kind in kinds for _ in range(chance.choice((1, 1, 2)))]
    if seed % 3 == 2:
        faults += [_fault(chance, kind, length_ms) for kind in LOSSES if chance.random() < 0.7]
    late = next((fault for fault in faults if fault.kind == "late_replica"), None)
    faults = [fault for fault in faults if fault.kind != "late_replica" or fault is late]
    delay_ms = chance.choice((2, 2, 10, 60))
    return Plan(seed, chance.random() < 0.5, delay_ms, keys, tuple(writes), tuple(faults))


def _fault(chance: random.Random, kind: FaultKind, length_ms: int) -> PlannedFault:
    at_ms = chance.randrange(length_ms)
    until_ms = at_ms + chance.randint(1, length_ms)
    region, other = chance.sample(REGIONS, 2)
    count = 0
    if kind == "crash":
        count, until_ms = chance.randint(0, 40), at_ms + chance.randint(1, 300)
    elif kind == "skew":
        count = chance.choice((-200, -30, -3, 3, 30, 200))
        if chance.random() < 0.5:
            at_ms, until_ms = 0, 1_000_000
    elif kind == "late_replica":
        at_ms = chance.randrange(length_ms // 2)
    return PlannedFault(kind, at_ms, until_ms, region, other, count)
