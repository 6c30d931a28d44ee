"""`lab drill`: run a drill against the running lab, or one of its own, and judge what happened."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from lab.cli.project import Project
from lab.cli.starting import ignore_signals

if TYPE_CHECKING:
    from lab.core.history import Event
    from lab.testing import Lab


@click.command(short_help="run a drill")
@click.argument("name", required=False)
@click.option("--region", metavar="REGION", help="the region that fails; the first one unless given")
@click.option("--other-region", metavar="REGION", help="split_brain: the far side of the cut")
@click.option("--from", "places", metavar="PLACE", multiple=True, help="a place that sends load; may be repeated")
@click.option("--lose-data", is_flag=True, help="region_outage: the region's data is lost with it")
@click.option("--speed", type=float, metavar="N", help="start a lab for this drill alone, with every wait divided by N")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def drill(
    project: Project,
    name: str | None,
    region: str | None,
    other_region: str | None,
    places: tuple[str, ...],
    lose_data: bool,
    speed: float | None,
    as_json: bool,
) -> int:
    """Run the drill NAME; without one, list the drills. Exit status 0 pass, 1 fail, 2 unknown."""
    from lab.config.settings import check_speed
    from lab.drills import DESCRIPTIONS, DrillOptions, require_drill, run_drill
    from lab.drills.show import print_report, report_json
    from lab.report import print_json

    if name is None:
        if as_json:
            print_json({"drills": DESCRIPTIONS})
        for known, description in DESCRIPTIONS.items() if not as_json else ():
            print(f"{known:<14}  {description}")
        return 0
    require_drill(name)  # mistakes are told before a lab is started for the drill
    if speed is not None:
        check_speed(speed)
    _end_in_order()
    options = DrillOptions(region, other_region, places, lose_data, None if as_json else _say)
    with _lab(project, speed) as lab:
        report = run_drill(name, lab, options)
    if as_json:
        print_json(report_json(report))
    else:
        print_report(report)
    return report.exit_status


def _end_in_order() -> None:
    """Have SIGTERM and SIGHUP end the drill as Ctrl-C does: healed, and without its own lab."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job, whose shell ignores it, too
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


@contextlib.contextmanager
def _lab(project: Project, speed: float | None) -> Iterator[Lab]:
    """The running lab, or one of the drill's own that goes when the drill ends."""
    from lab.testing import Lab, session

    if speed is not None:
        own = session.start("own", speed=speed)
        try:
            yield own.lab
        finally:
            ignore_signals()
            own.stop()
        return
    lab = Lab(project.running())
    try:
        yield lab
    finally:
        lab.close()


def _say(event: Event) -> None:
    """One line of progress on stderr, as it happens."""
    from lab.core.drill_timeline import event_text

    if sys.stderr.isatty():
        print(f"  {event_text(event)}", file=sys.stderr, flush=True)
