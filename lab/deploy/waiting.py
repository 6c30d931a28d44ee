"""Waiting for a condition with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from lab.errors import LabUnreachable

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, *, within_s: float = 60.0, every_s: float = 0.005) -> T:
    """The first true value of the condition, asked ever less often. Raises LabUnreachable at the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabUnreachable(f"waited {within_s:g} s for {what}")
        time.sleep(every_s)
        every_s = min(every_s * 1.5, 0.25)
