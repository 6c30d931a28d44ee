"""What the replicator does beside shipping: time to live, metrics, comparing replicas, telling of conflicts."""

import asyncio
import time

from replicator_lab import ReplicatorLab, metric
from waiting import eventually_async

from lab.core.faults import Fault

EAST, WEST = "us-east-1", "us-west-2"
TABLE = "things"


def test_expired_items_are_deleted_everywhere_with_dynamodbs_mark_where_they_expired() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST, speed=60.0) as lab:
            await lab.create_global(TABLE)
            for region in lab.regions:
                setting = {"Enabled": True, "AttributeName": "expires"}
                await lab.dynamodb(region, "UpdateTimeToLive", {"TableName": TABLE, "TimeToLiveSpecification": setting})
            now = int(time.time())
            for key, expires in (("old", now - 10), ("young", now + 1000), ("ancient", now - 10 * 365 * 24 * 3600)):
                item = {"id": {"S": key}, "expires": {"N": str(expires)}}
                await lab.dynamodb(EAST, "PutItem", {"TableName": TABLE, "Item": item})
            await lab.agree(TABLE)
            await eventually_async(lambda: gone(lab, "old"))
            assert sorted(await lab.agree(TABLE)) == ["ancient", "young"]
            removed = [
                r for region in lab.regions for r in await lab.records(region, TABLE) if r["eventName"] == "REMOVE"
            ]
            identities = [r["userIdentity"] for r in removed if "userIdentity" in r]
            assert identities
            assert identities[0] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}

    async def gone(lab: ReplicatorLab, key: str) -> bool:
        request = {"TableName": TABLE, "Key": {"id": {"S": key}}}
        return all(["Item" not in await lab.dynamodb(region, "GetItem", request) for region in lab.regions])

    asyncio.run(test())


def test_latency_is_published_in_the_source_region_by_table_and_receiving_region() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST, speed=60.0) as lab:
            await lab.create_global(TABLE)
            await lab.agree(TABLE)  # else the fill of the new replica may bring some of them
            for n in range(20):
                await lab.put(EAST, TABLE, f"k{n}", "1")
            await lab.agree(TABLE)
            points = await eventually_async(lambda: all_published(lab, 20))
            for point in points:
                assert 0 <= point["Minimum"] <= point["Average"] <= point["Maximum"] < 60_000
            assert await latency(lab, WEST) == []
            (pair,) = [p for p in (await lab.get("/status"))["pairs"] if p["source"] == EAST]
            assert pair["shipped"] == 20
            assert pair["lag_p50_ms"] <= pair["lag_p99_ms"]
            assert pair["rate_per_s"] >= 0

    asyncio.run(test())


async def all_published(lab: ReplicatorLab, writes: int) -> list[dict[str, float]]:
    """The data points of the first region, once they tell of all the writes: an hour may end among them."""
    points = await latency(lab, EAST)
    return points if sum(point["SampleCount"] for point in points) == writes else []


async def latency(lab: ReplicatorLab, region: str) -> list[dict[str, float]]:
    return await metric(lab, "ReplicationLatency", TABLE, region, WEST)


def test_replicas_are_compared_item_by_item() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            for key in ("same", "differs", "deleted"):
                await lab.put(EAST, TABLE, key, "1")
            await lab.agree(TABLE)
            found = await lab.get(f"/diff?table={TABLE}")
            assert (found["items"], found["differing"], found["differences"]) == ({EAST: 3, WEST: 3}, 0, [])
            await lab.fault(Fault("1", "replication_paused", 0, region=EAST))
            await lab.put(EAST, TABLE, "differs", "east")
            await lab.put(WEST, TABLE, "only west", "1")
            await lab.delete(EAST, TABLE, "deleted")
            assert (await lab.call("replicator", "GET", f"/diff?table={TABLE}&limit={'9' * 5_000}")).status == 400
            found = await lab.get(f"/diff?table={TABLE}&limit=2")
            assert (found["items"], found["differing"]) == ({EAST: 2, WEST: 4}, 3)
            assert [difference["key"] for difference in found["differences"]] == [
                {"id": {"S": "deleted"}},
                {"id": {"S": "differs"}},
            ]
            assert found["differences"][1]["items"][EAST]["v"] == {"S": "east"}
            assert found["differences"][0]["items"][EAST] is None
            response = await lab.call("replicator", "GET", "/diff?table=absent")
            assert response.status == 400
            assert TABLE.encode() in response.body

    asyncio.run(test())


def test_a_conflict_says_whether_the_loser_had_been_acknowledged() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            await lab.agree(TABLE)
            await lab.fault(Fault("1", "replication_paused", 0, region=EAST))
            await lab.put(EAST, TABLE, "acknowledged", "loses")
            await lab.put(EAST, TABLE, "nobody heard", "loses")
            lab.journals[EAST] = [e for e in lab.journals[EAST] if e["keys"] != [{"id": {"S": "nobody heard"}}]]
            await lab.put(EAST, TABLE, "later", "1")
            await asyncio.sleep(0.01)
            for key in ("acknowledged", "nobody heard"):
                await lab.put(WEST, TABLE, key, "wins")
            await lab.fault()
            await lab.agree(TABLE)
            conflicts = (await lab.get("/conflicts"))["conflicts"]
            assert {c["key"]["id"]["S"]: c["loser"]["acknowledged"] for c in conflicts} == {
                "acknowledged": True,
                "nobody heard": False,
            }
            assert {c["winner"]["region"] for c in conflicts} == {WEST}
            after = conflicts[0]["n"]
            assert [c["n"] for c in (await lab.get(f"/conflicts?after={after}"))["conflicts"]] == [after + 1]

    asyncio.run(test())


def test_convergence_that_cannot_be_says_what_is_left() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            await lab.agree(TABLE)
            lab.kill(f"engine-{WEST}")
            await lab.put(EAST, TABLE, "a", "1")
            await eventually_async(lambda: lab.captured(EAST, 1))
            answer = await lab.converged(TABLE, timeout_ms=500)
            assert answer["converged"] is False
            assert {"table": TABLE, "source": EAST, "target": WEST, "items": 1} in answer["left"]
            response = await lab.call("replicator", "POST", "/converged", b"[]")
            assert response.status == 400

    asyncio.run(test())
