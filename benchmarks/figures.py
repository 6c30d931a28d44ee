"""One figure of a benchmark: what was measured, what it is held against, and the table that a run prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """A measured value against a bound. `bound` None is printed for comparison only."""

    name: str
    value: float
    unit: str
    bound: float | None = None
    sense: Literal["at most", "at least"] = "at most"

    @property
    def met(self) -> bool | None:
        if self.bound is None:
            return None
        return self.value <= self.bound if self.sense == "at most" else self.value >= self.bound


def print_figures(title: str, figures: list[Figure]) -> int:
    """Print the table; returns the exit status: 0 if every bound was met, 1 otherwise."""
    print(f"\n{title}")
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        bound = "" if figure.bound is None else f"{figure.sense} {figure.bound:g} {figure.unit}"
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        print(f"  {figure.name:<{width}}  {figure.value:>10.3f} {figure.unit:<6} {bound:<20} {verdict}".rstrip())
    return 0 if all(figure.met is not False for figure in figures) else 1
