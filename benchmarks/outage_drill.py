"""How long the drill of a region's outage takes at thirty times AWS's pace, from the command to its verdict.

The time includes starting a lab for the drill and ending it. Exits 1 if the drill fails or takes 30 s or more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from figures import Figure, print_figures

SPEED = 30
BOUND_S = 30.0


def main() -> int:
    """Run the drill once; the exit status."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "lab.cli", "drill", "region_outage", "--speed", str(SPEED), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    took_s = time.monotonic() - began
    if not done.stdout:
        print(done.stderr, file=sys.stderr)
        return 1
    report = json.loads(done.stdout)
    print(
        f"region_outage at speed {SPEED}: {report['verdict']}, places served again in {report['recovery_time_ms']} ms"
    )
    met = print_figures("Outage drill", [Figure("from the command to the verdict", took_s, "s", BOUND_S)])
    return met if done.returncode == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
