"""How long `lab up` takes to its printed table, what the idle lab costs, and how fast `lab status` is.

Prints from one run: seconds of `lab up --detach` (two regions, everything deployed and proven), the sum of PSS of all
processes with one warm environment a region, the CPU of the idle lab, and seconds of `lab status`. Targets: at most
2.5 s, at most 400 MB, below 3 % of one core, under 0.3 s. Exits 1 if a bound is missed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from figures import Figure, print_figures

BLOCK = "127.46"
ROUNDS = 5
IDLE_S = 20.0
TICKS = os.sysconf("SC_CLK_TCK")


def lab(folder: Path, *arguments: str) -> tuple[float, Any]:
    """Run a command of the lab: seconds of wall time, and its JSON."""
    began = time.monotonic()
    done = subprocess.run(
        [Path(sys.executable).with_name("lab"), *arguments, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    took_s = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"lab {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return took_s, json.loads(done.stdout)


def cpu_s(pids: list[int]) -> float:
    """Seconds of CPU that processes have used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def main() -> int:
    """One lab after another; the last one is looked at while it idles."""
    starts, stops, statuses = [], [], []
    idle: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for number in range(ROUNDS):
            took_s, _ = lab(folder, "up", "--detach", "--block", BLOCK)
            starts.append(took_s)
            try:
                statuses.append(lab(folder, "status")[0])
                if number == ROUNDS - 1:
                    idle = look_at_idle(folder)
            finally:
                stops.append(lab(folder, "down")[0])
    print(f"lab up took {', '.join(f'{value:.2f}' for value in starts)} s")
    figures = [
        Figure("lab up, two regions, to the table, median", statistics.median(starts), "s", 2.5),
        *idle,
        Figure("lab status, median", statistics.median(statuses), "s", 0.3),
        Figure("lab down, median", statistics.median(stops), "s"),
    ]
    return print_figures("Starting, idling, ending", figures)


def look_at_idle(folder: Path) -> list[Figure]:
    """Memory, printed by process, and the CPU of the lab while nobody uses it."""
    status = lab(folder, "status")[1]
    rows = [(part["part"], part["pid"], part["pss_kb"]) for part in status["parts"]]
    rows += [(f"child of {other['of']}", other["pid"], other["pss_kb"]) for other in status["others"]]
    for part, _, pss_kb in rows:
        print(f"  {part:<24} {pss_kb / 1024:6.1f} MB")
    pids = [pid for _, pid, _ in rows]
    before, began = cpu_s(pids), time.monotonic()
    time.sleep(IDLE_S)
    share = (cpu_s(pids) - before) / (time.monotonic() - began)
    return [
        Figure("memory of the idle lab, sum of PSS", status["pss_kb"] / 1024, "MB", 400),
        Figure(f"CPU of the idle lab over {IDLE_S:.0f} s, of one core", share * 100, "%", 3),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
