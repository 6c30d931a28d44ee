"""`lab conflicts`: what the replicator recorded where two regions wrote one item without knowing of each other."""

from __future__ import annotations

import click

from lab.cli.project import Project
from lab.cli.records import key_text, moment, pages, print_records


@click.command(short_help="writes of two regions that met")
@click.option("--table", metavar="NAME", help="those of one table")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def conflicts(project: Project, table: str | None, as_json: bool) -> int:
    """Every recorded conflict: the key, both writes with region and time, which won, and what the loser's client knew.

    AWS records none of this: the last writer wins, and the other write is gone without a trace.
    """
    found = pages(project.running(), "conflicts")
    rows = [row for row in found if table in (None, row["table"])]
    print_records(
        rows,
        {
            "Table, key": lambda row: f"{row['table']}\n{key_text(row['key'])}",
            "Winner": lambda row: f"{row['winner']['region']}\n{moment(row['winner']['time_ms'])}",
            "Loser": lambda row: f"{row['loser']['region']}\n{moment(row['loser']['time_ms'])}",
            "Loser acknowledged": lambda row: {True: "yes", False: "no", None: "not known"}[
                row["loser"]["acknowledged"]
            ],
        },
        as_json=as_json,
        name="conflicts",
        none="No conflict was recorded.",
    )
    return 0
