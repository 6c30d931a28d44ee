"""A drill's timeline: what happened when, counted from the fault, made from a history's events and operations."""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.drill_availability import PlaceRecord
from lab.core.history import Event, History

WORDS = {
    "load": "steady load begins",
    "lag": "replication out of the region falls behind",
    "fault": "fault",
    "cut": "replication cut",
    "data_lost": "the region's data is gone",
    "first_failed": "first failed request",
    "detected": "detected: health check unhealthy",
    "dns_changed": "DNS answers with another region",
    "first_success": "first success again",
    "recovered": "served without a miss from here on",
    "healed": "healed",
    "healthy": "health check healthy",
    "dns_returned": "DNS answers with the region again",
    "returned": "served by its own region again",
    "converged": "converged: nothing left to replicate",
    "not_converged": "replication did not finish",
}
"""What a kind of event is called on a timeline."""


@dataclass(frozen=True)
class Moment:
    """One line. `offset_ms` is counted from the fault, negative before it."""

    offset_ms: int
    time_ms: int
    kind: str
    text: str
    region: str | None = None
    place: str | None = None


def timeline(history: History, records: tuple[PlaceRecord, ...], zero_ms: int) -> tuple[Moment, ...]:
    """All moments in the order of time; what clients saw is joined to the recorded events."""
    events = list(history.events)
    for record in records:
        if record.first_failed_ms is None:
            continue
        events.append(Event(record.first_failed_ms, "first_failed", place=record.place, region=record.region_before))
        if record.first_success_ms is not None:
            events.append(Event(record.first_success_ms, "first_success", record.region_during, record.place))
        if record.recovered_ms not in (None, record.first_success_ms):
            assert record.recovered_ms is not None
            events.append(Event(record.recovered_ms, "recovered", record.region_during, record.place))
    return tuple(_moment(event, zero_ms) for event in sorted(events, key=lambda event: event.time_ms))


def _moment(event: Event, zero_ms: int) -> Moment:
    return Moment(event.time_ms - zero_ms, event.time_ms, event.kind, event_text(event), event.region, event.place)


def event_text(event: Event) -> str:
    """An event in words: what happened, to whom, and what is known of it."""
    text = WORDS.get(event.kind, event.kind)
    subject = ", ".join(part for part in (event.place, event.region) if part)
    if subject:
        text = f"{text} ({subject})"
    return f"{text}: {event.detail}" if event.detail else text
