"""A region dies under load, and everyone sees what the design does.

People in three places write and read feedback all the time; latency records send each to its nearest region. Then that
region goes down. What follows is arithmetic that AWS documents:

  1. Its API refuses connections. Requests fail, from the places that it served; the others notice nothing.
  2. Health checkers fail three checks, ten seconds apart. When 82 % of them agree the health check is unhealthy.
  3. DNS leaves its record out at once, but resolvers keep the old answer until its TTL (60 s for an alias) is over.
  4. Each place asks again, gets the other region, and is served. That moment is its recovery time.
  5. The region comes back. Its checks pass, DNS prefers it again, and the writes that it missed are replicated to it.

Nothing acknowledged may be missing afterwards: the region kept its data, and what had not left it is shipped late.
With `lose_data` its disks are gone too. Then the writes that had not been replicated are lost for good: that is the
recovery point of asynchronous replication, and the lab reports exactly which ones they were.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.drills import Report
from lab.testing import Lab


@pytest.mark.parametrize("lose_data", [False, True], ids=["plain", "lose_data"])
def test_every_place_is_served_by_another_region_when_one_dies(
    lab: Lab, drill: Callable[..., Report], lose_data: bool
) -> None:
    victim = lab.regions[0].code

    report = drill("region_outage", region=victim, lose_data=lose_data)

    served_by_victim = [line for line in report.places if line.region_before == victim]
    others = [line for line in report.places if line.region_before != victim]
    assert served_by_victim and others

    # The places of the dead region lose requests, move to another region, and come back when it does.
    for line in served_by_victim:
        assert line.failed > 0
        assert line.region_during != victim
        assert line.region_after == victim

    # For everybody else nothing happens: this is what active-active buys.
    assert all(line.failed == 0 for line in others)

    # Recovery time: detection and TTL, and not more.
    assert report.recovery_time_ms is not None and report.bound is not None
    assert report.recovery_time_ms <= report.bound.total_ms

    # Recovery point: nothing, unless the region's data went with it.
    assert report.recovery_point_ms is not None
    if lose_data:
        assert report.lost_writes > 0
        assert report.recovery_point_ms > 0
    else:
        assert report.lost_writes == 0
        assert report.recovery_point_ms == 0

    # And every other checker over the recorded history: each acknowledged write in every region or among the reported
    # losses, no phantom, no wrong read, replicas equal item by item.
    assert report.verdict == "pass", [finding for finding in report.findings if finding.verdict != "pass"]
