"""One event on its way through a function, and what came of it. Passive records between pool, environment and front."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Outcome:
    """What an environment made of an event.

    `error` is None or "Unhandled"; `tail` has the lines of this invocation if asked for.
    """

    payload: bytes
    error: str | None
    duration_ms: float
    init_ms: float | None
    tail: deque[str] | None


@dataclass(slots=True, eq=False)
class Event:
    """One event.

    `client_context` is JSON text of ASCII; `future` gets the outcome, or is cancelled by a caller who left.
    """

    payload: bytes
    arn: str
    future: asyncio.Future[Outcome]
    trace_id: str
    client_context: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    tail: deque[str] | None = None

    def settle(self, outcome: Outcome) -> None:
        """Tell the caller, if it is still there."""
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: Exception) -> None:
        """Tell the caller that the event was not handled to its end."""
        if not self.future.done():
            self.future.set_exception(error)
