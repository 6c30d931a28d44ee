"""`lab drill`: run a drill against the running lab and judge what happened."""

from __future__ import annotations

import click

from lab.cli.project import Project


@click.command(short_help="run a drill")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def drill(project: Project, name: str | None, as_json: bool) -> int:
    """Run the drill NAME; without one, list the drills. Exit status 0 pass, 1 fail, 2 unknown."""
    from lab.errors import UserError

    raise UserError("this lab has no drills yet")
