"""`lab diff TABLE`: the replicas of a global table compared item by item."""

from __future__ import annotations

import json
from typing import Any

import click

from lab.cli.project import Project
from lab.cli.records import key_text

DIFF_LIMIT_S = 120.0
"""A comparison reads every item of every replica."""


@click.command(short_help="compare the replicas of a table")
@click.argument("table")
@click.option("--limit", type=click.IntRange(0, 10_000), default=100, show_default=True, help="differences to show")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def diff(project: Project, table: str, limit: int, as_json: bool) -> int:
    """Compare the replicas of TABLE in all regions. Exit status 0 if they agree, 1 if they differ."""
    found = project.running().call(
        "GET", "/api/diff", query={"table": table, "limit": str(limit)}, limit_s=DIFF_LIMIT_S
    )
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    return 1 if found["differing"] else 0


def _print(found: dict[str, Any]) -> None:
    counts = ", ".join(f"{region} {count}" for region, count in found["items"].items())
    if not found["differing"]:
        print(f"The replicas of {found['table']} agree: items {counts}.")
        return
    count = found["differing"]
    print(
        f"{count} item{'s' if count > 1 else ''} of {found['table']} differ{'' if count > 1 else 's'}: items {counts}."
    )
    for difference in found["differences"]:
        print(f"\n{key_text(difference['key'])}")
        for region, item in difference["items"].items():
            print(f"  {region:<16}{'absent' if item is None else json.dumps(item, sort_keys=True)}")
    left = found["differing"] - len(found["differences"])
    if left > 0:
        print(f"\nand {left} more; --limit shows more")
