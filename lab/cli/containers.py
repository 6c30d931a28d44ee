"""`lab up --containers`, and `lab down` of what it started."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from lab.cli.project import Project
from lab.cli.starting import SignalGate, Stopped, ignore_signals
from lab.errors import EnvironmentFailure

if TYPE_CHECKING:
    from lab.compose.bring_up import ContainersUp


def up_in_containers(project: Project, *, engine: str | None, speed: float | None, three: bool, as_json: bool) -> int:
    """Start the lab in containers and show it; a start that fails or is interrupted leaves nothing."""
    from lab.cli.status import read_status
    from lab.compose.bring_up import ContainersUp

    began = time.monotonic()
    start = ContainersUp(project.folder, engine=engine, speed=speed, three=three)
    start.check()
    gate = SignalGate()
    done = False
    try:
        if not as_json:
            print("Building and starting the containers; `docker compose logs` tells more", file=sys.stderr, flush=True)
        start.start()
        found = read_status(project.running())
        with gate.held():
            done = True
    except Stopped:
        ignore_signals()
        print("\nStopping ...", file=sys.stderr, flush=True)
        return 130
    finally:
        if not done:
            ignore_signals()
            _undo(start)
    took_s = round(time.monotonic() - began, 1)
    if as_json:
        print(json.dumps({**found, "took_s": took_s}, indent=2))
    else:
        from lab.report import print_status

        print_status(found)
        print(f"Up in {took_s:g} s; `lab down` ends it.")
    return 0


def _undo(start: ContainersUp) -> None:
    """Take down what was started; why it failed is told by somebody else."""
    try:
        start.undo()
    except EnvironmentFailure as error:
        print(f"lab: {error}; once Docker answers, `lab down` removes what is left", file=sys.stderr)


def down_containers(project: Project, *, quiet: bool, as_json: bool) -> bool:
    """Take down the containers of this folder; whether there were any."""
    from lab.compose.attach import find_containers

    began = time.monotonic()
    try:
        found = find_containers(project.folder)
    except EnvironmentFailure:
        if quiet:
            return False
        raise
    if found is None:
        return False
    from lab.compose.bring_up import take_down

    take_down(project.folder, name=found.name)
    took_s = round(time.monotonic() - began, 2)
    if as_json:
        print(json.dumps({"containers": found.name, "was_running": True, "took_s": took_s}))
    elif not quiet:
        print(f"Stopped the containers of {project.folder} ({found.name}) in {took_s:.2f} s.")
    return True
