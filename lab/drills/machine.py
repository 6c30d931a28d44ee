"""Measures during a drill what the lab gets of the machine: how long its threads ran and waited for a processor."""

from __future__ import annotations

import asyncio
import os
from itertools import count
from pathlib import Path

from lab.core.history import MachineSample
from lab.drills.recorder import Recorder
from lab.live.clock import now_ms
from lab.supervisor.memory import process_tree
from lab.testing.lab import Lab

SAMPLE_S = 0.5
SAMPLES_OF_PROCESSES = 10
STILL_MS = 1000
"""A sample that takes longer: the machine stood still for the rest, and the kernel counts no waiting for that."""


async def watch_machine(lab: Lab, recorder: Recorder) -> None:
    """Record samples until cancelled; none where the kernel does not tell, or the lab runs on another machine.

    The drill's own process counts as well: its clients must keep up too.
    """
    roots = await asyncio.to_thread(lambda: lab.running.processes)
    if not roots:
        return
    before, begun_ms = await asyncio.to_thread(_threads, roots), now_ms()
    for sample in count(1):
        if not before:
            return
        await asyncio.sleep(SAMPLE_S)
        if sample % SAMPLES_OF_PROCESSES == 0:  # a container that was started again is other processes
            roots = await asyncio.to_thread(lambda: lab.running.processes)
        after, ended_ms = await asyncio.to_thread(_threads, roots), now_ms()
        ran, waited = 0, 0
        for thread, (thread_ran, thread_waited) in after.items():
            ran_before, waited_before = before.get(thread, (0, 0))
            ran += max(0, thread_ran - ran_before)
            waited += max(0, thread_waited - waited_before)
        waited_ms = waited // 1_000_000 + max(0, ended_ms - begun_ms - STILL_MS)
        recorder.machine(MachineSample(begun_ms, ended_ms, ran // 1_000_000, waited_ms))
        before, begun_ms = after, ended_ms


def _threads(roots: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    """Nanoseconds that each thread ran and waited, since it began."""
    found = {}
    for pid in (os.getpid(), *(pid for pid, _ in process_tree(*roots))):
        try:
            threads = list(Path(f"/proc/{pid}/task").iterdir())
        except OSError:  # the process ended
            continue
        for thread in threads:
            try:
                ran, waited = (thread / "schedstat").read_text().split()[:2]
            except (OSError, ValueError):  # the thread ended, or the kernel does not count
                continue
            found[thread.name] = (int(ran), int(waited))
    return found
