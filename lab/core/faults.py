"""The faults in force and what they do to a region, a service, a link or a message.

A fault is in force from `since_ms` until it is lifted (removed from the list). The first fault with an opinion wins.
Who acts on them: fronts (refuse, hang, delay, error), functions (environments of a region that is down die), the
replicator (links), probers (their way to a region). Stopping an engine is the supervisor's or Docker's work.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Effect = Literal[
    "down",  # connections are refused
    "hang",  # connections open and nothing comes back
    "delay",  # answers come `delay_ms` later
    "error",  # answers are `error_code` with `probability`
    "cut",  # messages from `region` to `target` are lost; both regions live on
    "replication_paused",  # nothing is replicated into or out of `region`; other pairs go on
    "clock_skew",  # `region`'s write times are `skew_ms` off
    "health_reported",  # health check `health_check_id` is taken to be `healthy`
]
RegionCondition = Literal["up", "down", "hang"]
PAST_SKEWS_MAX = 1_000
"""Of more, the oldest are forgotten."""


@dataclass(frozen=True)
class Fault:
    """One fault. `region` None means everywhere; `service` ("dynamodb", "lambda", ...) and `operation` None mean all.

    `target` is the other end of a link; a cut both ways is two faults. `lose_data` says that the region's engine died
    with what had not left the region. `label` is what the user typed, for reports.
    """

    fault_id: str
    effect: Effect
    since_ms: int
    region: str | None = None
    service: str | None = None
    operation: str | None = None
    target: str | None = None
    place: str | None = None
    lose_data: bool = False
    delay_ms: int = 0
    error_code: str | None = None
    probability: float = 1.0
    skew_ms: int = 0
    health_check_id: str | None = None
    healthy: bool | None = None
    label: str = ""


@dataclass(frozen=True)
class PastSkew:
    """A region's clock was `skew_ms` off from `since_ms` until just before `until_ms`."""

    region: str
    skew_ms: int
    since_ms: int
    until_ms: int


@dataclass(frozen=True)
class FaultSet:
    """All faults in force, oldest first, and when clocks were off that are not any more.

    A write keeps the time that its region's clock gave it, whenever it is replicated.
    """

    faults: tuple[Fault, ...] = ()
    past_skews: tuple[PastSkew, ...] = ()

    def begun(self, fault: Fault) -> FaultSet:
        """With one fault more."""
        return FaultSet((*self.faults, fault), self.past_skews)

    def lifted(self, going: Collection[Fault], now_ms: int) -> FaultSet:
        """Without these faults from now on."""
        past = [
            PastSkew(fault.region, fault.skew_ms, fault.since_ms, now_ms)
            for fault in going
            if fault.effect == "clock_skew" and fault.region is not None
        ]
        staying = tuple(fault for fault in self.faults if fault not in going)
        return FaultSet(staying, (*self.past_skews, *past)[-PAST_SKEWS_MAX:])

    def region_condition(self, region: str) -> RegionCondition:
        """Whether a whole region is up, refuses everything, or hangs."""
        for fault in self.faults:
            if fault.region == region and fault.service is None and fault.effect in ("down", "hang"):
                return "down" if fault.effect == "down" else "hang"
        return "up"

    def link_up(self, source: str, target: str) -> bool:
        """Whether messages pass from one region to another: both regions up, and the link not cut."""
        if self.region_condition(source) != "up" or self.region_condition(target) != "up":
            return False
        return not any(
            fault.effect == "cut" and fault.region == source and fault.target == target for fault in self.faults
        )

    def replicates(self, source: str, target: str) -> bool:
        """Whether replication ships from one region to another now."""
        paused = any(fault.effect == "replication_paused" and fault.region in (source, target) for fault in self.faults)
        return not paused and self.link_up(source, target)

    def on_call(self, region: str, service: str, operation: str | None) -> Fault | None:
        """The first fault with an opinion on one call to a service of a region, if any."""
        for fault in self.faults:
            if (
                fault.effect in ("down", "hang", "delay", "error")
                and fault.region in (None, region)
                and fault.service in (None, service)
                and fault.operation in (None, operation)
            ):
                return fault
        return None

    def skew_ms(self, region: str, time_ms: int) -> int:
        """How far the region's clock was off at a time, in milliseconds."""
        found = 0  # asked for each write: plain loops
        for fault in self.faults:
            if fault.effect == "clock_skew" and fault.region == region and fault.since_ms <= time_ms:
                found += fault.skew_ms
        for past in self.past_skews:
            if past.region == region and past.since_ms <= time_ms < past.until_ms:
                found += past.skew_ms
        return found
