"""Waiting for what happens in its own time: asked again and again, with what was last seen where it never comes."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar, cast

from lab.errors import LabError

T = TypeVar("T")
WITHIN_S = 60.0
"""It only bounds how long a failure takes: a machine that is slow, or stands still for seconds, is no failure."""
POLL_S = 0.01
NOT_YET = (AssertionError, LabError, OSError)
"""What a condition may raise because something is not there yet; anything else is a mistake in the test."""
What = str | Callable[[], str]


def eventually(condition: Callable[[], T], what: What = "", within_s: float = WITHIN_S) -> T:
    """Ask until the condition gives something true, and return that. `what` is what a failure says was waited for."""
    wait = _Wait(what, within_s)
    while True:
        with wait:
            value = condition()
            if value:
                return value
            wait.seen = repr(value)
        wait.go_on()
        time.sleep(POLL_S)


async def eventually_async(condition: Callable[[], T | Awaitable[T]], what: What = "", within_s: float = WITHIN_S) -> T:
    """The same in an event loop; the condition may be one to await."""
    wait = _Wait(what, within_s)
    while True:
        with wait:
            asked = condition()
            value = await asked if inspect.isawaitable(asked) else cast(T, asked)
            if value:
                return value
            wait.seen = repr(value)
        wait.go_on()
        await asyncio.sleep(POLL_S)


class _Wait:
    """A deadline, and what was last seen; as a context manager it lets pass what may be raised meanwhile."""

    def __init__(self, what: What, within_s: float) -> None:
        self._what, self._within_s = what, within_s
        self._end = time.monotonic() + within_s
        self.seen = ""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if not isinstance(error, NOT_YET):
            return False
        self.seen = f"{type(error).__name__}: {error}"
        return True

    def go_on(self) -> None:
        """Raises AssertionError when the time is over."""
        if time.monotonic() >= self._end:
            told = self._what if isinstance(self._what, str) else self._what()
            raise AssertionError(f"not within {self._within_s:g} s: {told or 'the condition'}; last seen: {self.seen}")
