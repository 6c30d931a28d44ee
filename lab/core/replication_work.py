"""What the replication core asks its shell to do, and what the shell tells it: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from lab.core.conflict import Version
from lab.core.item import NO_POSITION


@dataclass(frozen=True, slots=True)
class Apply:
    """One item to be written to a target, or deleted there (`image` None). `since_ms` 0: it is no news."""

    key: bytes
    version: Version
    digest: int
    image: bytes | None
    since_ms: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Applies to one table of one region, with two fences for engines that can refuse.

    `read_sequence`: how far that region's stream has been read; a local write beyond it has to be read first.
    `applied_position`: how far our own applies there are known; one beyond it means that this batch comes too late.
    """

    table: str
    source: str
    target: str
    applies: tuple[Apply, ...]
    read_sequence: str
    applied_position: int
    epoch: int


Result = Literal["applied", "failed", "unknown", "fenced", "rejected"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch.

    applied: all of it is in, at `position` of the target's stream (NO_POSITION where an engine does not say).
    failed, unknown: none of it, or some of it, perhaps; try again. fenced: none, the stream has to be read first.
    rejected: the target calls an item invalid.
    """

    result: Result
    position: int = NO_POSITION


@dataclass(frozen=True, slots=True)
class Fill:
    """The next page to be read: scan `table` at `source` beyond `after` (None: from the start), for `target`.

    With `source` and `target` the same, what is read is compared with what is known. `epochs` are those of both: what
    was read before either has lost its data counts no more, nor what was read for an earlier `scan` of the target.
    """

    table: str
    source: str
    target: str
    after: bytes | None
    epochs: tuple[int, int]
    scan: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """An item whose winner has to be read from a region that holds it."""

    table: str
    key: bytes
    region: str
    epoch: int


class Scanned(NamedTuple):
    """An item of a scanned page, or a fetched one."""

    key: bytes
    image: bytes
    digest: int


class Acknowledged(NamedTuple):
    """A write that a region answered with success: its time and its place in the region's order.

    `of_this_run`: by the run of the region's engine that is known now; what an earlier one wrote is not in the
    region's stream, and what a later one wrote is left out.
    """

    table: str
    key: bytes
    time_ms: int
    region: str
    counter: int
    of_this_run: bool
