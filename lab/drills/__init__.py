"""Drills against a running lab: `run_drill(name, lab, options)` does one and returns its `Report`.

`lab drill` and the scenario tests both come here and print the report with `lab.drills.show`. Its `exit_status` is
0 (pass), 1 (fail) or 2 (unknown: the drill saw no evidence). A drill refuses to start on a lab with faults in force,
and heals what it broke however it ends.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.config.settings import suggestion
from lab.core.drill_report import Report
from lab.drills import outage, split_brain
from lab.drills.options import DrillOptions
from lab.errors import UserError
from lab.testing.lab import Lab

__all__ = ["DESCRIPTIONS", "DrillOptions", "Report", "require_drill", "run_drill"]

_RUNNERS: dict[str, Callable[[Lab, DrillOptions], Report]] = {
    "region_outage": outage.run_region_outage,
    "region_hang": outage.run_region_hang,
    "split_brain": split_brain.run_split_brain,
}
DESCRIPTIONS = {
    "region_outage": "a region goes down under load and comes back (lose_data: without its data)",
    "region_hang": "a region accepts connections and never answers: treated as one that is down",
    "split_brain": "two living regions lose the link between them and both write the same keys",
}
"""Every drill with one line on what it does."""


def run_drill(name: str, lab: Lab, options: DrillOptions | None = None) -> Report:
    """Run one drill. Raises UserError for an unknown name or a lab that cannot do it, LabError if the lab breaks."""
    require_drill(name)
    return _RUNNERS[name](lab, options or DrillOptions())


def require_drill(name: str) -> None:
    """Raises UserError if there is no such drill."""
    if name not in _RUNNERS:
        raise UserError(f"unknown drill {name!r}: {suggestion(name, _RUNNERS)}")
