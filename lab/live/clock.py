"""Wall time in milliseconds, and waits divided by the lab's speed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

DEADLINE_FLOOR_S = 1.0
"""A deadline on real work is divided by the speed but is never shorter than this."""
HANDLER_FLOOR_S = 3.0
"""The same for users' handlers: what is late on a busy machine and killed for it starts again, and makes it busier."""


def now_ms() -> int:
    """Milliseconds since the epoch, by the machine's clock."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Clock:
    """The lab's pace. A lab second takes 1/speed real seconds where it is a wait."""

    speed: float = 1.0

    def wait_s(self, lab_ms: float) -> float:
        """Real seconds that a wait of so many lab milliseconds takes."""
        return lab_ms / 1000.0 / self.speed

    def deadline_s(self, lab_ms: float, *, floor_s: float = DEADLINE_FLOOR_S) -> float:
        """Real seconds that real work limited to so many lab milliseconds may take."""
        real = lab_ms / 1000.0
        return min(real, max(real / self.speed, floor_s))

    async def sleep(self, lab_ms: float) -> None:
        """Wait for so many lab milliseconds."""
        await asyncio.sleep(self.wait_s(lab_ms))
