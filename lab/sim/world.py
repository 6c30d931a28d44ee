"""Virtual time: one queue of what is to happen, in order of time and then of arrival, and named randoms.

It knows nothing of regions. Nothing here reads a clock; the same seed gives the same run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable


class World:
    """Virtual milliseconds from `start_ms` on."""

    def __init__(self, seed: int, start_ms: int = 0) -> None:
        self._seed = seed
        self.now_ms = start_ms
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0

    def random(self, name: str) -> random.Random:
        """A random of its own for each consumer of chance."""
        return random.Random(f"{self._seed}:{name}")

    def after(self, delay_ms: int, happening: Callable[[], None]) -> None:
        """Have something happen later, after all that is to happen at the same time already."""
        self._sequence += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._sequence, happening))

    def at(self, when_ms: int, happening: Callable[[], None]) -> None:
        """Have something happen at a time, or now if that has passed."""
        self.after(max(0, when_ms - self.now_ms), happening)

    def run(self, until_ms: int) -> None:
        """Let everything happen that is due up to a time."""
        while self._queue and self._queue[0][0] <= until_ms:
            self.now_ms, _, happening = heapq.heappop(self._queue)
            happening()
        self.now_ms = max(self.now_ms, until_ms)
