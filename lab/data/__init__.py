"""The data files that the lab ships, read once: regions, round trips between them, and places."""

from __future__ import annotations

import csv
import functools
from importlib import resources

from lab.core.geography import Coordinates, Geography
from lab.core.topology import Place


def _rows(name: str) -> list[list[str]]:
    return list(csv.reader(resources.files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines()))


@functools.cache
def geography() -> Geography:
    """AWS's regions and the round trips between them (see ATTRIBUTION.md beside the files)."""
    _, *regions = _rows("aws-regions-coordinates.csv")
    (_, *targets), *lines = _rows("aws-inter-region-p50-ms.csv")
    return Geography(
        regions={code: Coordinates(float(lat), float(lon)) for code, _, _, lat, lon in regions},
        round_trips={
            (source, target): float(value)
            for source, *values in lines
            for target, value in zip(targets, values, strict=True)
            if value
        },
    )


@functools.cache
def places() -> tuple[Place, ...]:
    """The cities that ship with the lab, each with a /24 of 198.18.0.0/15 as its client subnet."""
    _, *lines = _rows("places.csv")
    return tuple(
        Place(
            name,
            Coordinates(float(lat), float(lon)),
            country,
            continent,
            subdivision or None,
            f"198.18.{n}.0/24",
        )
        for n, (name, lat, lon, country, continent, subdivision) in enumerate(lines, start=1)
    )
