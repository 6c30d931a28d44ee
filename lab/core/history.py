"""What happened while a lab ran: operations of clients with their outcomes, and events of the lab itself.

Live and simulated histories have this one form; `lab.core.consistency` and `lab.core.drill_*` judge it. Nothing here
judges or measures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal[
    "ok",  # it happened, and the client knows it
    "fail",  # it certainly did not happen
    "unknown",  # it may have happened: a timeout, a connection that broke half-way, a 5xx
]
Action = Literal["write", "read"]


@dataclass(frozen=True)
class Operation:
    """One call of one client, from its first byte to its end; times are in milliseconds since the epoch.

    `client` is a place ("dublin") or, for a call to a region's own endpoint, the region's code. `key` is the item's
    key, None when the server would have chosen it and no answer came. `value` is what was written or read; None means
    a delete, or an item that was not there. `region` is the region that answered, or that was tried if none did.
    """

    client: str
    action: Action
    begun_ms: int
    ended_ms: int
    outcome: Outcome
    key: str | None = None
    value: str | None = None
    region: str | None = None
    status: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened to the lab. `kind` is a word such as `fault`, `healed`, `detected`, `dns_changed`."""

    time_ms: int
    kind: str
    region: str | None = None
    place: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class LostWrite:
    """An acknowledged write that died with its region, as the lab reports it.

    `key` is the partition key's text, `time_ms` when it was written, `number` its place in the lab's list.
    """

    table: str
    key: str
    time_ms: int
    region: str
    number: int = 0
    reason: str = ""


@dataclass(frozen=True)
class ItemCopy:
    """One item of one replica: the attribute that clients wrote, and the whole item as one canonical text."""

    value: str | None
    image: str


@dataclass(frozen=True)
class MachineSample:
    """How long the lab's threads together ran, and were ready and waited for a processor, in a time; milliseconds."""

    begun_ms: int
    ended_ms: int
    ran_ms: int
    waited_ms: int


Replicas = dict[str, dict[str, ItemCopy]]
"""The copies of a table as they were read: region, key, item."""


@dataclass(frozen=True)
class History:
    """Everything that a drill recorded.

    `before` is each region's copy of the table when the drill began, and `replicas` after recovery; None means that
    they were not read. `lost` is what the lab reported as lost since the drill began, `losses_unknown` of which regions
    it could not tell that, and why. `machine` are the samples of what the lab got of the machine, in the order of time;
    none where that cannot be measured.
    """

    operations: tuple[Operation, ...] = ()
    events: tuple[Event, ...] = ()
    before: Replicas | None = None
    replicas: Replicas | None = None
    lost: tuple[LostWrite, ...] = ()
    losses_unknown: dict[str, str] = field(default_factory=dict)
    machine: tuple[MachineSample, ...] = ()

    def writes(self, outcome: Outcome) -> tuple[Operation, ...]:
        """The writes with one outcome, in the order they were recorded."""
        return tuple(op for op in self.operations if op.action == "write" and op.outcome == outcome)

    def first(self, kind: str, *, place: str | None = None, after_ms: int = 0) -> Event | None:
        """The earliest event of a kind (of a place, if given), at `after_ms` or later."""
        found = [e for e in self.events if e.kind == kind and place in (None, e.place) and e.time_ms >= after_ms]
        return min(found, key=lambda event: event.time_ms, default=None)
