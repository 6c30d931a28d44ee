"""Whether the machine kept up with a drill: what fails on time alone, on a machine that is overloaded, proves nothing.

The kernel tells how long the lab's threads ran and how long they were ready to run and waited for a processor
(https://docs.kernel.org/scheduler/sched-stats.html, /proc/PID/schedstat). Their sum over the first is how many times
longer work took than it would have taken alone.
"""

from __future__ import annotations

from dataclasses import replace

from lab.core.consistency import Finding
from lab.core.history import History, MachineSample

OVERLOADED = 5.0
"""A cold start is half a second of work, and the shortest limit on a handler 3 s: a machine slower than this breaks it.

A lab that has two processors to itself is below 4 when both its regions start cold."""
MACHINE = "the machine kept up"
WINDOW_MS = 3000
"""Shorter peaks delay no request beyond its limit."""


def slowdown(history: History, begun_ms: int, ended_ms: int) -> float | None:
    """How many times longer work took in the worst WINDOW_MS of a time; None if it was not measured."""
    samples = [s for s in history.machine if s.ended_ms > begun_ms and s.begun_ms < ended_ms]
    worst: float | None = None
    for first, sample in enumerate(samples):
        window: list[MachineSample] = []
        for other in samples[first:]:
            window.append(other)
            if other.ended_ms - sample.begun_ms >= WINDOW_MS:
                break
        else:
            if first:  # shorter than a window, and part of one that was seen already
                break
        ran = sum(s.ran_ms for s in window)
        if ran > 0:
            found = (ran + sum(s.waited_ms for s in window)) / ran
            worst = found if worst is None else max(worst, found)
    return worst


def judged_in_time(finding: Finding, history: History, begun_ms: int, ended_ms: int) -> Finding:
    """A failure in a time when the machine was overloaded as `unknown`, with the measure; all others as they are."""
    if finding.verdict != "fail":
        return finding
    worst = slowdown(history, begun_ms, ended_ms)
    if worst is None or worst < OVERLOADED:
        return finding
    summary = f"{finding.summary}, while the machine was overloaded (work took {worst:.0f} times as long)"
    return replace(finding, verdict="unknown", summary=summary)


def the_machine_kept_up(history: History, *, in_the_way: bool) -> Finding:
    """`unknown` if an overloaded machine was in the way of a finding; nothing to say where it was not measured."""
    worst = slowdown(history, history.machine[0].begun_ms, history.machine[-1].ended_ms) if history.machine else None
    if worst is None:
        return Finding(MACHINE, "pass", "not measured here")
    measure = f"work took at most {worst:.1f} times as long as alone"
    if worst < OVERLOADED:
        return Finding(MACHINE, "pass", measure)
    if in_the_way:
        return Finding(
            MACHINE, "unknown", f"{measure}: this run proves nothing; try a smaller --speed, or a quieter machine"
        )
    return Finding(MACHINE, "pass", f"{measure}, and nothing failed for it")
