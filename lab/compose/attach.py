"""Whether the lab of a folder runs in containers, found without Docker where there is nothing to find."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import EnvironmentFailure

if TYPE_CHECKING:
    from lab.cli.project import RunningLab


def find_lab(folder: Path) -> RunningLab | None:
    """The lab in containers that belongs to a folder, or that this process is a part of."""
    if "LAB_IN_CONTAINER" in os.environ:
        from lab.compose.inside import attach_inside

        return attach_inside()
    if not (folder / "docker-compose.yml").is_file():
        return None
    from lab.compose.host import attach

    try:
        return attach(folder)
    except EnvironmentFailure:
        if (folder / ".lab" / "compose").is_dir():  # there was one: Docker has stopped half-way
            raise
        return None
