"""Why a failover takes longer than the arithmetic says: the resolvers on the clients' side.

Route 53 has done its part when its answer changes. A client follows when its own resolver asks again, and what AWS can
say of that is the TTL, 60 seconds for an alias to an API. Detection plus TTL is the arithmetic; these clients of one
place show who keeps to it:

  1. One that asks for every request sees the new answer as soon as there is one: detection alone.
  2. One that keeps answers for their TTL comes at most that TTL later. Asking over TCP changes nothing.
  3. One that keeps answers for five minutes, whatever they say (many an internet provider's), comes up to five minutes
     later.
  4. One that keeps its first answer for ever (a JVM with a security manager), and one that pins the address it once got
     (a connection pool, a proxy that looked up its upstream when it started), never come: somebody has to restart them.
     DNS failover does nothing for these.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

import pytest
from rich.console import Console
from rich.table import Table

from lab.core.stub_resolver import Habits
from lab.testing import CallFromPlaceFailed, Lab, PlaceClient
from lab.testing.waiting import on_time

HEALTH = "http://api.lab.test/health"
PLACE = "dublin"
ALIAS_TTL_S = 60
OWN_TTL_S = 300
WITHIN_S = 1800.0
REAL_MARGIN_S = 2.0
"""What the work of a busy machine may add, in real time."""

CLIENTS = {
    "asks every time": Habits(ttl_s=0),
    "keeps to the TTL": Habits(),
    "the same, over TCP": Habits(tcp_only=True),
    f"keeps {OWN_TTL_S} s, whatever the TTL": Habits(ttl_s=OWN_TTL_S),
    "pins its first address": Habits(pin_address=True),
    "keeps its first answer for ever": Habits(cache_forever=True),
}
OBEDIENT = ("keeps to the TTL", "the same, over TCP")
STUBBORN = ("pins its first address", "keeps its first answer for ever")


@dataclass
class Journey:
    """How one client fared. `moved_s` is when another region served it, in lab seconds after the fault.

    `learned` is when its resolver was told what it then kept, by the clock that never jumps, and `last_at` for each
    region when the client last began to call it: what it was told is over by the next time, whenever that is.
    """

    client: PlaceClient
    learned: float = 0.0
    moved_s: float | None = None
    last_at: dict[str | None, float] = field(default_factory=dict)

    def is_served(self, region: str) -> bool:
        """Whether a request now is served, and by this region."""
        began = time.monotonic()
        try:
            answer = self.client.get(HEALTH)
        except CallFromPlaceFailed as error:
            self.last_at[error.region] = began
            return False
        self.last_at[answer.region] = began
        return answer.status == 200 and answer.region == region


def test_a_client_moves_when_its_resolver_asks_again_and_not_before(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.healthy()  # whatever ran before this
    journeys = {word: Journey(lab.place(PLACE, habits=habits)) for word, habits in CLIENTS.items()}
    home = lab.place(PLACE).get(HEALTH).region
    assert home is not None
    other = next(region.code for region in lab.regions if region.code != home)
    for journey in journeys.values():
        journey.client.resolver.flush()  # what each keeps, it has learned just before the region dies
        journey.learned = time.monotonic()
        assert journey.is_served(home)

    began = time.monotonic()
    lab.region(home).fail()
    still = {word: journey for word, journey in journeys.items() if word not in STUBBORN}

    def all_others_moved() -> bool:
        for journey in journeys.values():
            if journey.moved_s is None and journey.is_served(other):
                journey.moved_s = (time.monotonic() - began) * lab.speed
        return all(journey.moved_s is not None for journey in still.values())

    lab.eventually(all_others_moved, within_s=WITHIN_S)
    with capsys.disabled():
        show(journeys, home, other)

    moved = {word: journey.moved_s for word, journey in still.items() if journey.moved_s is not None}
    detected_s, margin_s = moved["asks every time"], REAL_MARGIN_S * lab.speed
    for word in OBEDIENT:
        with on_time():
            assert (journeys[word].last_at[home] - began) * lab.speed <= detected_s + ALIAS_TTL_S + margin_s
    keeper = f"keeps {OWN_TTL_S} s, whatever the TTL"
    learned = journeys[keeper].learned
    assert moved[keeper] + (began - learned) * lab.speed >= OWN_TTL_S
    with on_time():
        assert (journeys[keeper].last_at[home] - learned) * lab.speed <= OWN_TTL_S + margin_s
        assert moved[keeper] > max(moved[word] for word in OBEDIENT)
    for word in STUBBORN:
        assert journeys[word].moved_s is None, f"a client that {word} has moved"
        journeys[word].client.resolver.flush()  # somebody restarts it
        assert journeys[word].is_served(other)

    lab.region(home).heal()
    lab.eventually(lambda: all(journey.is_served(home) for journey in still.values()), within_s=WITHIN_S)
    # Those that were restarted have learned the other region, and will stay there as stubbornly.
    assert all(journeys[word].is_served(other) for word in STUBBORN)


def show(journeys: dict[str, Journey], home: str, other: str) -> None:
    """The table: when each client was served again, beside what detection and TTL add up to."""
    detected_s = journeys["asks every time"].moved_s or 0.0
    table = Table(title=f"{home} dies: when a client in {PLACE} is served by {other} (lab seconds)")
    columns: tuple[tuple[str, Literal["left", "right"]], ...] = (
        ("the client's resolver", "left"),
        ("served after", "right"),
        ("arithmetic", "right"),
    )
    for column, justify in columns:
        table.add_column(column, justify=justify)
    for word, journey in journeys.items():
        promised = detected_s if word == "asks every time" else detected_s + ALIAS_TTL_S
        after = "not before it is restarted" if journey.moved_s is None else f"{journey.moved_s:.0f} s"
        table.add_row(word, after, f"at most {promised:.0f} s")
    console = Console(width=100)
    console.print()
    console.print(table)
    console.print(
        f"Route 53 answered with {other} after {detected_s:.0f} s: that is detection. The rest is what resolvers keep:"
        f" the TTL of {ALIAS_TTL_S} s where they heed it, their own rules where they do not. A shorter TTL would not"
        " help those."
    )
