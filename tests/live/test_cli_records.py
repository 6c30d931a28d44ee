"""`lab conflicts`, `lab lost` and `lab diff` on a real lab: two regions that were cut apart and joined again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from lab.testing import Lab

KEY = {"feedback_id": {"S": "contested"}}


def lab_line(lab: Lab, *arguments: str) -> tuple[int, str]:
    """The exit status and standard output of `lab ...` in the lab's folder."""
    folder = str(Path(lab.topology.state_dir).parent)
    command = [sys.executable, "-m", "lab.cli", "-C", folder, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    return done.returncode, done.stdout or done.stderr


def test_regions_that_were_cut_apart_differ_then_agree_and_leave_a_conflict(lab: Lab) -> None:
    first, second = lab.regions[:2]
    before = len(lab.conflicts())
    lab.cut(first.code, second.code)
    first.client("dynamodb").put_item(TableName="feedback", Item={**KEY, "value": {"S": "first"}})
    second.client("dynamodb").put_item(TableName="feedback", Item={**KEY, "value": {"S": "second"}})

    status, shown = lab_line(lab, "diff", "feedback")
    assert status == 1
    assert "feedback_id=contested" in shown and '"first"' in shown and '"second"' in shown

    lab.heal()
    lab.converged("feedback")
    status, shown = lab_line(lab, "diff", "feedback", "--json")
    assert status == 0 and json.loads(shown)["differing"] == 0

    status, shown = lab_line(lab, "conflicts", "--table", "feedback", "--json")
    recorded = json.loads(shown)["conflicts"]
    assert status == 0 and len(recorded) > before
    assert recorded[-1]["key"] == KEY
    assert {recorded[-1]["winner"]["region"], recorded[-1]["loser"]["region"]} == {first.code, second.code}
    status, shown = lab_line(lab, "conflicts")
    assert status == 0 and "contested" in shown


def test_nothing_lost_is_said(lab: Lab) -> None:
    lost = lab.lost()
    status, shown = lab_line(lab, "lost", "--json")
    assert status == 0 and len(json.loads(shown)["lost"]) == len(lost)
    if not lost:
        assert "No acknowledged write was lost." in lab_line(lab, "lost")[1]


def test_a_table_that_is_no_global_table_is_named_with_those_that_are(lab: Lab) -> None:
    status, shown = lab_line(lab, "diff", "nosuch")
    assert status == 2
    assert "no global table 'nosuch'; there are: feedback" in shown
