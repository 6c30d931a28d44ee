"""`lab down`: end the lab of this folder and wait until nothing of it is left."""

from __future__ import annotations

import json
import os
import time

import click

from lab.cli.project import Project
from lab.supervisor.instance import clear_remains, lock_state, read_instance, running_instance, stop_instance


@click.command(short_help="stop the lab")
@click.option("--quiet", is_flag=True, help="say nothing, and succeed if no lab runs")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def down(project: Project, quiet: bool, as_json: bool) -> int:
    """Stop the lab of this folder: its processes, ports and temporary files go; its logs stay."""
    began = time.monotonic()
    if read_instance(project.state_dir) is None:
        from lab.cli.containers import down_containers

        if down_containers(project, quiet=quiet, as_json=as_json) or quiet:
            return 0
    instance = running_instance(project.state_dir)
    dead = None
    if instance is not None:
        stop_instance(instance, project.state_dir)
    lock = lock_state(project.state_dir) if project.state_dir.is_dir() else None
    if lock is not None:  # nobody lives here: whatever a dead lab left goes too
        try:
            dead = clear_remains(project.state_dir)
        finally:
            os.close(lock)
    if instance is None and dead is None:
        project.instance()  # raises, with what to do
    took_s = round(time.monotonic() - began, 2)
    stopped = instance or dead
    assert stopped is not None
    if as_json:
        print(json.dumps({"pid": stopped.pid, "was_running": instance is not None, "took_s": took_s}))
    elif not quiet and instance is not None:
        print(f"Stopped the lab of {project.folder} (pid {stopped.pid}) in {took_s:.2f} s.")
    elif not quiet:
        print(f"No lab was running; cleared away what one that died (pid {stopped.pid}) had left.")
    return 0
