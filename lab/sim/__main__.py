"""`python -m lab.sim`: simulated histories of replication from seeds; a failing one is replayed and made smaller.

python -m lab.sim --histories 1000           seeds 0 to 999
python -m lab.sim --seed 4711                one seed again; its plan is shrunk and printed if it fails
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lab.sim.campaign import run_seeds
from lab.sim.plan import Plan, make_plan
from lab.sim.run import run_plan
from lab.sim.shrink import shrink


def main(argv: Sequence[str] | None = None) -> int:
    """Run histories; 0 if all passed, 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m lab.sim", description="simulated histories of replication")
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--histories", type=int, default=1000, help="how many seeds (default 1000)")
    parser.add_argument("--processes", type=int, default=2, help="how many processes (default 2)")
    options = parser.parse_args(argv)
    if options.seed is not None:
        failed = [options.seed] if not run_plan(make_plan(options.seed)).passed else []
        count = 1
    else:
        count = options.histories
        failed = run_seeds(range(options.first, options.first + count), options.processes)
    if not failed:
        print(f"{count} histories passed")
        return 0
    print(f"seed {failed[0]} failed; again with: python -m lab.sim --seed {failed[0]}")
    _show(shrink(make_plan(failed[0]), lambda plan: not run_plan(plan).passed))
    return 1


def _show(plan: Plan) -> None:
    print(
        f"\nsmallest failing history ({len(plan.writes)} writes, {len(plan.faults)} faults), "
        f"fences {plan.fences}, delays up to {plan.delay_ms} ms:"
    )
    happenings = [(write.at_ms, str(write)) for write in plan.writes] + [(f.at_ms, str(f)) for f in plan.faults]
    for _, happening in sorted(happenings):
        print(f"  {happening}")
    for problem in run_plan(plan).problems:
        print(f"  -> {problem}")


if __name__ == "__main__":
    sys.exit(main())
