"""What people see: progress while the lab starts, the table of a running lab. JSON for programs.

Nothing here talks to the lab; it renders values. Tables are readable at 100 columns.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from lab.core.deployment import DeploymentPlan, Route
from lab.core.topology import Topology

STEP_NAMES = {
    "install": "installing",
    "table": "table",
    "function": "function",
    "api": "REST API",
    "records": "DNS records",
    "replicated": "item replicated",
    "request": "request answered",
}


def console(*, stderr: bool = False) -> Console:
    """A console that is 100 columns wide where there is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 100, highlight=False)


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, indent=2))


class Progress:
    """Lines on stderr as things become ready, with a spinner where there is a terminal."""

    def __init__(self, *, shown: bool, began_s: float) -> None:
        """`began_s` is the moment, by time.monotonic, that the seconds of each line count from."""
        self._began_s = began_s
        self._console = console(stderr=True) if shown else None
        self._status: Status | None = None

    def __enter__(self) -> Progress:
        if self._console is not None and self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def note(self, text: str) -> None:
        """One line."""
        if self._console is not None:
            self._console.print(text, style="dim")

    def show(self, event: dict[str, Any]) -> None:
        """One event of the start or of the deployment."""
        match event["event"]:
            case "part":
                self._line(f"{event['part']} is up")
            case "ready":
                self._doing("deploying")
            case "step":
                self._line(f"{STEP_NAMES.get(event['step'], event['step'])}: {event['detail']}")

    def _line(self, text: str) -> None:
        if self._console is not None:
            self._console.print(Text.assemble((f"{time.monotonic() - self._began_s:6.2f} s  ", "dim"), text))

    def _doing(self, what: str) -> None:
        if self._status is not None:
            self._status.update(what)


def describe_lab(
    topology: Topology, plan: DeploymentPlan, deployed: dict[str, Any], *, pid: int, took_s: float
) -> dict[str, Any]:
    """A running lab as `lab up --json` prints it: addresses, URLs, what was seen to work, lines to paste."""
    regions = [
        {
            "region": region.code,
            "address": region.address,
            "aws_endpoint": f"http://{region.address}:{topology.aws_port}",
            "api_url": api_url(topology, region.code, deployed["apis"][region.code]["id"], plan.stage),
            "api_id": deployed["apis"][region.code]["id"],
            "health_check_id": deployed["health_checks"].get(region.code),
            "health": deployed["requests"][region.code],
        }
        for region in topology.regions
    ]
    return {
        "pid": pid,
        "block": topology.block,
        "speed": topology.speed,
        "state_dir": topology.state_dir,
        "regions": regions,
        "global_endpoint": f"http://{topology.global_address}:{topology.aws_port}",
        "dns": {"address": topology.global_address, "port": topology.dns_port, "zone": plan.zone},
        "control": f"http://{topology.global_address}:{topology.control_port}",
        "api_domain": plan.api_domain,
        "replicated": deployed["replicated"],
        "commands": commands(topology, plan),
        "took_s": round(took_s, 2),
    }


def api_url(topology: Topology, region: str, api_id: str, stage: str) -> str:
    """A region's API as any HTTP client reaches it, by path, without DNS."""
    return f"http://{topology.region(region).address}:{topology.aws_port}/_aws/execute-api/{api_id}/{stage}"


def commands(topology: Topology, plan: DeploymentPlan) -> dict[str, str]:
    """Lines that work when pasted into a shell."""
    first = topology.regions[0]
    subnet = topology.places[0].subnet
    lines = {
        "curl": _curl(topology, plan),
        "dig": f"dig @{topology.global_address} -p {topology.dns_port} {plan.api_domain} +subnet={subnet}",
    }
    path = plan.health_check.path if plan.health_check else "/"
    lines["lab"] = f"{_lab_command()} curl --from {topology.places[0].name} http://{plan.api_domain}{path}"
    if plan.tables:
        lines["aws"] = (
            "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test "
            f"aws --endpoint-url http://{first.address}:{topology.aws_port} --region {first.code} "
            f"dynamodb scan --table-name {plan.tables[0].name}"
        )
    return lines


def _lab_command() -> str:
    """How this user runs `lab`: by its name if that finds this one, else by its path."""
    script = Path(sys.executable).with_name("lab")
    found = shutil.which("lab")
    if found is not None and Path(found).absolute() == script.absolute():
        return "lab"
    here = Path.cwd()
    return str(script.relative_to(here) if script.is_relative_to(here) else script)


def _curl(topology: Topology, plan: DeploymentPlan) -> str:
    first = topology.regions[0]
    simple = [route for route, _ in plan.routes if "{" not in route.path]
    posts = [route for route in simple if route.method == "POST"]
    route = (posts or simple or [Route("GET", "/")])[0]
    method = "" if route.method in ("GET", "ANY") else f"-X {route.method} "
    where = f"--connect-to {plan.api_domain}:80:{first.address}:{topology.http_port}"
    return f"curl {method}{where} http://{plan.api_domain}{route.path}"


def print_lab(lab: dict[str, Any], *, detach: bool) -> None:
    """The table of a lab that has just started."""
    out = console()
    table = Table(show_lines=True)
    for heading in ("Region, address", "Health"):
        table.add_column(heading, no_wrap=True)
    table.add_column("AWS endpoint, API URL", overflow="fold")
    for region in lab["regions"]:
        table.add_row(
            f"{region['region']}\n{region['address']}",
            health_text(region["health"]),
            f"{region['aws_endpoint']}\n{region['api_url']}",
        )
    out.print()
    out.print(table)
    dns = lab["dns"]
    ways = ", ".join(f"{way['source']} to {way['target']} {way['ms']:g} ms" for way in lab["replicated"])
    out.print(f"DNS server       {dns['address']} port {dns['port']} (UDP and TCP), zone {dns['zone']}")
    out.print(f"Global endpoint  {lab['global_endpoint']} (Route 53, IAM, STS)")
    if ways:
        out.print(f"Replicated       {ways}", soft_wrap=True)
    out.print("\nTry:")
    for line in lab["commands"].values():
        out.print(f"  {line}", soft_wrap=True, markup=False)
    missing = [tool for tool in ("curl", "dig", "aws") if shutil.which(tool) is None]
    if missing:
        out.print(f"Not installed here: {', '.join(missing)}.")
    ending = f"`lab down` stops it (pid {lab['pid']})." if detach else "Press Ctrl-C to stop."
    out.print(f"\nReady in {lab['took_s']:.2f} s. {ending}")


def health_text(answer: dict[str, Any]) -> Text:
    """What a region's health request showed."""
    healthy = answer["status"] < 400
    return Text(
        f"{'healthy' if healthy else 'unhealthy'}\n{answer['status']} in {answer['ms']} ms",
        style="green" if healthy else "red",
    )


def print_status(status: dict[str, Any]) -> None:
    """What `lab status` shows."""
    out = console()
    up = f"{status['up_s'] // 60} min" if status["up_s"] >= 120 else f"{status['up_s']} s"
    where = f"pid {status['pid']}" if status["pid"] else "in containers"
    out.print(f"Lab of {status['folder']}: {where}, up {up}, speed {status['speed']:g}", soft_wrap=True)
    regions = Table(show_lines=True)
    for heading in ("Region, address", "State", "Health"):
        regions.add_column(heading, no_wrap=True)
    regions.add_column("AWS endpoint, API URL", overflow="fold")
    for row in status["regions"]:
        urls = "\n".join([row["aws_endpoint"], *row["api_urls"]])
        regions.add_row(f"{row['region']}\n{row['address']}", _state(row), _checks(row), urls)
    out.print(regions)
    parts = Table()
    for heading, justify in (("Part", "left"), ("State", "left"), ("Pid", "right"), ("Restarts", "right")):
        parts.add_column(heading, justify="right" if justify == "right" else "left")
    parts.add_column("Memory", justify="right")
    for part in status["parts"]:
        state = Text(part["state"], style="" if part["state"] == "up" else "red")
        pid = str(part["pid"] or "")
        parts.add_row(part["part"], state, pid, str(part["restarts"]), _memory(part.get("pss_kb")))
    if status["others"]:
        memory = sum(other["pss_kb"] or 0 for other in status["others"])
        parts.add_row(f"{len(status['others'])} environments and others", "", "", "", _memory(memory))
    parts.add_row("all", "", "", "", _memory(status["pss_kb"]), style="bold")
    out.print(parts)
    for pair in (status["replication"] or {"pairs": []})["pairs"]:
        out.print(f"Replication {pair['source']} to {pair['target']}: {_pair(pair)}", soft_wrap=True)
    for replica in (status["replication"] or {"replicas": []})["replicas"]:
        if replica["scan"] is not None:
            out.print(scan_text(replica), soft_wrap=True)
    lost = (status["replication"] or {}).get("lost", 0)
    if lost:
        out.print(f"Lost: {lost} acknowledged writes that had not left their region (`lab lost`)", style="red")
    for unknown in (status["replication"] or {}).get("lost_unknown", []):
        out.print(f"Lost in {unknown['region']}: not known, {unknown['reason']}", style="red", soft_wrap=True)
    for fault in status["faults"]:
        out.print(f"Fault {fault['fault_id']}: {fault['label'] or fault['effect']}", style="red", soft_wrap=True)
    for problem in status["unreachable"]:
        out.print(f"{problem}", style="red", soft_wrap=True)


def _state(row: dict[str, Any]) -> Text:
    text = Text(row["condition"], style="green" if row["condition"] == "up" else "red")
    if skew_ms := row.get("clock_skew_ms", 0):
        text.append(f"\nclock {abs(skew_ms)} ms\n{'ahead' if skew_ms > 0 else 'behind'}", style="red")
    return text


def scan_text(replica: dict[str, Any]) -> str:
    """How far the scan has come that fills or compares a replica, and why there is one."""
    scan = replica["scan"]
    what = f"{replica['table']} in {replica['region']}"
    done = f"{scan['scanned']} of {'an unknown number of' if scan['items'] is None else scan['items']} items"
    if scan["progress_percent"] is not None:
        done += f" ({scan['progress_percent']} %)"
    match scan["why"]:
        case "fill":
            return f"Filling {what} from {scan['source']}: {done}"
        case "gap":
            return f"Comparing {what}: {done}; records of its stream were gone before they were read"
        case _:
            return f"Comparing {what}: {done}; the replicas that had everything lost their data"


def _checks(row: dict[str, Any]) -> Text:
    if row["condition"] == "unknown":
        return Text("unknown", style="red")
    text = "\n".join(f"{c['status']}\n{c['agree']} of {c['checkers']}" for c in row["health_checks"]) or "none"
    healthy = all(check["status"] == "healthy" for check in row["health_checks"])
    return Text(text, style="green" if healthy else "red")


def _memory(kb: int | None) -> str:
    return "" if kb is None else f"{kb / 1024:.0f} MB"


def _pair(pair: dict[str, Any]) -> str:
    lag = (
        f", lag p50 {pair['lag_p50_ms']:g} ms, p99 {pair['lag_p99_ms']:g} ms"
        if pair.get("lag_p50_ms") is not None
        else ""
    )
    rate = f", {pair['rate_per_s']:g}/s" if pair.get("rate_per_s") is not None else ""
    return f"{pair['backlog']} waiting, {pair['shipped']} shipped{rate}{lag}"
