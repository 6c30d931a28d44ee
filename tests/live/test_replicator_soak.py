"""Load in several regions while replicator and engines are killed at random moments; every write is accounted for.

A short form runs with the other tests; `make soak` runs minutes of it.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from replicator_lab import ReplicatorLab

from lab.live.http_client import CallFailed

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "sa-east-1")
TABLE = "things"
KEYS = 60
PAUSE_S = 0.002
Version = tuple[int, str, int]


@dataclass
class Load:
    """Writers in every region: what was acknowledged, and what may have been done all the same."""

    lab: ReplicatorLab
    seed: int
    writing: bool = True
    acknowledged: dict[str, dict[Version, str | None]] = field(default_factory=dict)
    unheard: dict[str, set[str | None]] = field(default_factory=dict)

    @property
    def writes(self) -> int:
        """How many were acknowledged."""
        return sum(len(found) for found in self.acknowledged.values())

    async def write(self, region: str) -> None:
        chance = random.Random(f"{self.seed}:{region}")
        number = 0
        while self.writing:
            number += 1
            key = f"k{chance.randrange(KEYS)}"
            value = None if chance.random() < 0.15 else f"{region} {number}"
            before = len(self.lab.journals[region])
            try:
                if value is None:
                    await self.lab.delete(region, TABLE, key)
                else:
                    await self.lab.put(region, TABLE, key, value)
            except (CallFailed, AssertionError, ValueError):  # the engine is gone, or its table is not there yet
                self.unheard.setdefault(key, set()).add(value)
                await asyncio.sleep(0.05)
                continue
            for entry in self.lab.journals[region][before:]:
                sequence = entry["sequence"]
                version = (int(sequence[:20]), region, int(sequence[20:]))
                self.acknowledged.setdefault(key, {})[version] = value
            await asyncio.sleep(PAUSE_S)


async def run(regions: tuple[str, ...], seconds: float, seed: int, *, kill_engines: bool) -> None:
    chance = random.Random(seed)
    async with ReplicatorLab(*regions) as lab:
        await lab.create_global(TABLE)
        await lab.agree(TABLE)
        load = Load(lab, seed)
        writers = [asyncio.create_task(load.write(region)) for region in regions]
        end = time.monotonic() + seconds
        kills = 0
        while time.monotonic() < end or load.writes <= 20 * seconds:  # a slow machine takes longer for as much
            await asyncio.sleep(chance.uniform(0.05, 1.0))
            names = ["replicator", *(f"engine-{region}" for region in regions if kill_engines and kills % 2)]
            await lab.restart(chance.choice(names))
            kills += 1
        load.writing = False
        await asyncio.gather(*writers)
        contents = await lab.agree(TABLE)
        final = {key: item["v"]["S"] for key, item in contents.items()}
        lost = await lost_writes(lab)
        problems = list(judge(load, final, lost))
        assert not problems, f"seed {seed}, {load.writes} writes, {kills} kills: {problems[:5]}"
        assert kill_engines or not lost


async def lost_writes(lab: ReplicatorLab) -> set[tuple[str, int, str]]:
    found: set[tuple[str, int, str]] = set()
    after = 0
    while page := (await lab.get(f"/lost?after={after}"))["lost"]:
        found.update((entry["key"]["id"]["S"], entry["time_ms"], entry["region"]) for entry in page)
        after = page[-1]["n"]
    return found


def judge(load: Load, final: dict[str, str], lost: set[tuple[str, int, str]]) -> Iterator[str]:
    """Each acknowledged write is there, or a later one is, or it is reported lost."""
    for key, writes in load.acknowledged.items():
        if final.get(key) in load.unheard.get(key, ()):
            continue  # a write whose answer nobody heard won: when it was made is not known
        kept = {version: value for version, value in writes.items() if (key, version[0], version[1]) not in lost}
        expected = kept[max(kept)] if kept else None
        if final.get(key) != expected:
            yield f"{key} is {final.get(key)!r}; the last write that is not lost is {expected!r}"
    for key, value in final.items():
        known = set(load.acknowledged.get(key, {}).values()) | load.unheard.get(key, set())
        if value not in known:
            yield f"{key} is {value!r}, which nobody wrote"


def test_kills_of_the_replicator_lose_nothing() -> None:
    asyncio.run(run(REGIONS[:2], 5, seed=1, kill_engines=False))


def test_kills_of_replicator_and_engines_are_accounted_for() -> None:
    asyncio.run(run(REGIONS[:3], 6, seed=2, kill_engines=True))


@pytest.mark.soak
@pytest.mark.parametrize("regions", [2, 5])
@pytest.mark.parametrize("kill_engines", [False, True], ids=["replicator", "engines too"])
def test_minutes_of_kills_are_accounted_for(regions: int, kill_engines: bool) -> None:
    asyncio.run(run(REGIONS[:regions], 120, seed=regions, kill_engines=kill_engines))
