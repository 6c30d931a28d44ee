"""What the scenarios share: `drill` runs one on the lab and shows its report, also when the test passes.

What only did not happen in time, while the machine was overloaded, shows nothing, as with drills: the scenario is
skipped, with the measure. What must never happen fails it on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from lab.core.drill_machine import MACHINE
from lab.drills import DrillOptions, Report, run_drill
from lab.drills.show import print_report
from lab.testing import Lab
from lab.testing.machine_watch import MachineWatch
from lab.testing.waiting import NotYet

WATCH = pytest.StashKey[MachineWatch]()


@pytest.fixture(autouse=True)
def watched(request: pytest.FixtureRequest) -> Iterator[None]:
    """Measures the machine during each test, whatever lab it has."""
    lab = request.getfixturevalue("far_lab" if "far_lab" in request.fixturenames else "lab")
    with MachineWatch(lab) as watch:
        request.node.stash[WATCH] = watch
        yield


def _unless_overloaded(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    except NotYet:
        if WATCH in item.stash and (why := item.stash[WATCH].overload()):
            pytest.skip(why)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Fixtures that wait for a lab that is well."""
    return (yield from _unless_overloaded(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """The scenario itself."""
    return (yield from _unless_overloaded(item))


@pytest.fixture
def drill(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Callable[..., Report]:
    """`drill("region_outage", lose_data=True)`: the report, printed past pytest's capture."""

    def run(name: str, **options: Any) -> Report:
        report = run_drill(name, lab, DrillOptions(**options))
        with capsys.disabled():
            print_report(report)
        kept_up = report.findings[-1]
        if report.verdict == "unknown" and kept_up.checker == MACHINE and kept_up.verdict == "unknown":
            pytest.skip(kept_up.summary)  # neither right nor wrong: nothing was shown
        return report

    return run
