"""Many seeds in a few processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence

from lab.sim.plan import make_plan
from lab.sim.run import run_plan

CHUNK = 50


def run_seeds(seeds: Sequence[int], processes: int = 2) -> list[int]:
    """The first seeds that failed, in order; it stops soon after the first."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    if processes <= 1:
        return next((failed for failed in map(_failed, chunks) if failed), [])
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return next((failed for failed in pool.imap(_failed, chunks) if failed), [])


def _failed(seeds: Sequence[int]) -> list[int]:
    return [seed for seed in seeds if not run_plan(make_plan(seed)).passed]
