"""`lab logs`: what parts write to their logs, and what functions print."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from lab.cli.function_regions import chosen_regions, regions_by_function
from lab.cli.output import reader_gone
from lab.cli.project import Project, RunningLab
from lab.cli.sockets import ask_part
from lab.config.settings import suggestion
from lab.errors import LabError, LabNotRunning, UserError
from lab.supervisor.instance import running_instance

POLL_S = 0.3


@click.command(short_help="logs of parts and functions")
@click.argument("part", required=False)
@click.option("-n", "--lines", type=click.IntRange(min=1), default=40, show_default=True, help="how many newest lines")
@click.option("-f", "--follow", is_flag=True, help="go on with new lines as they come")
@click.option("--region", help="a function's logs of this region only")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object a line")
@click.pass_obj
def logs(project: Project, part: str | None, lines: int, follow: bool, region: str | None, as_json: bool) -> int:
    """Show the newest log lines of PART (control, edge, engine-us-east-1, ...) or of a function by its name.

    Without PART: of all parts. The logs of parts stay when the lab has ended. In containers a part is a service.
    """
    if running_instance(project.state_dir) is None and _show_containers(project, part, lines, follow, region, as_json):
        return 0
    files = {path.stem: path for path in sorted((project.state_dir / "logs").glob("*.log"))}
    if not files:
        raise LabNotRunning(f"no lab has run in {project.folder}: start one with `lab up`")
    if part is None or part in files:
        chosen = files if part is None else {part: files[part]}
        _show_files(chosen, lines, follow=follow, as_json=as_json)
        return 0
    lab = project.running() if running_instance(project.state_dir) is not None else None
    functions = regions_by_function(ask_part(lab.topology, "edge", "/documents/functions")) if lab is not None else {}
    if lab is None or part not in functions:
        raise UserError(f"no part or function {part!r}: {suggestion(part, [*files, *functions])}")
    regions = chosen_regions(lab, part, functions[part], region)
    _show_function(lab, part, regions, lines, follow=follow, as_json=as_json)
    return 0


def _show_containers(
    project: Project, part: str | None, lines: int, follow: bool, region: str | None, as_json: bool
) -> bool:
    """Show the logs of the lab in containers; False if there is none."""
    from lab.compose.attach import find_containers

    found = find_containers(project.folder)
    if found is None:
        return False
    from lab.cli.container_logs import chosen_lines

    try:
        lab = project.running()
    except LabError:  # not deployed yet, or control has ended: the containers' logs may say why
        lab = None
    shown, labelled = chosen_lines(found, lab, part, lines, follow=follow, region=region)
    for source, text in shown:
        _print(source, text, labelled=labelled, as_json=as_json)
        if reader_gone():
            break
    return True


def _print(source: str, text: str, *, labelled: bool, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"source": source, "line": text}), flush=True)
    else:
        print(f"{source:<20} {text}" if labelled else text, flush=True)


def _show_files(files: dict[str, Path], lines: int, *, follow: bool, as_json: bool) -> None:
    labelled = len(files) > 1
    opened = {name: path.open(encoding="utf-8", errors="replace") for name, path in files.items()}
    try:
        for name, log in opened.items():
            for line in log.read().splitlines()[-lines:]:
                _print(name, line, labelled=labelled, as_json=as_json)
        while follow and not reader_gone():
            for name, log in opened.items():
                if os.fstat(log.fileno()).st_size < log.tell():
                    log.seek(0)
                for line in log.read().splitlines():
                    _print(name, line, labelled=labelled, as_json=as_json)
            time.sleep(POLL_S)
    finally:
        for log in opened.values():
            log.close()


def _show_function(
    lab: RunningLab, function: str, regions: tuple[str, ...], lines: int, *, follow: bool, as_json: bool
) -> None:
    after = dict.fromkeys(regions, 0)
    first = True
    while first or (follow and not reader_gone()):
        for region in regions:
            lines_there: list[dict[str, Any]] = ask_part(
                lab.topology, "edge", f"/logs/{region}/{function}?after={after[region]}"
            )["lines"]
            for entry in lines_there[-lines:] if first else lines_there:
                text = str(entry["message"]).replace("\r", "\n").rstrip("\n")
                _print(region, text, labelled=len(regions) > 1, as_json=as_json)
            if lines_there:
                after[region] = int(lines_there[-1]["n"])
        first = False
        if follow:
            time.sleep(POLL_S)
