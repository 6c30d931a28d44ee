"""`lab lost`: the acknowledged writes that died with a region, as the lab counted them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from lab.cli.project import Project
from lab.cli.records import Record, key_text, moment, pages, print_records


@click.command(short_help="acknowledged writes that died with a region")
@click.option("--table", metavar="NAME", help="those of one table")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def lost(project: Project, table: str | None, as_json: bool) -> int:
    """Every acknowledged write that had not left its region when the region lost its data."""
    lab = project.running()
    rows = [row for row in pages(lab, "lost") if table in (None, row["table"])]
    unknown = lab.call("GET", "/api/lost")["unknown"]
    if as_json:
        print(json.dumps({"lost": rows, "unknown": unknown}, indent=2))
    else:
        print_lost(rows, unknown)
    return 0


def print_lost(rows: Sequence[Record], unknown: Sequence[Record]) -> None:
    """The lost writes for a person, and of which regions it is not known what was lost."""
    print_records(
        rows,
        {
            "Table": lambda row: str(row["table"]),
            "Key": lambda row: key_text(row["key"]),
            "Region": lambda row: str(row["region"]),
            "Written": lambda row: moment(row["time_ms"]),
            "Why": lambda row: str(row.get("reason", "")),
        },
        as_json=False,
        name="lost",
        none="No acknowledged write was lost, as far as is known." if unknown else "No acknowledged write was lost.",
    )
    for entry in unknown:
        print(f"What {entry['region']} lost is not known: {entry['reason']}.")
