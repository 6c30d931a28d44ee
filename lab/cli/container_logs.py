"""`lab logs` for a lab in containers: what Docker keeps of the containers, and what functions print.

A function's lines are the front's on MiniStack and the region's CloudWatch Logs on LocalStack.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.cli.function_regions import chosen_regions, regions_by_function
from lab.compose.sdk import docker_sdk
from lab.config.settings import suggestion
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.cli.project import RunningLab
    from lab.compose.host import ComposeProject

POLL_S = 0.5
Line = tuple[str, str]
"""The part or region that it is from, and the text."""


def part_lines(project: ComposeProject, services: list[str], lines: int, *, follow: bool) -> Iterator[Line]:
    """The newest lines of containers, then with `follow` new ones as they come, until all have ended."""
    containers = project.containers()
    for service in services:
        for line in containers[service].logs(tail=lines).decode(errors="replace").splitlines():
            yield service, line
    if not follow:
        return
    found: queue.Queue[Line | None] = queue.Queue()

    def read(service: str) -> None:
        rest = b""
        try:
            for data in containers[service].logs(stream=True, follow=True, tail=0):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    found.put((service, line.decode(errors="replace").rstrip("\r")))
        except (docker_sdk().errors.DockerException, OSError) as error:
            found.put((service, f"Docker tells no more of it: {error}"))
        finally:
            found.put(None)

    for service in services:
        threading.Thread(target=read, args=(service,), daemon=True).start()
    left = len(services)
    while left:
        line = found.get()
        if line is None:
            left -= 1
        else:
            yield line


def function_lines(
    lab: RunningLab, function: str, regions: tuple[str, ...], lines: int, *, follow: bool
) -> Iterator[Line]:
    """A function's newest lines in each region, then with `follow` new ones as they come."""
    reader = _engine_lines if lab.topology.engine == "localstack" else _front_lines
    after: dict[str, Any] = {}
    first = True
    while first or follow:
        for region in regions:
            new, after[region] = reader(lab, function, region, after.get(region))
            yield from ((region, text) for text in (new[-lines:] if first else new))
        first = False
        if follow:
            time.sleep(POLL_S)


def _front_lines(lab: RunningLab, function: str, region: str, after: Any) -> tuple[list[str], Any]:
    path = f"/api/logs/{region}/{function}"
    entries = lab.call("GET", path, query={"after": str(after or 0)})["lines"]
    return [_text(entry["message"]) for entry in entries], entries[-1]["n"] if entries else after


def _engine_lines(lab: RunningLab, function: str, region: str, after: Any) -> tuple[list[str], Any]:
    """`after` is the newest time seen, in milliseconds, and the ids of the events of that time."""
    from lab.testing.region import make_client

    topology = lab.topology
    logs = make_client("logs", region, topology.url(topology.region(region).address, topology.aws_port))
    since, known = after or (0, frozenset())
    group = f"/aws/lambda/{function}"
    if not any(
        found["logGroupName"] == group for found in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    ):
        return [], after
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
    events = [event for page in pages for event in page["events"] if event["eventId"] not in known]
    if not events:
        return [], after
    events.sort(key=lambda event: int(event["timestamp"]))
    newest = events[-1]["timestamp"]
    seen = frozenset(event["eventId"] for event in events if event["timestamp"] == newest)
    return [_text(event["message"]) for event in events], (newest, seen | known if newest == since else seen)


def _text(message: str) -> str:
    return message.replace("\r", "\n").rstrip("\n")


def chosen_lines(
    project: ComposeProject, lab: RunningLab | None, name: str | None, lines: int, *, follow: bool, region: str | None
) -> tuple[Iterator[Line], bool]:
    """The lines of a container or function, and whether they are of several sources. Raises UserError.

    `lab` is None while control does not run: then only containers are known.
    """
    services = sorted(project.containers())
    if name is None or name in services:
        chosen = services if name is None else [name]
        return part_lines(project, chosen, lines, follow=follow), len(chosen) > 1
    functions = regions_by_function(lab.call("GET", "/api/documents/functions")) if lab is not None else {}
    if lab is None or name not in functions:
        raise UserError(f"no part or function {name!r}: {suggestion(name, [*services, *functions])}")
    regions = chosen_regions(lab, name, functions[name], region)
    return function_lines(lab, name, regions, lines, follow=follow), len(regions) > 1
