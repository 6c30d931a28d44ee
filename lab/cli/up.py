"""`lab up`: from the configuration to a lab that has been seen to work, and its table."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import click

from lab.cli import BEGAN
from lab.cli.preparing import prepare
from lab.cli.project import Project
from lab.cli.starting import SignalGate, Starting, Stopped, ignore_signals
from lab.config.settings import load_settings, make_plan, override


@click.command(short_help="start the lab")
@click.option("--regions", metavar="CODES", help="AWS region codes, with commas: us-east-1,eu-west-1")
@click.option("--handlers", type=click.Path(path_type=Path), metavar="DIR", help="a folder with folders of handlers")
@click.option("--speed", type=float, metavar="N", help="make every wait N times as short (1 is AWS's pace)")
@click.option("--block", metavar="127.N", help="the first two numbers of the lab's addresses (127.10)")
@click.option("--detach", is_flag=True, help="return when the lab is ready; `lab down` stops it")
@click.option("--containers", is_flag=True, help="regions in containers (docs/compose.md), always detached")
@click.option("--engine", type=click.Choice(["localstack", "ministack"]), help="what runs regions in containers")
@click.option("--three", is_flag=True, help="a third region in containers, eu-central-1")
@click.option("--json", "as_json", is_flag=True, help="print JSON instead of tables")
@click.pass_obj
def up(
    project: Project,
    regions: str | None,
    handlers: Path | None,
    speed: float | None,
    block: str | None,
    detach: bool,
    containers: bool,
    engine: str | None,
    three: bool,
    as_json: bool,
) -> int:
    """Start the lab, deploy the handlers, prove that all works, and show where everything is."""
    if containers:
        _refuse({"--regions": regions, "--handlers": handlers, "--block": block}, "is not for containers")
        from lab.cli.containers import up_in_containers

        return up_in_containers(project, engine=engine, speed=speed, three=three, as_json=as_json)
    _refuse({"--engine": engine, "--three": three or None}, "goes with --containers")
    settings = load_settings(project.folder)
    settings = override(settings, regions=regions, block=block, speed=speed, handlers=handlers)
    gate = SignalGate()
    lab: Starting | None = None
    left = False
    try:
        plan = make_plan(settings)
        with gate.held():
            prepared = prepare(settings, plan)
            lab = Starting(prepared, detach=detach)
        topology, dead = prepared.topology, prepared.dead
        from lab.report import Progress, describe_lab, print_json, print_lab  # rich, while the engines start

        with Progress(shown=not as_json, began_s=BEGAN) as progress:
            if dead is not None:
                progress.note(f"cleared away what a lab that died (pid {dead.pid}) had left")
            deployed: dict[str, Any] = {}
            for event in lab.follow():
                progress.show(event)
                deployed = event
        description = describe_lab(topology, plan, deployed, pid=lab.pid, took_s=time.monotonic() - BEGAN)
        if as_json:
            print_json(description)
        else:
            print_lab(description, detach=detach)
        sys.stdout.flush()
        if detach:
            lab.leave()
            left = True
            return 0
        status = lab.wait()
        print(
            "lab: the lab was stopped" if status == 0 else f"lab: the supervisor ended with status {status}",
            file=sys.stderr,
        )
        return 0 if status == 0 else 1
    except Stopped:
        ignore_signals()
        _say_stopping(as_json)
        return 0 if lab is not None and not detach else 130
    finally:
        ignore_signals()
        if lab is not None and not left:
            lab.stop()


def _refuse(options: dict[str, object], why: str) -> None:
    """Refuse the first of these options that was given."""
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{name} {why}")


def _say_stopping(as_json: bool) -> None:
    if as_json:
        return
    with contextlib.suppress(OSError):  # the terminal may have gone
        print("\nStopping ...", file=sys.stderr, flush=True)
