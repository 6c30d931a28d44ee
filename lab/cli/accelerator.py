"""`lab accelerator status`: dials, weights, health and shares, and where a place's next connection would go and why.

It asks the edge itself, so that it works while control is away.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import click

from lab.cli.project import Project
from lab.cli.sockets import ask_accelerators


@click.group(short_help="what the accelerators do")
def accelerator() -> None:
    """Show what the lab's accelerators (Global Accelerator) do."""


@accelerator.command(short_help="dials, weights, health, shares")
@click.option("--from", "place", metavar="PLACE", help="say where a new connection from this place would go, and why")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def status(project: Project, place: str | None, as_json: bool) -> int:
    """Show each accelerator's listeners, endpoint groups and endpoints."""
    lab = project.running()
    query = f"?{urlencode({'place': lab.place(place).name})}" if place is not None else ""
    found = ask_accelerators(lab, query)
    if as_json:
        from lab.report import print_json

        print_json(found)
        return 0
    for one in found["accelerators"]:
        _show(one, found["delay_ms"], place)
    if not found["accelerators"]:
        print("There is no accelerator. `aws globalaccelerator create-accelerator` on the global endpoint makes one.")
    for problem in found["problems"]:
        print(f"problem: {problem}")
    return 0


def _show(accelerator: dict[str, Any], delay_ms: int, place: str | None) -> None:
    state = "enabled" if accelerator["enabled"] else "disabled"
    print(f"{accelerator['name']}  {' and '.join(accelerator['addresses'])}  {state}  {accelerator['dns_name']}")
    for listener in accelerator["listeners"]:
        print(f"  listener TCP {', '.join(listener['ports'])}  client affinity {listener['client_affinity']}")
        print(f"    {'group':<16} {'dial':>6} {'endpoint':<22} {'weight':>6} {'health':<20} {'open':>5} {'share':>7}")
        for group in listener["groups"]:
            dial = f"{group['traffic_dial_percentage']:g} %"
            for endpoint in group["endpoints"] or [None]:
                print(f"    {group['region']:<16} {dial:>6} {_endpoint(endpoint)}")
        if listener["next"] is not None:
            _show_next(listener["next"], str(place))
    print(f"  a change of an endpoint's health is acted on after {delay_ms / 1000:g} s of the lab's time")


def _endpoint(endpoint: dict[str, Any] | None) -> str:
    if endpoint is None:
        return "none"
    name = endpoint["id"].rpartition(":loadbalancer/app/")[2].partition("/")[0]
    health = endpoint["health"]
    if endpoint["since_ms"] is not None:
        health += f" {max(0, round(time.time() - endpoint['since_ms'] / 1000))} s"
    share = f"{100 * endpoint['share']:.1f} %"
    return f"{name:<22} {endpoint['weight']:>6} {health:<20} {endpoint['open_connections']:>5} {share:>7}"


def _show_next(choice: dict[str, Any], place: str) -> None:
    if choice["region"] is None:
        print(f"    from {place}: dropped")
    else:
        print(f"    from {place} (edge in {choice['edge']}): to {choice['region']} by {choice['path']}")
    for reason in choice["reasons"]:
        print(f"      {reason}")
