"""What the scenarios share: `drill` runs one on the lab and shows its report, also when the test passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.core.drill_machine import MACHINE
from lab.drills import DrillOptions, Report, run_drill
from lab.drills.show import print_report
from lab.testing import Lab


@pytest.fixture
def drill(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Callable[..., Report]:
    """`drill("region_outage", lose_data=True)`: the report, printed past pytest's capture."""

    def run(name: str, **options: Any) -> Report:
        report = run_drill(name, lab, DrillOptions(**options))
        with capsys.disabled():
            print_report(report)
        kept_up = report.findings[-1]
        if kept_up.checker == MACHINE and kept_up.verdict == "unknown":
            pytest.skip(kept_up.summary)  # neither right nor wrong: nothing was shown
        return report

    return run
