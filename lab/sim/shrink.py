"""Makes a failing plan smaller while it fails: fewer faults, fewer writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from lab.sim.plan import Plan

RUNS_MAX = 2_000


def shrink(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """The smallest plan that was found, by leaving out ever smaller parts. It runs at most `RUNS_MAX` plans."""
    runs = 0
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(plan):
            runs += 1
            if runs > RUNS_MAX:
                return plan
            if fails(smaller):
                plan, progress = smaller, True
                break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    for n in range(len(plan.faults)):
        yield replace(plan, faults=plan.faults[:n] + plan.faults[n + 1 :])
    size = max(1, len(plan.writes) // 2)
    while True:
        for start in range(0, len(plan.writes), size):
            yield replace(plan, writes=plan.writes[:start] + plan.writes[start + size :])
        if size == 1:
            return
        size //= 2
