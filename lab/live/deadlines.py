"""Deadlines of many short waits behind one timer of the event loop.

A timer a wait costs a heap's push and leaves a cancelled handle behind, on a path that is taken thousands of times a
second and hardly ever late. Here a wait costs an entry in a dict; the timer is set anew only when it fires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadlines:
    """Waits of one event loop, each with a callback for when it takes too long."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waits: dict[int, tuple[float, Callable[[], object]]] = {}
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit_s: float, expired: Callable[[], object]) -> int:
        """Begin a wait; `expired` is called once after `limit_s` seconds unless it has ended. Returns its token."""
        due = self._loop.time() + limit_s
        token = self._next = self._next + 1
        self._waits[token] = (due, expired)
        if self._timer is None or due < self._timer.when():
            self._arm(due)
        return token

    def expired(self, token: int) -> bool:
        """Whether a wait that has not been ended took too long."""
        return token not in self._waits

    def end(self, token: int) -> None:
        """The wait is over."""
        self._waits.pop(token, None)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = [token for token, (due, _) in self._waits.items() if due <= now]
        for token in late:
            wait = self._waits.pop(token, None)
            if wait is not None:  # not ended by the callback of another
                wait[1]()
        if self._waits:
            self._arm(min(due for due, _ in self._waits.values()))
