"""DNS failover against anycast failover, side by side, on the same load balancers and functions.

Both wait until the load balancer's health checks have noticed. Then DNS waits until each resolver's answer has expired
(60 seconds for an alias to a load balancer), the accelerator until it has acted (at most 30 seconds), and its clients
keep the address that they have.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from accelerated_items import (
    ANYCAST,
    DNS,
    HEALTH_CHECKS,
    Call,
    accelerator_status,
    call,
    deploy,
    every_s,
    load,
    put,
    served_by,
)
from accelerator_picture import Mark, Strip, draw
from rich.console import Console
from rich.table import Table

from lab.testing import Lab
from lab.testing.waiting import on_time

PLACES = ("dublin", "newyork", "saopaulo")
EVERY_S = 0.04
ALIAS_TTL_S = 60
WITHIN_S = 1800.0
REAL_MARGIN_S = 2.0
"""What the work of a busy machine may add, in real time."""
STILL_S = 0.5
"""Six clients of which none begins a request for so long: the machine stands still."""


@dataclass(frozen=True)
class Recovery:
    """How one client fared: lab seconds from the fault until it was served again for good, and requests that failed.

    `last_failed_s` is when the last request before that was sent: how long the next one took is the machine's affair.
    """

    place: str
    name: str
    recovered_s: float
    last_failed_s: float
    failed: int
    sent: int


def recovery(calls: list[Call], place: str, name: str, fault_s: float, healed_s: float, speed: float) -> Recovery:
    """What the requests between the fault and its end say."""
    during = [one for one in calls if (one.place, one.name) == (place, name) and fault_s <= one.began_s < healed_s]
    bad = [n for n, one in enumerate(during) if not one.good]
    if not bad:  # one slow request was all that this client had on its way
        return Recovery(place, name, 0.0, 0.0, 0, len(during))
    # Served again for good: from the first failure on, the first of five good answers in a row.
    start = next(n for n in range(bad[0], len(during)) if all(one.good for one in during[n : n + 5]))
    again, last_failed = during[start], during[start - 1]
    recovered_s = (again.began_s + again.took_s - fault_s) * speed
    return Recovery(place, name, recovered_s, (last_failed.began_s - fault_s) * speed, len(bad), len(during))


def stood_still_s(calls: list[Call], from_s: float, until_s: float, pause_s: float) -> float:
    """Real seconds in which no client began a request, beyond the pauses that they make: the machine did nothing."""
    begun = sorted(one.began_s for one in calls if from_s <= one.began_s < until_s)
    gaps = (later - earlier for earlier, later in pairwise(begun))
    return sum(gap for gap in gaps if gap > pause_s + STILL_S)


def test_the_static_addresses_recover_without_waiting_for_anyones_resolver(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    items = deploy(lab)
    items.restore()
    east, west = (region.code for region in lab.regions)
    put(lab, east, "one", "the first item")
    for place in PLACES:
        for name in (ANYCAST, DNS):
            lab.eventually(lambda place=place, name=name: call(lab, place, name, "/get/one").good)

    def all_served_by(calls: list[Call], region: str) -> bool:
        return all(served_by(calls, place, name, region)() for place in PLACES for name in (ANYCAST, DNS))

    with load(lab, PLACES, (ANYCAST, DNS), "/get/one", EVERY_S) as calls:
        lab.eventually(lambda: all_served_by(calls, east), within_s=WITHIN_S)
        fault_s, fault_ms = time.monotonic(), time.time() * 1000
        lab.region(east).fail()
        lab.eventually(lambda: all_served_by(calls, west), within_s=WITHIN_S)
        acted_s = (accelerator_acted_ms(lab) - fault_ms) / 1000 * lab.speed
        healed_s = time.monotonic()
        lab.region(east).heal()
        lab.eventually(lambda: all_served_by(calls, east), within_s=WITHIN_S)
        returned_s = time.monotonic()

    found = [recovery(calls, place, name, fault_s, healed_s, lab.speed) for place in PLACES for name in (ANYCAST, DNS)]
    delay_s = lab.topology.accelerator_delay_ms / 1000
    moments = [
        (0.0, f"{east} down"),
        (acted_s - delay_s, "health checks have noticed: DNS answers change"),
        (acted_s, "the accelerator acts"),
        ((healed_s - fault_s) * lab.speed, "healed"),
    ]
    strips = [
        Strip(
            f"{place} by {'anycast' if name == ANYCAST else 'DNS'}",
            tuple(
                Mark((one.began_s - fault_s) * lab.speed, one.region if one.good else None)
                for one in calls
                if (one.place, one.name) == (place, name)
            ),
        )
        for place in PLACES
        for name in (ANYCAST, DNS)
    ]
    picture = tmp_path / "anycast-against-dns.svg"
    picture.write_text(draw("A region dies: anycast against DNS", strips, (east, west), moments))
    with capsys.disabled():
        show(found, calls, (returned_s - healed_s) * lab.speed, picture)

    detection_s = HEALTH_CHECKS["HealthCheckIntervalSeconds"] * HEALTH_CHECKS["UnhealthyThresholdCount"]
    still_s = stood_still_s(calls, fault_s, healed_s, every_s(lab, EVERY_S))
    margin_s = (REAL_MARGIN_S + every_s(lab, EVERY_S) + still_s) * lab.speed
    for one in found:
        bound_s = detection_s + (delay_s if one.name == ANYCAST else ALIAS_TTL_S) + margin_s
        assert one.failed < one.sent
        with on_time():
            assert one.last_failed_s <= bound_s, (one, still_s)
    assert any(one.failed for one in found)


def accelerator_acted_ms(lab: Lab) -> float:
    """When the accelerator took an endpoint to be unhealthy, in real milliseconds since the epoch."""
    (accelerator,) = accelerator_status(lab)["accelerators"]
    endpoints = [e for group in accelerator["listeners"][0]["groups"] for e in group["endpoints"]]
    (since_ms,) = {e["since_ms"] for e in endpoints if e["health"] == "UNHEALTHY"}
    return float(since_ms)


def show(found: list[Recovery], calls: list[Call], return_s: float, picture: Path) -> None:
    """The table: a row a place, anycast and DNS beside each other."""
    table = Table(title="A region dies: anycast against DNS (lab seconds until served again; requests failed)")
    for column in ("place", "anycast s", "failed", "DNS s", "failed"):
        table.add_column(column, justify="left" if column == "place" else "right")
    by = {(one.place, one.name): one for one in found}
    for place in PLACES:
        anycast, dns = by[place, ANYCAST], by[place, DNS]
        table.add_row(
            place,
            f"{anycast.recovered_s:.1f}",
            f"{anycast.failed} of {anycast.sent}",
            f"{dns.recovered_s:.1f}",
            f"{dns.failed} of {dns.sent}",
        )
    console = Console(width=100)
    console.print()
    console.print(table)
    console.print(f"After the region was back, everyone was served by it again within {return_s:.0f} s.")
    reasons = Counter(one.why or f"status {one.status}" for one in calls if not one.good)
    console.print("Failed by: " + ", ".join(f"{why} ({count})" for why, count in reasons.most_common()))
    console.print(f"The picture: {picture}", soft_wrap=True)
