"""Draws requests over time as an SVG picture: a strip a client, coloured by the region that served, red for none.

What a request came to is drawn until its client's next one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, STRIP, GAP, TOP = 1000, 170, 18, 8, 80
COLOURS = ("#4477aa", "#228833", "#ccbb44", "#66ccee", "#aa3377")
FAILED = "#d62728"
TICK_S = 30


@dataclass(frozen=True)
class Mark:
    """One request: when, in lab seconds, and the region that served it, None if it failed."""

    at_s: float
    region: str | None


@dataclass(frozen=True)
class Strip:
    """One client's requests."""

    label: str
    marks: tuple[Mark, ...]


def spans(marks: Sequence[Mark], end_s: float) -> list[tuple[str | None, float, float]]:
    """Who served from when to when: requests in a row with one outcome are one span, which lasts until the next."""
    firsts = [mark for n, mark in enumerate(marks) if n == 0 or mark.region != marks[n - 1].region]
    ends = [mark.at_s for mark in firsts[1:]] + [end_s]
    return [(mark.region, mark.at_s, until_s) for mark, until_s in zip(firsts, ends, strict=True)]


def draw(title: str, strips: Sequence[Strip], regions: Sequence[str], moments: Sequence[tuple[float, str]]) -> str:
    """The picture; `moments` are vertical lines, in lab seconds since the first of them, with their names."""
    times = [mark.at_s for strip in strips for mark in strip.marks] + [at for at, _ in moments]
    low, high = min(times), max(times)
    scale = (WIDTH - LEFT - 20) / max(high - low, 1e-9)
    colours = dict(zip(regions, COLOURS, strict=False))
    height = TOP + len(strips) * (STRIP + GAP) + 60

    def x(at_s: float) -> float:
        return LEFT + (at_s - low) * scale

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
        f'<rect width="100%" height="100%" fill="white"/><text x="10" y="22" font-size="15">{escape(title)}</text>',
    ]
    for n, strip in enumerate(strips):
        y = TOP + n * (STRIP + GAP)
        parts.append(f'<text x="10" y="{y + 13}" font-size="12">{escape(strip.label)}</text>')
        for region, from_s, to_s in spans(strip.marks, high):
            width, colour = max(1.0, x(to_s) - x(from_s)), colours.get(region or "", FAILED)
            parts.append(f'<rect x="{x(from_s):.1f}" y="{y}" width="{width:.1f}" height="{STRIP}" fill="{colour}"/>')
    bottom = TOP + len(strips) * (STRIP + GAP)
    tops = [TOP - 12 - 14 * (n % 3) for n in range(len(moments))]  # names are above each other where moments are close
    for (at_s, _), y in zip(moments, tops, strict=True):
        parts.append(
            f'<line x1="{x(at_s):.1f}" x2="{x(at_s):.1f}" y1="{y}" y2="{bottom}" stroke="black" '
            'stroke-dasharray="4 3"/>'
        )
    for (at_s, name), y in zip(moments, tops, strict=True):
        parts.append(
            f'<text x="{x(at_s) + 3:.1f}" y="{y + 8}" font-size="11" stroke="white" stroke-width="3" '
            f'paint-order="stroke">{escape(name)}</text>'
        )
    for second in range(math.ceil(low / TICK_S) * TICK_S, math.floor(high) + 1, TICK_S):
        parts.append(
            f'<line x1="{x(second):.1f}" x2="{x(second):.1f}" y1="{bottom}" y2="{bottom + 5}" stroke="black"/>'
            f'<text x="{x(second):.1f}" y="{bottom + 17}" font-size="11" text-anchor="middle">{second} s</text>'
        )
    for n, (name, colour) in enumerate([*colours.items(), ("failed", FAILED)]):
        at = LEFT + n * 150
        parts.append(f'<rect x="{at}" y="{bottom + 28}" width="14" height="14" fill="{colour}"/>')
        parts.append(f'<text x="{at + 20}" y="{bottom + 40}" font-size="12">{escape(name)}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
