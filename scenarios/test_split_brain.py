"""Two living regions lose the link between them, and both go on writing the same items.

Neither can know what the other does: both accept every write, and both tell their clients that it is done. DynamoDB
global tables then keep, item by item, the write with the latest time, and nobody is told that the other one is gone: an
acknowledged write disappears although nothing failed. The lab records every such conflict, which AWS does not.

The drill lets each side write last in half of the keys, so that you see both sides win.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.drills import Report
from lab.testing import Lab


def test_the_last_writer_wins_on_both_sides_of_a_healed_cut(lab: Lab, drill: Callable[..., Report]) -> None:
    a, b = (region.code for region in lab.regions[:2])

    report = drill("split_brain", region=a, other_region=b)

    # The value that won is the one written last, whichever side that was ...
    assert {line.winner_region for line in report.contests} == {a, b}
    for line in report.contests:
        assert line.winner == line.writes[-1]
        # ... and every region has it.
        assert set(line.values.values()) == {line.winner}

    # The other side's write was acknowledged, and is gone. The lab has recorded it as a conflict.
    assert len(lab.conflicts()) >= len(report.contests)
    assert report.verdict == "pass", [finding for finding in report.findings if finding.verdict != "pass"]
