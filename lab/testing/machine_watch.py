"""Whether the machine kept up with a test on a lab that is no drill: drills measure this themselves.

On a machine that is overloaded, or stands still, health checks of a lab that is thirty times as fast as AWS fail for
that alone; such a run is neither right nor wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType

from lab.core.drill_machine import OVERLOADED, slowdown
from lab.drills.machine import watch_machine
from lab.drills.recorder import Recorder
from lab.testing.lab import Lab


class MachineWatch:
    """Measures, in a thread, while the block of `with` runs."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._recorder = lab, Recorder()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(watch_machine(lab, self._recorder))
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def overload(self) -> str:
        """What a test that failed for an overloaded machine has to say; "" if it kept up so far."""
        samples = self._recorder.history().machine
        worst = slowdown(self._recorder.history(), samples[0].begun_ms, samples[-1].ended_ms) if samples else None
        if worst is None or worst < OVERLOADED:
            return ""
        return f"the machine was overloaded: work took {worst:.0f} times as long as alone, so this run proves nothing"

    def __enter__(self) -> MachineWatch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
