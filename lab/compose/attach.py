"""Whether the lab of a folder runs in containers, found without Docker where there is nothing to find."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import EnvironmentFailure

if TYPE_CHECKING:
    from lab.cli.project import RunningLab
    from lab.compose.host import ComposeProject

STATE_FOLDER = Path(".lab", "compose")
"""In the folder of a lab in containers: what the host needs of its state, the project's name among it."""


def find_containers(folder: Path) -> ComposeProject | None:
    """The containers that were started from a folder, whatever state they are in; None if there are none."""
    if "LAB_IN_CONTAINER" in os.environ or not (folder / "docker-compose.yml").is_file():
        return None
    from lab.compose.host import find_project

    try:
        return find_project(folder, remains=True)
    except EnvironmentFailure:
        if (folder / STATE_FOLDER).is_dir():
            raise
        return None


def revive_control(folder: Path) -> list[str]:
    """Have control's container run, whom all else is asked of; what was done, in words.

    Nothing where the lab does not run in containers. Raises EnvironmentFailure, LabUnreachable.
    """
    if "LAB_IN_CONTAINER" in os.environ or not _is_lab_in_containers(folder):
        return []
    from lab.compose.host import revive

    return revive(folder)


def find_lab(folder: Path) -> RunningLab | None:
    """The lab in containers that belongs to a folder, or that this process is a part of."""
    if "LAB_IN_CONTAINER" in os.environ:
        from lab.compose.inside import attach_inside

        return attach_inside()
    if not _is_lab_in_containers(folder):
        return None
    from lab.compose.host import attach

    try:
        return attach(folder)
    except EnvironmentFailure:
        if (folder / STATE_FOLDER).is_dir():  # there was one: Docker has stopped half-way
            raise
        return None


def _is_lab_in_containers(folder: Path) -> bool:
    return (folder / "docker-compose.yml").is_file() or (folder / STATE_FOLDER / "project").is_file()
