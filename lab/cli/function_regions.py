"""Which regions have a function, for `lab logs`: of those too that somebody made through Lambda's API."""

from __future__ import annotations

from typing import Any

from lab.cli.project import RunningLab
from lab.errors import UserError


def regions_by_function(document: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The regions of every function of the document `functions`."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in document["functions"]:
        found[entry["name"]] = (*found.get(entry["name"], ()), entry["region"])
    return found


def chosen_regions(lab: RunningLab, function: str, regions: tuple[str, ...], wanted: str | None) -> tuple[str, ...]:
    """Of a function's regions the one that is wanted, or all. Raises UserError if it is not among them."""
    if wanted is None:
        return regions
    if lab.region(wanted) not in regions:
        raise UserError(f"{wanted} has no function {function}: it is in {', '.join(regions)}")
    return (wanted,)
