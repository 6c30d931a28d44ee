"""`lab dig`: what the lab's DNS answers to a place, and why."""

from __future__ import annotations

from typing import Any, TextIO

import click

from lab.cli.project import Project
from lab.cli.sockets import ask_dns


@click.command(short_help="ask the lab's DNS from a place")
@click.argument("name")
@click.argument("type", default="A")
@click.option("--from", "place", metavar="PLACE", help="ask with this place's client subnet")
@click.option("--explain", is_flag=True, help="show every step of the decision")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def dig(project: Project, name: str, type: str, place: str | None, explain: bool, as_json: bool) -> int:
    """Ask for NAME (and TYPE, by default A), with the client subnet of a place."""
    lab = project.running()
    query = {"name": name, "type": type.upper()}
    subnet = lab.place(place).subnet if place is not None else None
    if subnet is not None:
        query["client"] = subnet
    answer = ask_dns(lab, query)
    if as_json:
        from lab.report import print_json

        print_json({"place": place, "subnet": subnet, **answer})
    else:
        _show(answer, place, subnet, lab.topology.global_address, lab.topology.dns_port, explain=explain)
    return 0 if answer["rcode"] == "NOERROR" else 1


def _show(
    answer: dict[str, Any], place: str | None, subnet: str | None, server: str, port: int, *, explain: bool
) -> None:
    origin = f"{place} ({subnet})" if place else "here, without a client subnet"
    print(f"{answer['rcode']} from {server}#{port}, asked from {origin}")
    for record in answer["answers"]:
        print(f"  {record['name']:<32} {record['ttl']:>6} {record['type']:<6} {record['value']}")
    if not answer["answers"]:
        print("  no records")
    record = answer.get("record")
    if record:
        print(f"record  {describe_record(record)}")
    reasons = answer.get("reason", [])
    if reasons:
        print_reasons(
            "why     ", reasons if explain else [r for r in reasons if r["text"].endswith("chosen")] or reasons
        )


def describe_record(record: dict[str, Any]) -> str:
    """The record set that answered: name, type and identifier."""
    identifier = f", set identifier {record['set_identifier']}" if record.get("set_identifier") else ""
    return f"{record['name']} {record['type']}{identifier}"


def print_reasons(heading: str, reasons: list[dict[str, Any]], file: TextIO | None = None) -> None:
    """The steps of a decision, one a line, deeper ones further in."""
    least = min(int(reason["depth"]) for reason in reasons)
    for number, reason in enumerate(reasons):
        margin = heading if number == 0 else " " * len(heading)
        print(f"{margin}{'  ' * (int(reason['depth']) - least)}{reason['text']}", file=file)
