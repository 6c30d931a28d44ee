"""A drill's report: what the history of an outage or a split brain proves, in one value that people and JSON read."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.core import drill_availability as availability
from lab.core.consistency import (
    EXIT_STATUS,
    Finding,
    Verdict,
    acknowledged_writes_survive,
    losses_are_accounted,
    losses_unknown,
    no_phantom_items,
    overall,
    reads_were_right,
    replicas_agree,
)
from lab.core.consistency_last_writer import contests, last_writer_won, replicas_diverged
from lab.core.drill_bound import FailoverBound
from lab.core.drill_machine import judged_in_time, the_machine_kept_up
from lab.core.drill_timeline import Moment, timeline
from lab.core.history import History
from lab.core.scenario import OutageScenario, SplitBrainScenario

FOREVER_MS = 2**62


@dataclass(frozen=True)
class PlaceLine:
    """One place's line of the table. Times are real milliseconds from the fault."""

    place: str
    region_before: str | None
    region_during: str | None
    region_after: str | None
    recovery_time_ms: int | None
    requests: int
    failed: int
    availability_percent: float | None
    after_heal_percent: float | None


@dataclass(frozen=True)
class ContestLine:
    """One contested key's line: the writes in order and where each was made, and who won.

    `values` are what each region has at the end.
    """

    key: str
    written_in: tuple[str, ...]
    writes: tuple[str, ...]
    winner: str | None
    winner_region: str | None
    values: dict[str, str | None]


@dataclass(frozen=True)
class Report:
    """What `lab drill` prints and `--json` emits.

    `recovery_time_ms` is the slowest place's, `recovery_point_ms` the age of the oldest lost write at the moment of
    the fault (0: nothing was lost); None where there was nothing to measure. `losses_unknown` says of which regions it
    is not known what was lost, and why: there may have been more than `lost_writes`.
    """

    drill: str
    title: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    timeline: tuple[Moment, ...] = ()
    places: tuple[PlaceLine, ...] = ()
    contests: tuple[ContestLine, ...] = ()
    recovery_time_ms: int | None = None
    recovery_point_ms: int | None = None
    lost_writes: int = 0
    losses_unknown: dict[str, str] = field(default_factory=dict)
    acknowledged_writes: int = 0
    bound: FailoverBound | None = None
    speed: float = 1.0

    @property
    def exit_status(self) -> int:
        """0 pass, 1 fail, 2 unknown."""
        return EXIT_STATUS[self.verdict]


def impossible_report(name: str, scenario: OutageScenario, reason: str, *, speed: float = 1.0) -> Report:
    """The report of a drill whose fault cannot be caused from where it runs: it has not begun, and proves nothing."""
    finding = Finding("the fault can be caused from here", "unknown", reason)
    return Report(name, _outage_title(scenario), "unknown", (finding,), speed=speed)


def outage_report(
    name: str, scenario: OutageScenario, history: History, bound: FailoverBound, *, speed: float = 1.0
) -> Report:
    """The report of an outage drill. A history without a fault proves nothing."""
    fault, healed = history.first("fault"), history.first("healed")
    title = _outage_title(scenario)
    if fault is None or healed is None:
        finding = Finding("the drill ran", "unknown", "the fault was never put in force, or never lifted")
        return Report(name, title, "unknown", (finding,), timeline(history, (), 0), bound=bound, speed=speed)
    records = availability.place_records(history, scenario.places, fault.time_ms, healed.time_ms)
    on_time = [
        availability.steady_before_the_fault(records),
        availability.every_place_recovered(records, fault.time_ms, bound.total_ms),
        availability.traffic_returned(records),
        converged(history),
    ]
    times = (
        (0, fault.time_ms),
        (fault.time_ms, healed.time_ms),
        (healed.time_ms, FOREVER_MS),
        (healed.time_ms, FOREVER_MS),
    )
    judged = [judged_in_time(finding, history, *time) for finding, time in zip(on_time, times, strict=True)]
    steady, recovered, returned, finished = judged
    findings = [
        steady,
        availability.the_fault_was_felt(records),
        recovered,
        returned,
        reads_were_right(history),
        finished,
        acknowledged_writes_survive(history),
        no_phantom_items(history),
        replicas_agree(history),
    ]
    if scenario.lose_data:
        findings += [something_was_lost(history), losses_are_accounted(history)]
    else:
        findings.append(nothing_was_lost(history))
    findings.append(the_machine_kept_up(history, in_the_way=judged != on_time))
    recovery = [record.recovery_time_ms(fault.time_ms) for record in records]
    return Report(
        name,
        title,
        overall(findings),
        tuple(findings),
        timeline(history, records, fault.time_ms),
        tuple(_place_line(record, fault.time_ms) for record in records),
        recovery_time_ms=None if not recovery or None in recovery else max(ms for ms in recovery if ms is not None),
        recovery_point_ms=recovery_point_ms(history, fault.time_ms),
        lost_writes=len(history.lost),
        losses_unknown=history.losses_unknown,
        acknowledged_writes=len(history.writes("ok")),
        bound=bound,
        speed=speed,
    )


def split_brain_report(name: str, scenario: SplitBrainScenario, history: History, *, speed: float = 1.0) -> Report:
    """The report of a split brain: which writes won, and whether the replicas agree on them."""
    findings = (
        replicas_diverged(history),
        converged(history),
        last_writer_won(history),
        replicas_agree(history),
        nothing_was_lost(history),
    )
    cut = history.first("cut")
    lines = tuple(
        ContestLine(
            contest.key,
            tuple(op.region or op.client for op in contest.writes),
            tuple(op.value or "(deleted)" for op in contest.writes),
            contest.winner.value if contest.winner else None,
            contest.winner.region if contest.winner else None,
            contest.values,
        )
        for contest in contests(history)
    )
    return Report(
        name,
        f"{scenario.region_a} and {scenario.region_b} both live, replication between them is cut",
        overall(findings),
        findings,
        timeline(history, (), cut.time_ms if cut else 0),
        contests=lines,
        acknowledged_writes=len(history.writes("ok")),
        lost_writes=len(history.lost),
        losses_unknown=history.losses_unknown,
        speed=speed,
    )


def recovery_point_ms(history: History, fault_ms: int) -> int | None:
    """How old the oldest lost write was when the region failed; 0 if none was lost, None if that is not known."""
    if history.replicas is None or history.losses_unknown:
        return None
    return max((fault_ms - write.time_ms for write in history.lost), default=0)


def converged(history: History) -> Finding:
    """The replicator said that nothing was left to ship."""
    name = "replication finished"
    event = history.first("converged")
    if event is not None:
        return Finding(name, "pass", event.detail or "nothing is left to replicate")
    late = history.first("not_converged")
    if late is not None:
        return Finding(name, "fail", late.detail or "replication did not finish in time")
    return Finding(name, "unknown", "nobody asked")


def nothing_was_lost(history: History) -> Finding:
    """The lab reports no lost write: the region kept its data."""
    name = "nothing was lost"
    if history.replicas is None:
        return Finding(name, "unknown", "the drill ended before losses were read")
    if history.lost:
        examples = tuple(f"{write.key}, written in {write.region}" for write in history.lost[:10])
        return Finding(name, "fail", f"{len(history.lost)} writes are reported as lost", examples)
    if history.losses_unknown:
        return losses_unknown(name, history)
    return Finding(name, "pass", "no write is reported as lost")


def something_was_lost(history: History) -> Finding:
    """A drill that loses data but lost nothing shows nothing about losses."""
    name = "the loss is visible"
    if not history.lost and history.losses_unknown:
        return losses_unknown(name, history)
    if not history.lost:
        return Finding(name, "unknown", "everything had left the region before it died")
    return Finding(name, "pass", f"{len(history.lost)} writes had not left {history.lost[0].region}")


def _outage_title(scenario: OutageScenario) -> str:
    how = "hangs" if scenario.hang else "goes down"
    return f"{scenario.region} {how}{' and loses its data' if scenario.lose_data else ''}"


def _place_line(record: availability.PlaceRecord, fault_ms: int) -> PlaceLine:
    return PlaceLine(
        record.place,
        record.region_before,
        record.region_during,
        record.region_after,
        record.recovery_time_ms(fault_ms),
        record.outage.attempts,
        record.outage.attempts - record.outage.ok,
        record.outage.percent,
        record.after_heal.percent,
    )
