"""What the lab tells about writes that did not survive: conflicts between regions, and writes lost with a region.

AWS records neither. Deciding who wins is `lab.core.item`; these are the records of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class Version(NamedTuple):
    """When and where a write was made; the greater one wins.

    Millisecond time decides, then the region's name (the later in the alphabet), then the order within one region.
    AWS documents the first rule and promises convergence, but not how it breaks ties
    (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html).
    """

    time_ms: int
    region: str
    counter: int


OLDEST = Version(0, "", 0)
"""Older than every write: the version of content whose write nobody saw."""


@dataclass(frozen=True)
class Conflict:
    """Two writes of one item of which neither had seen the other, or one that its own region's clock made too old."""

    table: str
    key: bytes
    winner: Version
    loser: Version
    detected_ms: int


LossReason = Literal["captured_not_shipped", "not_captured"]


@dataclass(frozen=True)
class LostWrite:
    """A write that was in one region only when that region lost its data."""

    table: str
    key: bytes
    version: Version
    reason: LossReason
    detected_ms: int
