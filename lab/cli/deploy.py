"""`lab deploy`: the handlers as they are now, deployed in place to the running lab."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from lab.cli.preparing import read_handlers_option, write_plan
from lab.cli.project import PLAN, Project, RunningLab
from lab.cli.sockets import ask_part
from lab.cli.starting import StartFailed, end_deployment, events, start_deployment
from lab.config.settings import (
    FILE_NAME,
    Settings,
    handlers_folder,
    load_settings,
    make_plan,
    one_machine_settings,
    override,
)
from lab.core import codec
from lab.core.faults import FaultSet
from lab.errors import UserError

NEXT_PLAN = "plan.next.json"


@click.command(short_help="deploy the handlers again")
@click.option("--handlers", type=click.Path(path_type=Path), metavar="DIR", help="another folder of handlers")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def deploy(project: Project, handlers: Path | None, as_json: bool) -> int:
    """Deploy handlers, routes, tables and records as lab.toml and the handlers' folders have them now."""
    began = time.monotonic()
    lab = project.running()
    settings = load_settings(project.folder)
    _check_regions(lab)
    if lab.topology.parts:
        settings = override(settings, handlers=handlers)
        make_plan(settings)  # refuses here what the container would refuse
        return _deploy_in_containers(lab, settings, began, as_json)
    folder = handlers or read_handlers_option(project.state_dir)
    if folder is not None:
        settings = replace(settings, handlers=folder)
    plan = make_plan(settings)
    planned = write_plan(project.state_dir, plan, NEXT_PLAN)
    process = start_deployment(lab.topology, NEXT_PLAN, "--again")
    assert process.stdin is not None and process.stdout is not None
    from lab.report import Progress

    result: dict[str, Any] = {}
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"go\n")
            process.stdin.close()
        with Progress(shown=not as_json, began_s=began) as progress:
            for _, event in events(process):
                if event is None:
                    break
                if event["event"] == "failed":
                    raise StartFailed(event["message"], event["status"])
                progress.show(event)
                result = event
        if result.get("event") != "deployed":
            raise StartFailed("the deployment ended unexpectedly; see `lab logs deploy`", 1)
        process.wait()
        planned.replace(planned.with_name(PLAN))  # now it is what is deployed
    finally:
        process.stdout.close()
        end_deployment(process)
    _print_result(result, began, as_json)
    return 0


def _check_regions(lab: RunningLab) -> None:
    """Whether a deployment can go to all regions. Raises UserError, LabUnreachable.

    In one that hangs it would wait for minutes for each of its calls.
    """
    if not lab.topology.parts:
        ask_part(lab.topology, "edge", "/health")
    faults = codec.decode(FaultSet, lab.call("GET", "/api/faults"))
    for region in lab.topology.region_codes:
        condition = faults.region_condition(region)
        if condition != "up":
            state = "hangs" if condition == "hang" else "is down"
            raise UserError(f"{region} {state} by a fault, and deployments go to all regions: `lab heal` first")


def _deploy_in_containers(lab: RunningLab, settings: Settings, began: float, as_json: bool) -> int:
    from lab.compose.host import ComposeLab
    from lab.compose.redeploy import redeploy
    from lab.report import Progress

    if not isinstance(lab, ComposeLab):
        raise UserError("handlers are carried into the containers from the host: call `lab deploy` there")

    unread = one_machine_settings(settings)
    if unread and not as_json:
        names = ", ".join(unread)
        print(
            f"lab: {FILE_NAME} sets {names}, which a lab in containers does not read (docs/compose.md)", file=sys.stderr
        )
    file = settings.folder / FILE_NAME
    result: dict[str, Any] = {}
    with Progress(shown=not as_json, began_s=began) as progress:
        for event in redeploy(lab.project, handlers_folder(settings), file if file.is_file() else None):
            progress.show(event)
            result = event
    _print_result(result, began, as_json)
    return 0


def _print_result(result: dict[str, Any], began: float, as_json: bool) -> None:
    took_s = round(time.monotonic() - began, 2)
    if as_json:
        print(json.dumps({**result, "took_s": took_s}, indent=2))
    else:
        print(f"Deployed in {took_s:.2f} s.")
