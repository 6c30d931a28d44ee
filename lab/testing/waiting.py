"""Waiting for a condition, with a deadline that follows the lab's pace and an error that says what was last seen."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")
POLL_S = 0.05
DEADLINE_FLOOR_S = 15.0
"""No deadline is shorter than this in real time, however fast the lab runs: the work behind it is real, and a busy
machine takes seconds for it. It bounds how long a failure takes, and nothing else."""


class NotYet(AssertionError):
    """The condition did not come to hold in time."""


@contextlib.contextmanager
def on_time() -> Iterator[None]:
    """What is asserted in the block is about how long something took. A failure is raised as NotYet."""
    try:
        yield
    except AssertionError as error:
        raise NotYet(str(error)) from error


def deadline_s(within_s: float, speed: float) -> float:
    """Real seconds that so many lab seconds may take: divided by the speed, but not below the floor."""
    return min(within_s, max(within_s / speed, DEADLINE_FLOOR_S)) if speed > 1 else within_s / speed


def eventually(condition: Callable[[], T], *, within_s: float, speed: float) -> T:
    """Ask until the condition is true, and return its value. Raises NotYet with what was last seen.

    A condition that raises because something is not there yet (no answer, an AWS error, a failed assertion) is asked
    again; any other exception is a mistake in the test and is raised at once.
    """
    limit_s = deadline_s(within_s, speed)
    began = time.monotonic()
    while True:
        error: Exception | None = None
        value: T | None = None
        try:
            value = condition()
            if value:
                return value
        except _not_there_yet() as caught:
            error = caught
        took_s = time.monotonic() - began
        if took_s >= limit_s:
            seen = f"{type(error).__name__}: {error}" if error is not None else repr(value)
            raise NotYet(f"not within {limit_s:.1f} s ({within_s:g} s of the lab); last seen: {seen}") from error
        time.sleep(min(POLL_S, max(0.001, limit_s - took_s)))


def _not_there_yet() -> tuple[type[Exception], ...]:
    kinds: tuple[type[Exception], ...] = (AssertionError, LabError, OSError)
    if "botocore.exceptions" in sys.modules:  # nobody can raise it otherwise, and importing it is slow
        from botocore.exceptions import BotoCoreError, ClientError

        kinds += (BotoCoreError, ClientError)
    return kinds
