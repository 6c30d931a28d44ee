"""`lab init`: a lab.toml with every setting, explained."""

from __future__ import annotations

from importlib import resources

import click

from lab.cli.project import Project
from lab.config.settings import FILE_NAME
from lab.errors import EnvironmentFailure, UserError


@click.command(short_help="write a lab.toml")
@click.option("--force", is_flag=True, help="replace the file that is there")
@click.option("--stdout", is_flag=True, help="print it instead")
@click.pass_obj
def init(project: Project, force: bool, stdout: bool) -> int:
    """Write a lab.toml in which every setting stands with its default and an explanation."""
    text = resources.files("lab.config").joinpath("template.toml").read_text(encoding="utf-8")
    if stdout:
        print(text, end="")
        return 0
    path = project.folder / FILE_NAME
    if path.exists() and not force:
        raise UserError(f"{path} exists already; `lab init --force` replaces it, `lab init --stdout` prints a new one")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentFailure(f"{path} cannot be written: {error.strerror}") from error
    print(f"Wrote {path}. Start with `lab up`.")
    return 0
