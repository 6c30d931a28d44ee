"""The writes of a split-brain drill: which region writes which key when, so that every way to win is seen.

Each round writes every key on both sides. The order alternates: in one key the first region writes last, in the next
the second, so neither side wins all and no winner can be guessed from the region's name.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.scenario import SplitBrainScenario


@dataclass(frozen=True)
class ContestedWrite:
    """One write: a PutItem of `value` under `key` to `region`. They are made one after the other, in order."""

    region: str
    key: str
    value: str


def contested_writes(scenario: SplitBrainScenario, prefix: str) -> tuple[ContestedWrite, ...]:
    """All writes in order. `prefix` makes the keys of this run unique."""
    writes = []
    for number in range(1, scenario.rounds + 1):
        for n in range(scenario.keys):
            sides = (scenario.region_a, scenario.region_b)
            for order, region in enumerate(sides if n % 2 else reversed(sides), start=1):
                text = f"written in {region}, round {number}, {'first' if order == 1 else 'second'}"
                writes.append(ContestedWrite(region, contested_key(prefix, n), text))
    return tuple(writes)


def contested_key(prefix: str, n: int) -> str:
    """The n-th key of a run."""
    return f"{prefix}-{n:03d}"


def expected_winner(writes: tuple[ContestedWrite, ...], key: str) -> ContestedWrite:
    """The last write of a key."""
    return next(write for write in reversed(writes) if write.key == key)
