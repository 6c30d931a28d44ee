"""`lab fault`: make a region, a link or replication fail, and list what fails."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from lab.cli.project import Project, RunningLab
from lab.core.health_check import CHECKER_REGIONS
from lab.errors import UserError

FAULT_LIMIT_S = 20.0
HEAL_LIMIT_S = 40.0
"""Healing a region that lost its data starts its engine again."""


@click.group(short_help="make something fail")
def fault() -> None:
    """Make a region, a link between two regions, or replication fail; `lab heal` undoes it."""


@fault.command(short_help="a whole region fails")
@click.argument("region")
@click.option("--down", is_flag=True, help="its connections are refused, its functions die")
@click.option("--hang", is_flag=True, help="connections open and nothing comes back")
@click.option("--lose-data", is_flag=True, help="with --down: its engine dies with what had not left the region")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def region(project: Project, region: str, down: bool, hang: bool, lose_data: bool, as_json: bool) -> int:
    """Make REGION fail: --down or --hang."""
    if down and hang:
        raise UserError("a region is either --down or hangs (--hang): give one of them")
    if not down and not hang:
        raise UserError("say how the region fails: --down (refuses connections) or --hang (never answers)")
    if lose_data and not down:
        raise UserError("--lose-data goes with --down: a region that hangs keeps its data")
    lab = project.running()
    effect = "down" if down else "hang"
    label = f"region {region} {effect}{' losing data' if lose_data else ''}"
    wanted = {"effect": effect, "region": lab.region(region), "lose_data": lose_data, "label": label}
    return _begin(lab, [wanted], as_json)


@fault.command(short_help="the link from one region to another is cut")
@click.argument("source")
@click.argument("target")
@click.option("--both", is_flag=True, help="cut the way back as well")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def link(project: Project, source: str, target: str, both: bool, as_json: bool) -> int:
    """Cut the link from SOURCE to TARGET: replication and calls that way stop, both regions live on.

    The way back, from TARGET to SOURCE, stays open unless --both cuts it as well. Health checkers need both. One of the
    two may be a region outside of the lab that has Route 53 health checkers (eu-west-1, sa-east-1, ...).
    """
    lab = project.running()
    for end, other in ((source, target), (target, source)):
        if end not in CHECKER_REGIONS or other not in lab.topology.region_codes:
            lab.region(end)
    if source == target:
        raise UserError(f"a link has two ends; {source} is given twice")
    ways = [(source, target), (target, source)] if both else [(source, target)]
    wanted = [{"effect": "cut", "region": a, "target": b, "label": f"link {a} to {b} cut"} for a, b in ways]
    status = _begin(lab, wanted, as_json)
    if not both and not as_json and {source, target} <= set(lab.topology.region_codes):
        print(f"Only this way is cut; {target} still replicates to {source} (`--both` cuts both ways).")
    return status


@fault.command(short_help="replication of a region pauses")
@click.argument("region")
@click.option("--pause", is_flag=True, help="stop shipping into and out of the region")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def replication(project: Project, region: str, pause: bool, as_json: bool) -> int:
    """Pause replication into and out of REGION; its writes wait and are shipped when the fault is lifted."""
    if not pause:
        raise UserError("say what happens to the replication: --pause")
    lab = project.running()
    label = f"replication of {region} paused"
    return _begin(lab, [{"effect": "replication_paused", "region": lab.region(region), "label": label}], as_json)


@fault.command(short_help="a region's clock is off")
@click.argument("region")
@click.option("--skew-ms", type=int, help="milliseconds ahead, or behind if negative")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def clock(project: Project, region: str, skew_ms: int | None, as_json: bool) -> int:
    """Make the clock of REGION's tables wrong: writes there count as made that much later or, if negative, earlier.

    Of two writes of one item the later one wins, so a region whose clock is behind loses. A write keeps the time that
    it was given, also if it is replicated after `lab heal`.
    """
    if not skew_ms:
        raise UserError("say how far the clock is off: --skew-ms 500 is half a second ahead, --skew-ms -500 behind")
    lab = project.running()
    label = f"clock of {region} {abs(skew_ms)} ms {'ahead' if skew_ms > 0 else 'behind'}"
    wanted = {"effect": "clock_skew", "region": lab.region(region), "skew_ms": skew_ms, "label": label}
    return _begin(lab, [wanted], as_json)


@fault.command(short_help="a region's containers fail")
@click.argument("region")
@click.option("--stop", "kind", flag_value="stop", help="stopped in order: its data is gone")
@click.option("--kill", "kind", flag_value="kill", help="killed at once: its data is gone")
@click.option("--pause", "kind", flag_value="pause", help="frozen: connections open and nothing comes back")
@click.option("--disconnect", "kind", flag_value="disconnect", help="cut off the backbone, alive behind it")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def container(project: Project, region: str, kind: str | None, as_json: bool) -> int:
    """Make REGION's containers fail by Docker's means; `lab heal` puts them back. For a lab in containers."""
    from lab.compose.docker_faults import CONTAINER_FAULTS, break_region
    from lab.compose.host import ComposeLab

    if kind not in CONTAINER_FAULTS:
        raise UserError("say what happens to the containers: --stop, --kill, --pause or --disconnect")
    lab = project.running()
    if not isinstance(lab, ComposeLab):
        raise UserError("this lab has no containers that could be reached from here: use `lab fault region`")
    break_region(lab.project, lab.region(region), kind)
    if as_json:
        print(json.dumps({"region": region, "containers": kind}, indent=2))
    else:
        print(f"{region}: its containers have a fault ({kind}); `lab heal` undoes it")
    return 0


@fault.command("list", short_help="the faults in force")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def list_faults(project: Project, as_json: bool) -> int:
    """List the faults in force, oldest first."""
    faults = project.running().call("GET", "/api/faults")["faults"]
    if as_json:
        print(json.dumps({"faults": faults}, indent=2))
        return 0
    for found in faults:
        print(f"{found['fault_id']}  {describe_fault(found)}")
    if not faults:
        print("No fault is in force.")
    return 0


def describe_fault(fault: dict[str, Any]) -> str:
    """A fault in a few words."""
    if fault.get("label"):
        return str(fault["label"])
    words = [
        fault["effect"],
        *(str(fault[key]) for key in ("region", "target", "service", "operation") if fault.get(key)),
    ]
    return " ".join(words)


def _begin(lab: RunningLab, wanted: list[dict[str, Any]], as_json: bool) -> int:
    begun = [lab.call("POST", "/api/faults", body, limit_s=FAULT_LIMIT_S) for body in wanted]
    if as_json:
        print(json.dumps({"faults": begun}, indent=2))
    for found in begun if not as_json else ():
        print(f"{found['fault_id']}: {describe_fault(found)}; `lab heal {found['fault_id']}` undoes it")
    tell_not_taken(begun)
    return 0


def tell_not_taken(answers: list[dict[str, Any]]) -> None:
    """Name on stderr the parts that go on as if a change of faults had not been made."""
    behind = {part: reason for answer in answers for part, reason in answer.get("not_taken", {}).items()}
    for part, reason in behind.items():
        print(f"lab: {part} has not taken this yet and goes on as before until it answers: {reason}", file=sys.stderr)
