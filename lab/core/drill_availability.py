"""What each place lived through during a drill: availability by phase, first failure, recovery time, who served it.

A request is available if its outcome is `ok`. Load is offered at a fixed rate whatever the answers (an open loop), so
the share of failed requests is the share of time, hangs included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.core.consistency import Finding, judged
from lab.core.history import History, Operation


@dataclass(frozen=True)
class Share:
    """How many of a number of requests were answered."""

    ok: int
    attempts: int

    @property
    def percent(self) -> float | None:
        """None if nothing was attempted: no evidence is not 100 %."""
        return None if not self.attempts else 100.0 * self.ok / self.attempts


@dataclass(frozen=True)
class PlaceRecord:
    """One place's drill. Times are in milliseconds since the epoch, None if it did not happen.

    `recovered_ms` is the end of the first success after the place's last failure of the outage: from then on it was
    served without a miss. It is `fault_ms` for a place that never failed, and None for one that never recovered.
    `unexpected` are the requests that failed before the fault or after the heal.
    """

    place: str
    steady: Share
    outage: Share
    after_heal: Share
    first_failed_ms: int | None
    first_success_ms: int | None
    recovered_ms: int | None
    region_before: str | None
    region_during: str | None
    region_after: str | None
    unexpected: tuple[Operation, ...] = ()

    def recovery_time_ms(self, fault_ms: int) -> int | None:
        """From the fault to the moment after which every request was served."""
        return None if self.recovered_ms is None else max(0, self.recovered_ms - fault_ms)


def place_records(history: History, places: Iterable[str], fault_ms: int, healed_ms: int) -> tuple[PlaceRecord, ...]:
    """One record a place, in the order given."""
    return tuple(_record(history, place, fault_ms, healed_ms) for place in places)


def _record(history: History, place: str, fault_ms: int, healed_ms: int) -> PlaceRecord:
    mine = sorted((op for op in history.operations if op.client == place), key=lambda op: op.ended_ms)
    steady = [op for op in mine if op.ended_ms < fault_ms]
    # A request that was under way when the fault came is the outage's; one under way at the heal too.
    outage = [op for op in mine if op.ended_ms >= fault_ms and op.begun_ms < healed_ms]
    after = [op for op in mine if op.begun_ms >= healed_ms]
    failed = [op for op in outage if op.outcome != "ok"]
    succeeded = [op for op in outage if op.outcome == "ok"]
    if failed:
        first_success = _first_end(op for op in succeeded if op.ended_ms > failed[0].ended_ms)
        recovered = _first_end(op for op in succeeded if op.begun_ms >= max(f.begun_ms for f in failed))
    else:
        first_success = _first_end(op for op in succeeded if op.begun_ms >= fault_ms)
        recovered = fault_ms if succeeded else None
    return PlaceRecord(
        place,
        _share(steady),
        _share(outage),
        _share(after),
        failed[0].ended_ms if failed else None,
        first_success,
        recovered,
        _last_region(steady),
        _last_region(outage),
        _last_region(after),
        tuple(op for op in (*steady, *after) if op.outcome != "ok"),
    )


def _first_end(operations: Iterable[Operation]) -> int | None:
    return min((op.ended_ms for op in operations), default=None)


def _share(operations: list[Operation]) -> Share:
    return Share(sum(op.outcome == "ok" for op in operations), len(operations))


def _last_region(operations: list[Operation]) -> str | None:
    return next((op.region for op in reversed(operations) if op.outcome == "ok"), None)


def every_place_recovered(records: tuple[PlaceRecord, ...], fault_ms: int, bound_ms: int) -> Finding:
    """Every place was served again, for good, within `bound_ms` of the fault."""
    name = "every place was served again in time"
    if not records or any(record.outage.attempts == 0 for record in records):
        return Finding(name, "unknown", "a place sent no request during the outage")
    wrong = []
    for record in records:
        took_ms = record.recovery_time_ms(fault_ms)
        if took_ms is None:
            wrong.append(f"{record.place} was not served again before the region was healed")
        elif took_ms > bound_ms:
            wrong.append(f"{record.place} was served again after {took_ms} ms; detection and TTL allow {bound_ms} ms")
    slowest = max((r.recovery_time_ms(fault_ms) or 0 for r in records), default=0)
    return judged(
        name,
        wrong,
        good=f"the slowest after {slowest} ms; detection and TTL allow {bound_ms} ms",
        bad=f"{len(wrong)} of {len(records)} places were not served again in time",
    )


def the_fault_was_felt(records: tuple[PlaceRecord, ...]) -> Finding:
    """At least one place was served by the failed region and lost requests: a drill nobody felt proves nothing."""
    name = "the fault was felt"
    felt = [record for record in records if record.first_failed_ms is not None]
    if not felt:
        return Finding(name, "unknown", "no request failed: no place was using the region")
    lost = sum(record.outage.attempts - record.outage.ok for record in felt)
    return Finding(name, "pass", f"{lost} requests failed, from {', '.join(record.place for record in felt)}")


def steady_before_the_fault(records: tuple[PlaceRecord, ...]) -> Finding:
    """Before the fault every request was answered; otherwise the drill measured something else."""
    name = "steady before the fault"
    if not records or any(record.steady.attempts == 0 for record in records):
        return Finding(name, "unknown", "a place sent no request before the fault")
    wrong = [
        f"{record.place}: {record.steady.attempts - record.steady.ok} of {record.steady.attempts} requests failed"
        for record in records
        if record.steady.ok < record.steady.attempts
    ]
    wrong += _told(records, wrong)
    total = sum(record.steady.attempts for record in records)
    return judged(name, wrong, good=f"{total} requests, all answered", bad="requests failed before the fault")


def traffic_returned(records: tuple[PlaceRecord, ...]) -> Finding:
    """After the heal every place is served by the region that served it before, and no request failed on the way."""
    name = "traffic returned"
    if not records or any(record.after_heal.attempts == 0 for record in records):
        return Finding(name, "unknown", "a place sent no request after the heal")
    wrong = [
        f"{record.place} is served by {record.region_after}, before the fault by {record.region_before}"
        for record in records
        if record.region_after != record.region_before
    ]
    wrong += [
        f"{record.place}: {record.after_heal.attempts - record.after_heal.ok} requests failed after the heal"
        for record in records
        if record.after_heal.ok < record.after_heal.attempts
    ]
    wrong += _told(records, wrong)
    return judged(
        name,
        wrong,
        good=f"{sum(record.after_heal.attempts for record in records)} requests after the heal, all answered",
        bad="the heal was not clean",
    )


def _told(records: tuple[PlaceRecord, ...], wrong: list[str]) -> list[str]:
    """What the requests met that should not have failed, if any did."""
    if not wrong:
        return []
    return [
        f"{op.action} from {op.client} to {op.region}: {op.status or 'no answer'} "
        f"after {op.ended_ms - op.begun_ms} ms {op.detail}"
        for record in records
        for op in record.unexpected[:3]
    ]
