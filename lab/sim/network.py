"""Calls from the replicator to engines in virtual time: delayed, lost on the way there or back, executed after all.

Who calls is told once: what the engine answered, or None when it has waited long enough. A request that was given up
may still be executed later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lab.sim.engine import SimEngine
from lab.sim.world import World

TIMEOUT_MS = 250
T = TypeVar("T")


class Network:
    """The ways to the engines. `drop` is a probability; `slow` makes some calls longer than the timeout."""

    def __init__(self, world: World, delay_ms: int) -> None:
        self._world, self._longest_ms = world, delay_ms
        self._chance = world.random("network")
        self.drop = 0.0
        self.slow = False
        self.under_way = 0

    def call(
        self, engine: SimEngine, execute: Callable[[], T], on_answer: Callable[[T | None, int, bool], None]
    ) -> None:
        """Execute something at an engine; `on_answer` gets the answer, the engine's boot, and whether it was reached.

        None and reached: nobody knows whether it was executed. None and not reached: it was not, and will not be.
        """
        told = False

        def tell(answer: T | None, boot: int, reached: bool) -> None:
            nonlocal told
            if not told:
                told = True
                on_answer(answer, boot, reached)

        def arrive() -> None:
            self.under_way -= 1
            if not engine.alive:
                tell(None, 0, False)
                return
            answer, boot = execute(), engine.boot
            if self._chance.random() >= self.drop:
                self._world.after(self._delay_ms(), lambda: tell(answer, boot, True))

        if self._chance.random() >= self.drop:
            self.under_way += 1
            self._world.after(self._delay_ms(), arrive)
        self._world.after(TIMEOUT_MS, lambda: tell(None, 0, True))

    def _delay_ms(self) -> int:
        if self.slow and self._chance.random() < 0.3:
            return self._chance.randint(10, 2 * TIMEOUT_MS)
        return self._chance.randint(0, self._longest_ms)
