"""Histories that ended with replicas that differ, or never ended, made small: gaps of streams that meet losses."""

from __future__ import annotations

import pytest

from lab.sim.plan import REGIONS, Plan, PlannedFault, PlannedWrite
from lab.sim.run import run_plan

AP, EU, US = REGIONS
PLANS = {
    "a page that is older than a second gap": Plan(
        seed=5263,
        fences=False,
        delay_ms=2,
        keys=4,
        writes=(
            PlannedWrite(7, US, 3, b"8"),
            PlannedWrite(16, US, 1, b"16"),
            PlannedWrite(18, AP, 3, b"17"),
            PlannedWrite(25, AP, 2, b"24"),
        ),
        faults=(
            PlannedFault("gap", 55, 149, AP, EU),
            PlannedFault("drop", 23, 79, EU, US),
            PlannedFault("gap", 15, 96, AP, US),
        ),
    ),
    "a delete in a gap that another region's delete outlived": Plan(
        seed=5433,
        fences=True,
        delay_ms=2,
        keys=5,
        writes=(
            PlannedWrite(905, US, 2, b"43"),
            PlannedWrite(944, US, 2, None),
            PlannedWrite(946, EU, 2, None),
            PlannedWrite(1001, US, 3, b"47"),
        ),
        faults=(
            PlannedFault("lose_data", 1030, 1401, EU, AP),
            PlannedFault("cut", 258, 1209, EU, AP),
            PlannedFault("cut", 231, 1270, EU, US),
            PlannedFault("gap", 947, 1108, US, EU),
        ),
    ),
    "a delete in a gap of the only region that kept its data": Plan(
        seed=5718,
        fences=True,
        delay_ms=60,
        keys=3,
        writes=(
            PlannedWrite(368, AP, 2, b"19"),
            PlannedWrite(665, AP, 2, None),
        ),
        faults=(
            PlannedFault("late_replica", 235, 590, AP, US),
            PlannedFault("lose_data", 359, 1142, EU, US),
            PlannedFault("lose_data", 507, 1122, US, EU),
            PlannedFault("gap", 715, 1426, AP, US),
        ),
    ),
    "two gaps, the second while the first is closed": Plan(
        seed=6593,
        fences=False,
        delay_ms=2,
        keys=2,
        writes=(
            PlannedWrite(11, AP, 0, b"9"),
            PlannedWrite(39, US, 1, b"38"),
            PlannedWrite(43, AP, 1, None),
        ),
        faults=(
            PlannedFault("gap", 43, 129, AP, EU),
            PlannedFault("lose_data", 17, 93, EU, AP),
            PlannedFault("gap", 11, 91, AP, EU),
        ),
    ),
    "a late apply over a write in a gap": Plan(
        seed=10363,
        fences=False,
        delay_ms=10,
        keys=1,
        writes=(
            PlannedWrite(6, US, 0, b"5"),
            PlannedWrite(7, EU, 0, b"6"),
            PlannedWrite(15, AP, 0, b"15"),
            PlannedWrite(18, AP, 0, b"same"),
            PlannedWrite(19, AP, 0, b"20"),
            PlannedWrite(24, AP, 0, None),
            PlannedWrite(25, EU, 0, b"25"),
            PlannedWrite(25, AP, 0, b"26"),
            PlannedWrite(27, US, 0, b"28"),
            PlannedWrite(35, AP, 0, b"37"),
        ),
        faults=(
            PlannedFault("gap", 69, 132, AP, EU),
            PlannedFault("slow", 15, 82, US, EU),
            PlannedFault("lose_data", 89, 126, EU, US),
            PlannedFault("lose_data", 78, 123, US, EU),
            PlannedFault("crash", 57, 222, US, AP, 21),
        ),
    ),
    "a late apply of an older write after everything was lost": Plan(
        seed=10440,
        fences=True,
        delay_ms=2,
        keys=4,
        writes=(
            PlannedWrite(2, EU, 1, b"3"),
            PlannedWrite(5, EU, 1, b"6"),
            PlannedWrite(6, US, 2, b"7"),
            PlannedWrite(8, US, 2, b"9"),
            PlannedWrite(11, EU, 0, b"14"),
            PlannedWrite(11, EU, 2, b"15"),
            PlannedWrite(22, US, 0, b"23"),
            PlannedWrite(50, AP, 2, b"48"),
        ),
        faults=(
            PlannedFault("lose_data", 94, 193, US, AP),
            PlannedFault("late_replica", 42, 150, AP, EU),
            PlannedFault("slow", 18, 38, AP, US),
            PlannedFault("lose_data", 38, 97, EU, AP),
            PlannedFault("lose_data", 34, 44, AP, EU),
        ),
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_history_that_once_went_wrong_ends_as_the_last_writer_says(name: str) -> None:
    assert run_plan(PLANS[name]).problems == ()
