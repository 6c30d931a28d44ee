"""The status of every health check over time: when each checker probes, what it thinks, what they decide together.

A machine without clock or sockets: it says which probes to start and takes their results. Times are real milliseconds;
`speed` divides the intervals.
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from lab.core.checkers import Checker, checkers_of, enough_agree
from lab.core.faults import FaultSet
from lab.core.health_check import HealthCheck, HealthChecks
from lab.core.health_probe import ProbeResult

ENDPOINT_TYPES = ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP")
METRIC_PERIOD_MS = 10_000
"""How often the data of a CLOUDWATCH_METRIC check's alarm is read."""
LULL_MS, LULL_FROM = 100, 1_000
"""Of so many probes an interval (60 health checks) those of a tenth of a second start together: the first is slow, for
others have used the CPU's caches since. Of fewer each has its time, for at a function those that meet are concurrent.
"""


@dataclass(frozen=True)
class StartProbe:
    """A checker shall probe now. `ticket` comes back with the result; a result for a replaced check is ignored."""

    check: HealthCheck
    checker: Checker
    ticket: int


@dataclass(frozen=True)
class ReadMetric:
    """The data of a check's alarm shall be read now."""

    check: HealthCheck
    ticket: int


@dataclass(frozen=True)
class StatusChanged:
    """A health check's status, as DNS sees it, is another one."""

    health_check_id: str
    healthy: bool
    at_ms: int


HealthEffect = StartProbe | ReadMetric | StatusChanged


@dataclass
class Opinion:
    """What one checker thinks. `healthy` flips after `failure_threshold` results in a row against it."""

    checker: Checker
    healthy: bool = True
    against: int = 0
    last: ProbeResult | None = None
    checked_ms: int | None = None
    failed: ProbeResult | None = None
    failed_ms: int | None = None

    def take(self, result: ProbeResult, failure_threshold: int, now_ms: int) -> None:
        self.last, self.checked_ms = result, now_ms
        if not result.ok:
            self.failed, self.failed_ms = result, now_ms
        self.against = self.against + 1 if result.ok != self.healthy else 0
        if self.against >= failure_threshold:
            self.healthy, self.against = result.ok, 0


@dataclass
class CheckState:
    """One health check. `raw` is its status before inversion and faults, `healthy` what DNS sees."""

    check: HealthCheck
    opinions: list[Opinion]
    raw: bool
    healthy: bool
    since_ms: int
    ticket: int
    slots: dict[int, int] = field(default_factory=dict)


class HealthMachine:
    """All health checks. Each event returns effects, to be performed in their order."""

    def __init__(self, rng: random.Random, *, speed: float = 1.0) -> None:
        self._rng = rng
        self._speed = speed
        self._states: dict[str, CheckState] = {}
        self._parents: dict[str, list[str]] = {}
        self._controls: dict[str, bool] = {}
        self._reported: dict[str, bool] = {}
        self._heap: list[tuple[float, int, str, int]] = []
        self._tickets = 0
        self._woken_ms = 0

    # what is known

    def is_healthy(self, health_check_id: str) -> bool:
        """A check's status as DNS sees it; an id that is not known (any more) counts as healthy."""
        state = self._states.get(health_check_id)
        return state is None or state.healthy

    @property
    def states(self) -> dict[str, CheckState]:
        """Every check's state, by id."""
        return self._states

    def healthy_children(self, health_check_id: str) -> int:
        """How many children of a CALCULATED check are healthy."""
        return sum(self.is_healthy(child) for child in self._states[health_check_id].check.child_health_checks)

    # events

    def next_wake_ms(self) -> float | None:
        """When `on_wake` wants to be called; None if nothing is due ever."""
        if not self._heap:
            return None
        due_ms = self._heap[0][0]
        return due_ms if len(self._heap) < LULL_FROM else max(due_ms, self._woken_ms + LULL_MS / self._speed)

    def on_wake(self, now_ms: int) -> list[HealthEffect]:
        """Start what is due."""
        self._woken_ms = now_ms
        effects: list[HealthEffect] = []
        while self._heap and self._heap[0][0] <= now_ms:
            _, ticket, health_check_id, slot = heapq.heappop(self._heap)
            state = self._states.get(health_check_id)
            if state is None or state.slots.get(ticket) != slot:
                continue
            if state.check.type == "CLOUDWATCH_METRIC":
                effects.append(ReadMetric(state.check, ticket))
            else:
                effects.append(StartProbe(state.check, state.opinions[slot].checker, ticket))
        return effects

    def on_configured(self, checks: HealthChecks, now_ms: int) -> list[HealthEffect]:
        """Take the published checks: unchanged ones go on as they are, changed ones keep what they know if they can."""
        before, self._states = self._states, {}
        self._controls = checks.routing_controls or {}
        for check in checks.checks:
            self._states[check.health_check_id] = self._configured(before.get(check.health_check_id), check, now_ms)
        self._parents = {}
        for check in checks.checks:
            for child in check.child_health_checks:
                self._parents.setdefault(child, []).append(check.health_check_id)
        effects: list[HealthEffect] = []
        for health_check_id, state in self._states.items():
            known = before.get(health_check_id)
            changes = self._update(state, now_ms)
            effects += changes
            if known is None and not state.healthy and not changes:
                effects.append(StatusChanged(health_check_id, False, now_ms))  # unknown counted as healthy
        effects += [
            StatusChanged(gone, True, now_ms)
            for gone, state in before.items()
            if gone not in self._states and not state.healthy
        ]
        return effects

    def on_result(self, ticket: int, health_check_id: str, result: ProbeResult, now_ms: int) -> list[HealthEffect]:
        """Take a probe's result; the checker's next probe is an interval from now, when the response came."""
        state = self._states.get(health_check_id)
        slot = None if state is None else state.slots.pop(ticket, None)
        if state is None or slot is None:
            return []
        state.opinions[slot].take(result, state.check.failure_threshold, now_ms)
        self._schedule(state, slot, now_ms + self._interval_ms(state.check))
        return self._update(state, now_ms)

    def on_metric(self, ticket: int, health_check_id: str, status: bool | None, now_ms: int) -> list[HealthEffect]:
        """Take what an alarm's data says; None is not enough data."""
        state = self._states.get(health_check_id)
        slot = None if state is None else state.slots.pop(ticket, None)
        if state is None or slot is None:
            return []
        state.raw = _with_insufficient_data(state, status)
        self._schedule(state, slot, now_ms + METRIC_PERIOD_MS / self._speed)
        return self._update(state, now_ms)

    def on_faults(self, faults: FaultSet, now_ms: int) -> list[HealthEffect]:
        """Take the faults in force: a reported status stands over the measured one."""
        reported: dict[str, bool] = {}
        for fault in faults.faults:
            if fault.effect == "health_reported" and fault.health_check_id is not None and fault.healthy is not None:
                reported.setdefault(fault.health_check_id, fault.healthy)
        touched = list(dict.fromkeys([*self._reported, *reported]))
        self._reported = reported
        return [
            effect
            for health_check_id in touched
            if health_check_id in self._states
            for effect in self._update(self._states[health_check_id], now_ms)
        ]

    # decisions

    def _interval_ms(self, check: HealthCheck) -> float:
        return check.request_interval * 1000 / self._speed

    def _configured(self, known: CheckState | None, check: HealthCheck, now_ms: int) -> CheckState:
        if known is not None and known.check == check:
            return known
        endpoint = check.type in ENDPOINT_TYPES
        opinions = [Opinion(checker) for checker in checkers_of(check)] if endpoint else []
        if known is None:
            # New checks are healthy until there is enough data, and unhealthy if they are inverted.
            state = CheckState(check, opinions, True, not check.inverted, now_ms, 0)
        else:
            kept = {opinion.checker: opinion for opinion in known.opinions}
            opinions = [kept.get(opinion.checker, opinion) for opinion in opinions]
            state = CheckState(check, opinions, known.raw, known.healthy, known.since_ms, 0)
        if check.disabled:
            return state
        for slot in range(len(opinions)):
            # The checkers do not coordinate: each begins somewhere in the first interval.
            self._schedule(state, slot, now_ms + self._rng.random() * self._interval_ms(check))
        if check.type == "CLOUDWATCH_METRIC":
            self._schedule(state, 0, now_ms)
        return state

    def _schedule(self, state: CheckState, slot: int, when_ms: float) -> None:
        self._tickets += 1
        state.slots[self._tickets] = slot
        heapq.heappush(self._heap, (when_ms, self._tickets, state.check.health_check_id, slot))

    def _measured(self, state: CheckState) -> bool:
        check = state.check
        match check.type:
            case "CALCULATED":
                return self.healthy_children(check.health_check_id) >= check.health_threshold
            case "RECOVERY_CONTROL":
                return self._controls.get(check.routing_control_arn or "", False)
            case "CLOUDWATCH_METRIC":
                return state.raw
        return enough_agree([opinion.healthy for opinion in state.opinions])

    def _update(self, state: CheckState, now_ms: int) -> list[HealthEffect]:
        check = state.check
        state.raw = self._measured(state)
        healthy = (True if check.disabled else state.raw) != check.inverted
        healthy = self._reported.get(check.health_check_id, healthy)
        if healthy == state.healthy:
            return []
        state.healthy, state.since_ms = healthy, now_ms
        effects: list[HealthEffect] = [StatusChanged(check.health_check_id, healthy, now_ms)]
        for parent in self._parents.get(check.health_check_id, []):
            effects += self._update(self._states[parent], now_ms)
        return effects


def _with_insufficient_data(state: CheckState, status: bool | None) -> bool:
    if status is not None:
        return status
    match state.check.insufficient_data_health_status:
        case "Healthy":
            return True
        case "Unhealthy":
            return False
    return state.raw
