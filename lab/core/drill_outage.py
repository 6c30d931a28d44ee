"""The order of an outage drill: steady load, fault, until every place is served again, heal, until traffic is back,
convergence, final reads.

A machine without a clock: it is told of finished operations and effects and of time, and answers with effects. What
the recorded history proves is judged afterwards, in `lab.core.drill_report`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lab.core.history import Operation
from lab.core.scenario import OutageScenario


@dataclass(frozen=True)
class StartLoad:
    """Begin the steady load of every place."""


@dataclass(frozen=True)
class StallReplication:
    """Let replication out of the region fall behind, so that a fault that loses data has something to lose."""


@dataclass(frozen=True)
class FailRegion:
    """Put the region's fault in force."""


@dataclass(frozen=True)
class HealAll:
    """Lift every fault."""


@dataclass(frozen=True)
class StopLoad:
    """Stop the load and wait for what is under way."""


@dataclass(frozen=True)
class AwaitConvergence:
    """Wait until nothing is left to replicate."""


@dataclass(frozen=True)
class ReadReplicas:
    """Read every region's whole copy, and what the lab reports as lost."""


Effect = StartLoad | StallReplication | FailRegion | HealAll | StopLoad | AwaitConvergence | ReadReplicas
Phase = Literal["new", "steady", "lagging", "failing", "outage", "healing", "returning", "ending", "done"]


@dataclass
class _Place:
    """What the machine remembers of a place. Times are of requests' beginnings."""

    successes: int = 0
    failed_begun_ms: int = -1
    good_since_ms: int | None = None
    good_until_ms: int | None = None
    region: str | None = None
    home_region: str | None = None
    returned_since_ms: int | None = None

    def restart(self) -> None:
        self.good_since_ms = self.good_until_ms = None


@dataclass
class OutageDrill:
    """The machine. Effects are to be performed in order; each but StartLoad is followed by `on_done`."""

    scenario: OutageScenario
    phase: Phase = "new"
    _since_ms: int = 0
    _places: dict[str, _Place] = field(default_factory=dict)

    def next_wake_ms(self) -> int | None:
        """When `on_wake` must be called at the latest; None if the machine waits for something else."""
        limits = {
            "new": 0,
            "steady": self.scenario.steady_ms,
            "lagging": self.scenario.lag_ms,
            "outage": self.scenario.outage_limit_ms,
            "returning": self.scenario.return_limit_ms,
        }
        return None if self.phase not in limits else self._since_ms + limits[self.phase]

    def on_wake(self, now_ms: int) -> list[Effect]:
        """Time has passed."""
        wake_ms = self.next_wake_ms()
        if wake_ms is None or now_ms < wake_ms:
            return []
        if self.phase == "new":
            self._places = {place: _Place() for place in self.scenario.places}
            return self._enter("steady", now_ms, StartLoad())
        if self.phase == "steady":
            for place in self._places.values():
                place.home_region = place.region
            if self.scenario.lag_ms:
                return self._enter("lagging", now_ms, StallReplication())
            return self._enter("failing", now_ms, FailRegion())
        if self.phase == "lagging":
            return self._enter("failing", now_ms, FailRegion())
        if self.phase == "outage":
            return self._enter("healing", now_ms, HealAll())
        return self._enter("ending", now_ms, StopLoad(), AwaitConvergence(), ReadReplicas())

    def on_done(self, effect: Effect, now_ms: int) -> list[Effect]:
        """An effect has been performed, well or not: what failed shows in the history."""
        if isinstance(effect, FailRegion):
            self._restart_places()
            return self._enter("outage", now_ms)
        if isinstance(effect, HealAll):
            self._restart_places()
            return self._enter("returning", now_ms)
        if isinstance(effect, ReadReplicas):
            return self._enter("done", now_ms)
        return []

    def on_operation(self, operation: Operation, now_ms: int) -> list[Effect]:
        """A client's call has ended."""
        place = self._places.get(operation.client)
        if place is None:
            return []
        if operation.outcome == "ok":
            self._succeeded(place, operation)
        elif operation.begun_ms > place.failed_begun_ms:
            place.failed_begun_ms = operation.begun_ms
            place.restart()
        if self.phase == "outage" and all(self._settled(place) for place in self._places.values()):
            return self._enter("healing", now_ms, HealAll())
        if self.phase == "returning" and all(self._returned(place) for place in self._places.values()):
            return self._enter("ending", now_ms, StopLoad(), AwaitConvergence(), ReadReplicas())
        return []

    def _succeeded(self, place: _Place, operation: Operation) -> None:
        # An answer to a request from before the phase, or from before the place's last failure, says nothing about it.
        if operation.begun_ms < self._since_ms or operation.begun_ms <= place.failed_begun_ms:
            if self.phase in ("steady", "lagging"):
                place.region = operation.region
            return
        if operation.region != place.region:
            place.returned_since_ms = operation.begun_ms
        place.region = operation.region
        if place.good_since_ms is None:
            place.good_since_ms = operation.begun_ms
        place.good_until_ms = max(operation.begun_ms, place.good_until_ms or 0)

    def _settled(self, place: _Place) -> bool:
        """Served without a miss for as long as the scenario wants to see."""
        if place.good_since_ms is None or place.good_until_ms is None:
            return False
        return place.good_until_ms - place.good_since_ms >= self.scenario.hold_ms

    def _returned(self, place: _Place) -> bool:
        """Settled, and served by its own region for that long."""
        if not self._settled(place) or place.region != place.home_region:
            return False
        assert place.good_until_ms is not None
        since_ms = max(place.returned_since_ms or 0, place.good_since_ms or 0)
        return place.good_until_ms - since_ms >= self.scenario.hold_ms

    def _restart_places(self) -> None:
        for place in self._places.values():
            place.restart()

    def _enter(self, phase: Phase, now_ms: int, *effects: Effect) -> list[Effect]:
        self.phase, self._since_ms = phase, now_ms
        return list(effects)
