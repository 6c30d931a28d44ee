"""What the accelerator exists for: how soon someone far away is answered, beside DNS routing to the same region.

Both ways lead to the same load balancers and functions, on a lab at AWS's pace that adds the latency of its matrix. By
DNS a new connection is two round trips over the internet. Through the accelerator the handshake ends at the edge
location near the client, and the rest goes over AWS's network: little is won where the internet is as good as that
(the matrix knows no difference), the more the worse the internet is. One place has it 1.5 times as slow, set by hand.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from accelerated_items import ANYCAST, DNS, call, deploy
from rich.console import Console
from rich.table import Table

from lab.core.accelerator_path import accelerated_path, round_trip_ms
from lab.data import geography
from lab.testing import Lab, session
from lab.testing.waiting import on_time

PLACES = ("newyork", "dublin", "saopaulo", "auckland", "nairobi", "mumbai", "lagos")
SLOW = {"lagos": ("us-east-1", 210.0)}
"""Places with a slow internet: the region that DNS routes them to, and the round trip to it in milliseconds."""
SETTINGS = "[accelerator]\nlatency = true\ndelay_s = 0\n" + "".join(
    f'[[round_trips]]\nsource = "{place}"\ntarget = "{region}"\nround_trip_ms = {ms}\n'
    for place, (region, ms) in SLOW.items()
)
TIMES = 6
WORK_MS = 250.0
"""What the lab's own work may add to the fastest of several answers."""


@dataclass(frozen=True)
class Answered:
    """First answers from one place one way: who served, the median and least time, and the matrix's own, in ms."""

    region: str
    median_ms: float
    least_ms: float
    distance_ms: float


@pytest.fixture(scope="module")
def far_lab() -> Iterator[Lab]:
    """A lab whose load balancers and accelerators are as far away as they are."""
    started = session.start("own", speed=1.0, settings=SETTINGS)
    try:
        yield started.lab
    finally:
        started.stop()


def ask(lab: Lab, place: str, name: str) -> tuple[str, list[float]]:
    """The region that served and how long each of several new connections took, in milliseconds, without DNS."""
    address = lab.place(place).resolver.lookup(name).addresses[0]
    call(lab, place, name, "/get/none", address)  # the function's environment is warm after this
    found = [call(lab, place, name, "/get/none", address) for _ in range(TIMES)]
    (region,) = {one.region for one in found}
    assert region is not None, found
    return region, [one.took_s * 1000 for one in found]


def test_the_accelerator_answers_far_places_sooner_than_dns_routing(
    far_lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = far_lab
    deploy(lab).restore()

    def measure(place: str) -> tuple[Answered, Answered]:
        region, took = ask(lab, place, DNS)
        direct_ms = 2 * round_trip_ms(lab.topology, geography(), lab.topology.place(place), region)
        direct = Answered(region, statistics.median(took), min(took), direct_ms)
        region, took = ask(lab, place, ANYCAST)
        path = accelerated_path(lab.topology, geography(), lab.topology.place(place), region)
        return direct, Answered(region, statistics.median(took), min(took), path.first_answer_ms)

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(PLACES, pool.map(measure, PLACES), strict=True))
    with capsys.disabled():
        show(lab, found)
    for place, (direct, fast) in found.items():
        for one in (direct, fast):
            assert one.distance_ms - 2 <= one.least_ms, (place, one)
            with on_time():
                assert one.least_ms <= one.distance_ms + WORK_MS, (place, one)
        assert fast.distance_ms <= direct.distance_ms + 0.1
    for place in SLOW:
        direct, fast = found[place]
        with on_time():
            assert fast.least_ms < direct.least_ms


def show(lab: Lab, found: dict[str, tuple[Answered, Answered]]) -> None:
    """The table, a row a place, with a bar as long as the answer took."""
    table = Table(title="First answer on a new connection, by DNS and through the accelerator (ms, median)")
    for column in ("place", "served by", "DNS", "edge", "anycast", "won", ""):
        table.add_column(column, justify="right" if column in ("DNS", "anycast", "won") else "left")
    longest = max(direct.median_ms for direct, _ in found.values())
    for place, (direct, fast) in found.items():
        edge = geography().nearest_region(lab.topology.place(place).coordinates)
        bars = "\n".join(
            f"[{colour}]{'█' * max(1, round(24 * one.median_ms / longest))}[/]"
            for one, colour in ((direct, "blue"), (fast, "green"))
        )
        table.add_row(
            f"{place}{' *' if place in SLOW else ''}",
            direct.region if direct.region == fast.region else f"{direct.region}, {fast.region}",
            f"{direct.median_ms:.0f}",
            edge,
            f"{fast.median_ms:.0f}",
            f"{direct.median_ms - fast.median_ms:.0f}",
            bars,
        )
    console = Console(width=110)
    console.print()
    console.print(table)
    console.print("* with an internet 1.5 times as slow as AWS's network, set by hand (round_trips in lab.toml)")
