"""`python -m lab.supervisor TOPOLOGY_PATH`: starts the engines before it imports anything, then all else.

Says on stdout, as JSON lines, what it does until all parts are ready. Exit status 0 after SIGTERM, 1 or the part's own
status if a part did not start.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from lab.supervisor.parent import end_with_parent, inherited_lock
from lab.supervisor.process import part_commands, spawn


def main() -> int:
    """Run the supervisor until it is told to end."""
    topology_path = sys.argv[1]
    topology = json.loads(Path(topology_path).read_bytes())
    run_dir, state_dir = topology["run_dir"], Path(topology["state_dir"])
    lock = inherited_lock()
    end_with_parent(signal.SIGTERM)  # in the foreground only: a detached lab has no parent to name
    # Until the event loop takes over, a signal must not leave engines behind.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    commands = part_commands(topology_path, tuple(region["code"] for region in topology["regions"]))
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for command in commands:
            processes[command.name] = spawn(command, run_dir=run_dir, log_dir=state_dir / "logs")

        from lab.supervisor.run import run

        return run(Path(topology_path), commands, processes, lock)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in processes.values():
            process.kill()  # does nothing to one that has ended
            process.wait()
        if lock is not None:  # it may have ended before `run` began, with nobody left who would clear away
            from lab.supervisor.instance import leave_nothing

            leave_nothing(lock, state_dir, Path(run_dir))


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
