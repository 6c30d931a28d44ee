"""`lab status`: regions, health, parts, replication and faults of the running lab.

It asks each part's own socket, so it tells what it can while control, or any other part, is away.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click

from lab.cli.project import Project, RunningLab
from lab.cli.sockets import ask_part
from lab.core import codec
from lab.core.faults import FaultSet
from lab.core.topology import Topology
from lab.errors import LabError


@click.command(short_help="what runs, and how well")
@click.option("--places", is_flag=True, help="list the places instead")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def status(project: Project, places: bool, as_json: bool) -> int:
    """Show the regions, their health, the parts, the replication and the faults of the running lab."""
    if places:
        return _places(project, as_json)
    found = read_status(project.running())
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        from lab.report import print_status

        print_status(found)
    return 0 if found["ok"] else 1


def read_status(lab: RunningLab) -> dict[str, Any]:
    """Everything that `lab status --json` prints; a part that does not answer is named in `unreachable`."""
    topology = lab.topology
    unreachable: list[str] = []
    silent: set[str] = set()

    asked: Callable[[Topology, str, str], Any] = ask_part
    if topology.parts:
        from lab.compose.status import ContainerAnswers

        asked = ContainerAnswers(lab).ask

    def ask(part: str, target: str, otherwise: Any) -> Any:
        if part in silent:  # once is enough to wait
            return otherwise
        try:
            return asked(topology, part, target)
        except LabError as error:
            silent.add(part)
            unreachable.append(str(error))
            return otherwise

    processes = ask("supervisor", "/status", {"parts": [], "others": [], "pss_kb": None})
    if not topology.parts:  # containers are asked through control
        ask("control", "/health", None)
    faults = ask("edge", "/documents/faults", None)
    configured = ask("edge", "/documents/health_checks", {"checks": []})["checks"]
    apis = ask("edge", "/documents/apis", {"apis": []})["apis"]
    checks = ask("edge", "/status/health-checks", {})  # last: in containers the resolver alone knows these
    replication = ask("replicator", "/status", None)
    down = [part["part"] for part in processes["parts"] if part["state"] != "up"]
    return {
        "ok": not unreachable and not down,
        "folder": str(lab.folder),
        "pid": lab.instance.pid,
        "block": topology.block,
        "speed": topology.speed,
        "up_s": round(time.time() - lab.instance.started_ms / 1000),
        "regions": _regions(
            topology, None if faults is None else codec.decode(FaultSet, faults), apis, configured, checks
        ),
        "dns": dict(zip(("address", "port"), topology.reachable(topology.dns_address, topology.dns_port), strict=True)),
        "parts": processes["parts"],
        "others": processes["others"],
        "pss_kb": processes["pss_kb"],
        "replication": replication,
        "faults": [] if faults is None else faults["faults"],
        "unreachable": unreachable,
    }


def _regions(
    topology: Topology, faults: FaultSet | None, apis: list[Any], configured: list[Any], checks: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row a region; `condition` is "unknown" where nobody tells the faults."""
    rows = []
    now_ms = time.time_ns() // 1_000_000
    for region in topology.regions:
        endpoint = topology.url(region.address, topology.aws_port)
        suffix = f".execute-api.{region.code}.amazonaws.com"
        mine = [c for c in configured if (c["fully_qualified_domain_name"] or "").endswith(suffix)]
        rows.append(
            {
                "region": region.code,
                "address": region.address,
                "aws_endpoint": endpoint,
                "api_urls": [
                    f"{endpoint}/_aws/execute-api/{api['api_id']}/{stage['name']}"
                    for api in apis
                    if api["region"] == region.code
                    for stage in api["stages"]
                ],
                "condition": "unknown" if faults is None else faults.region_condition(region.code),
                "clock_skew_ms": sum(skew.skew_ms for skew in topology.clock_skews if skew.region == region.code)
                + (0 if faults is None else faults.skew_ms(region.code, now_ms)),
                "health_checks": [_health(check["health_check_id"], checks) for check in mine],
            }
        )
    return rows


def _health(health_check_id: str, checks: dict[str, Any]) -> dict[str, Any]:
    found = checks.get(health_check_id)
    if found is None:
        return {"id": health_check_id, "status": "unknown", "agree": 0, "checkers": 0}
    checkers = found["checkers"]
    healthy = sum(checker["status"] == "healthy" for checker in checkers)
    return {"id": health_check_id, "status": found["status"], "agree": healthy, "checkers": len(checkers)}


def _places(project: Project, as_json: bool) -> int:
    from lab.config.settings import load_settings, make_topology
    from lab.supervisor.instance import running_instance

    running = running_instance(project.state_dir)
    topology = project.running().topology if running else make_topology(load_settings(project.folder), run_dir="")
    if as_json:
        print(json.dumps([codec.encode(place) for place in topology.places], indent=2))
        return 0
    for place in topology.places:
        where = f"{place.coordinates.latitude:8.2f} {place.coordinates.longitude:8.2f}"
        print(
            f"{place.name:<16} {place.country} {place.continent} {place.subdivision or '':<3} {where}  {place.subnet}"
        )
    return 0
