"""Collects a drill's history while it runs."""

from __future__ import annotations

from collections.abc import Callable

from lab.core.history import Event, History, LostWrite, MachineSample, Operation, Replicas
from lab.live.clock import now_ms


class Recorder:
    """Appends operations and events; `history` is what has been recorded."""

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        self._operations: list[Operation] = []
        self._events: list[Event] = []
        self._machine: list[MachineSample] = []
        self._on_event = on_event
        self.before: Replicas | None = None
        self.replicas: Replicas | None = None
        self.lost: tuple[LostWrite, ...] = ()
        self.losses_unknown: dict[str, str] = {}

    def operation(self, operation: Operation) -> None:
        """A client's call has ended."""
        self._operations.append(operation)

    def machine(self, sample: MachineSample) -> None:
        """What the lab got of the machine since the last sample."""
        self._machine.append(sample)

    def event(
        self,
        kind: str,
        *,
        region: str | None = None,
        place: str | None = None,
        detail: str = "",
        time_ms: int | None = None,
    ) -> None:
        """Something happened, now unless `time_ms` says when."""
        event = Event(now_ms() if time_ms is None else time_ms, kind, region, place, detail)
        self._events.append(event)
        if self._on_event is not None:
            self._on_event(event)

    def history(self) -> History:
        """Everything recorded so far."""
        return History(
            tuple(self._operations),
            tuple(self._events),
            self.before,
            self.replicas,
            self.lost,
            self.losses_unknown,
            tuple(self._machine),
        )
