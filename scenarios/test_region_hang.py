"""A region that hangs is treated as one that is down; it only takes longer to notice.

Connections open and nothing comes back: the gray failure that a client cannot tell from a slow answer. Each request
costs its whole timeout, and each health check too before it counts as failed. Nobody may wait for ever, no write may be
done twice, and a write whose answer never came is `unknown`: it may be there afterwards or not, in all regions alike.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.drills import Report
from lab.testing import Lab


def test_a_region_that_hangs_is_left_like_one_that_is_down(lab: Lab, drill: Callable[..., Report]) -> None:
    victim = lab.regions[0].code

    report = drill("region_hang", region=victim)

    moved = [line for line in report.places if line.region_before == victim]
    assert moved
    for line in moved:
        assert line.failed > 0
        assert line.region_during != victim
        assert line.region_after == victim
    assert report.recovery_time_ms is not None and report.bound is not None
    assert report.recovery_time_ms <= report.bound.total_ms
    assert report.lost_writes == 0
    assert report.verdict == "pass", [finding for finding in report.findings if finding.verdict != "pass"]
