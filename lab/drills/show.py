"""A report as people read it (rich) and as JSON."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.core import codec
from lab.core.consistency import Verdict
from lab.core.drill_report import Report

PLAIN_WIDTH = 100
"""Columns where the output is no terminal."""
STYLES: dict[Verdict, str] = {"pass": "green", "fail": "bold red", "unknown": "yellow"}


def report_json(report: Report) -> dict[str, Any]:
    """The report as a JSON value, with its exit status."""
    value: dict[str, Any] = codec.encode(report)
    return {**value, "exit_status": report.exit_status}


def print_report(report: Report, console: Console | None = None) -> None:
    """Print timeline, places or contests, findings and verdict; readable at 100 columns."""
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    console.print(f"\n[bold]{report.drill}[/]: {report.title} (speed {report.speed:g})\n", soft_wrap=True)
    if report.timeline:
        _print_timeline(report, console)
    if report.places:
        _print_places(report, console)
    if report.contests:
        _print_contests(report, console)
    _print_findings(report, console)
    console.print(Text.assemble("\nVerdict: ", (report.verdict, STYLES[report.verdict])))


def _print_timeline(report: Report, console: Console) -> None:
    for moment in report.timeline:
        console.print(Text(f"{moment.offset_ms / 1000:+9.2f} s  {moment.text}"), soft_wrap=True)
    console.print()


def _print_places(report: Report, console: Console) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("place", "served by", "during", "after"):
        table.add_column(name)
    for name in ("recovery time", "requests", "failed", "availability"):
        table.add_column(name, justify="right")
    for line in report.places:
        table.add_row(
            line.place,
            line.region_before or "-",
            line.region_during or "-",
            line.region_after or "-",
            seconds(line.recovery_time_ms),
            str(line.requests),
            str(line.failed),
            "-" if line.availability_percent is None else f"{line.availability_percent:.1f} %",
        )
    console.print(table)
    lost = f"{report.lost_writes} of {report.acknowledged_writes} acknowledged writes lost"
    if report.losses_unknown:
        lost = f"not known: {'; '.join(report.losses_unknown.values())}; {lost} as far as is known"
    console.print(f"\nRecovery time  {seconds(report.recovery_time_ms)}", end="")
    if report.bound is not None:
        bound = report.bound
        console.print(
            f"  (at most {seconds(bound.total_ms)}: detection {seconds(bound.detection_ms)}, "
            f"TTL {seconds(bound.ttl_ms)}, client {seconds(bound.client_ms)}, slack {seconds(bound.slack_ms)})",
            end="",
        )
    console.print(f"\nRecovery point {seconds(report.recovery_point_ms)}  ({lost})\n")


def _print_contests(report: Report, console: Console) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("key")
    table.add_column("written in, one after the other")
    table.add_column("won")
    for line in report.contests:
        won = line.winner_region or "nobody: " + ", ".join(f"{r} has {v}" for r, v in line.values.items())
        table.add_row(line.key, ", ".join(line.written_in), won)
    console.print(table)
    console.print()


def _print_findings(report: Report, console: Console) -> None:
    for finding in report.findings:
        mark = {"pass": "ok", "fail": "FAIL", "unknown": "?"}[finding.verdict]
        console.print(
            Text.assemble((f"{mark:>4}", STYLES[finding.verdict]), f"  {finding.checker}: {finding.summary}"),
            soft_wrap=True,
        )
        for line in finding.evidence:
            console.print(Text(f"        {line}"), soft_wrap=True)


def seconds(ms: int | None) -> str:
    """Milliseconds as seconds for people; a dash for what was not measured."""
    return "-" if ms is None else f"{ms / 1000:.2f} s"
