"""Crashes: of the replicator, which loses nothing, and of engines, which come back empty."""

import asyncio
import signal
from dataclasses import replace

import orjson
from replicator_lab import ReplicatorLab
from waiting import eventually_async

from lab.core.faults import Fault, FaultSet
from lab.core.table import KeyAttribute, Tables
from lab.live.clock import now_ms

EAST, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
TABLE = "things"


def test_a_replicator_killed_again_and_again_loses_nothing() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            writing = True

            async def write(region: str) -> dict[str, str]:
                last: dict[str, str] = {}
                n = 0
                while writing:
                    n += 1
                    last[f"{region}{n % 40}"] = str(n)
                    await lab.put(region, TABLE, f"{region}{n % 40}", str(n))
                return last

            writers = [asyncio.create_task(write(region)) for region in lab.regions]
            for pause_s in (0.05, 0.2, 0.1, 0.4):
                await asyncio.sleep(pause_s)
                await lab.restart("replicator")
            writing = False
            expected = {key: value for found in await asyncio.gather(*writers) for key, value in found.items()}
            contents = await lab.agree(TABLE)
            assert {key: item["v"]["S"] for key, item in contents.items()} == expected
            assert (await lab.get("/conflicts"))["conflicts"] == []

    asyncio.run(test())


def test_an_engine_that_restarts_empty_is_filled_from_the_other() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            for n in range(700):
                await lab.put(EAST if n % 2 else WEST, TABLE, f"k{n}", "x" * 300)
            before = await lab.agree(TABLE)
            await lab.restart(f"engine-{WEST}")
            await lab.put(EAST, TABLE, "k1", "after")
            await eventually_async(lambda: lab.value(WEST, TABLE, "k1"))
            before["k1"]["v"] = {"S": "after"}
            assert await lab.agree(TABLE) == before
            assert (await lab.get("/lost"))["lost"] == []

    asyncio.run(test())


def test_what_had_not_left_a_lost_region_is_reported_exactly() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST, EU) as lab:
            await lab.create_global(TABLE)
            await lab.put(WEST, TABLE, "both", "left in time")
            await lab.put(WEST, TABLE, "overwritten", "v0")
            await lab.agree(TABLE)
            cuts = [Fault(f"{n}", "cut", 0, region=WEST, target=other) for n, other in enumerate((EAST, EU))]
            await lab.fault(*cuts)
            await lab.put(WEST, TABLE, "captured", "v1")
            await lab.put(WEST, TABLE, "overwritten", "v1")
            await lab.put(WEST, TABLE, "overwritten", "v2")
            await lab.put(WEST, TABLE, "later won by east", "v1")
            await eventually_async(lambda: lab.captured(WEST, 6))
            await lab.fault(*cuts, Fault("down", "down", 0, region=WEST, lose_data=True))
            await lab.put(WEST, TABLE, "not captured", "v1")
            await lab.delete(WEST, TABLE, "both")
            await asyncio.sleep(0.02)
            await lab.put(EAST, TABLE, "later won by east", "east")
            await lab.restart(f"engine-{WEST}")
            await lab.fault()
            contents = await eventually_async(lambda: lab.agree(TABLE))
            assert {key: item["v"]["S"] for key, item in contents.items()} == {
                "both": "left in time",
                "overwritten": "v0",
                "later won by east": "east",
            }
            lost = (await lab.get("/lost"))["lost"]
            assert sorted((entry["key"]["id"]["S"], entry["reason"]) for entry in lost) == [
                ("both", "not_captured"),
                ("captured", "captured_not_shipped"),
                ("not captured", "not_captured"),
                ("overwritten", "captured_not_shipped"),
                ("overwritten", "not_captured"),
            ]

    asyncio.run(test())


def test_what_was_lost_is_unknown_while_a_journal_cannot_be_read_and_counted_when_it_can() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            await lab.put(WEST, TABLE, "both", "left in time")
            await lab.agree(TABLE)
            assert (await lab.get("/lost"))["unknown"] == []
            lab.unreadable_journals.add(WEST)
            await lab.fault(Fault("down", "down", 0, region=WEST, lose_data=True))
            await lab.put(WEST, TABLE, "not captured", "v1")
            await lab.restart(f"engine-{WEST}")
            await lab.fault()
            await lab.agree(TABLE)
            answer = await lab.get("/lost")
            assert answer["lost"] == []
            (unknown,) = answer["unknown"]
            assert (unknown["region"], unknown["reason"]) == (
                WEST,
                "the journal of us-west-2 cannot be read: its front answered with status 500",
            )
            assert (await lab.get("/status"))["lost_unknown"] == [unknown]

            await lab.restart("replicator")
            assert (await lab.get("/lost"))["unknown"] == [unknown]
            lab.unreadable_journals.clear()
            await eventually_async(lambda: known_again(lab))
            (lost,) = (await lab.get("/lost"))["lost"]
            assert (lost["key"]["id"]["S"], lost["region"], lost["reason"]) == ("not captured", WEST, "not_captured")

    asyncio.run(test())


def test_a_table_that_is_made_again_under_the_same_name_has_nothing_of_its_predecessor() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            await lab.put(EAST, TABLE, "both", "old")
            await lab.agree(TABLE)
            await lab.fault(Fault("cut", "cut", 0, region=EAST, target=WEST))
            for n in range(30):
                await lab.put(EAST, TABLE, f"waiting {n}", "old")
            await eventually_async(lambda: lab.captured(EAST, 31))
            replicator = lab.processes["replicator"]
            replicator.send_signal(signal.SIGSTOP)  # so that it never sees the time without the table
            for region in lab.regions:
                await lab.dynamodb(region, "DeleteTable", {"TableName": TABLE})
            lab.tables = Tables()
            lab.faults = FaultSet()
            await asyncio.sleep(0.01)
            made_ms = now_ms()
            for region in lab.regions:
                await lab.create(region, TABLE)
            lab.set_replicas(TABLE, EAST, WEST, table_created_ms=made_ms)
            replicator.send_signal(signal.SIGCONT)
            await lab.publish()
            await lab.put(EAST, TABLE, "both", "new")
            assert sorted(await lab.agree(TABLE)) == ["both"]
            assert all(pair["backlog"] == 0 for pair in (await lab.get("/status"))["pairs"])
            for region in (WEST, EAST):
                await lab.restart(f"engine-{region}")
                await eventually_async(lambda region=region: lab.value(region, TABLE, "both"))
                await lab.agree(TABLE)
            await lab.restart("replicator")
            assert sorted(await lab.agree(TABLE)) == ["both"]
            assert (await lab.get("/lost"))["lost"] == []

    asyncio.run(test())


def test_a_table_that_is_made_again_with_another_key_is_replicated_by_that_key() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            await lab.put(WEST, TABLE, "a", "old")
            await lab.agree(TABLE)
            replicator = lab.processes["replicator"]
            replicator.send_signal(signal.SIGSTOP)  # so that it never sees the time without the table
            for region in lab.regions:
                await lab.dynamodb(region, "DeleteTable", {"TableName": TABLE})
            lab.tables = Tables()
            for region in lab.regions:
                await lab.create(region, TABLE, "name")
            lab.set_replicas(TABLE, EAST, WEST, table_created_ms=now_ms())
            lab.tables = Tables((replace(lab.tables.global_tables[0], key=(KeyAttribute("name", "S"),)),))
            replicator.send_signal(signal.SIGCONT)
            await lab.publish()

            async def has(region: str) -> bool:
                request = {"TableName": TABLE, "Key": {"name": {"S": "b"}}}
                return "Item" in await lab.dynamodb(region, "GetItem", request)

            put = orjson.dumps({"TableName": TABLE, "Item": {"name": {"S": "b"}}})
            headers = [("X-Amz-Target", "DynamoDB_20120810.PutItem")]
            assert (await lab.client(f"engine-{EAST}").call("POST", "/", headers, put)).status == 200
            await eventually_async(lambda: has(WEST))
            await lab.restart(f"engine-{WEST}")
            await eventually_async(lambda: has(WEST))  # though its journal has keys of the first table
            assert lab.processes["replicator"].poll() is None
            assert (await lab.get("/lost"))["lost"] == []

    asyncio.run(test())


async def known_again(lab: ReplicatorLab) -> bool:
    return not (await lab.get("/lost"))["unknown"]


def test_what_a_region_lost_before_the_replicator_ever_reached_it_is_reported() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.fault(Fault("down", "down", 0, region=EAST))
            await lab.create_global(TABLE)
            await lab.put(EAST, TABLE, "gone", "1")
            await lab.put(EAST, TABLE, "written again", "1")
            await lab.restart(f"engine-{EAST}")
            await lab.put(EAST, TABLE, "written again", "2")
            await lab.put(WEST, TABLE, "west", "1")
            await lab.fault()
            await eventually_async(lambda: lab.value(EAST, TABLE, "west"))
            assert sorted(await lab.agree(TABLE)) == ["west", "written again"]
            lost = (await lab.get("/lost"))["lost"]
            assert [(e["key"]["id"]["S"], e["region"], e["reason"]) for e in lost if e["key"]["id"]["S"] == "gone"] == [
                ("gone", EAST, "not_captured")
            ]

    asyncio.run(test())


def test_what_was_written_before_a_table_was_replicated_is_not_lost_with_a_region() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST, EU) as lab:
            await lab.create(EAST, TABLE)
            for n in range(20):
                await lab.put(EAST, TABLE, f"k{n}", "before")
            await lab.delete(EAST, TABLE, "k0")
            await asyncio.sleep(0.01)
            await lab.create(WEST, TABLE)
            lab.set_replicas(TABLE, EAST, WEST)
            await lab.publish()
            assert len(await lab.agree(TABLE)) == 19
            for region in (WEST, EAST):
                await lab.restart(f"engine-{region}")
                await lab.put(WEST if region == EAST else EAST, TABLE, region, "after")
                await eventually_async(lambda region=region: lab.value(region, TABLE, region))
                await lab.agree(TABLE)  # filled again before the other one dies
            assert len(await lab.agree(TABLE)) == 21
            assert (await lab.get("/lost"))["lost"] == []

    asyncio.run(test())
