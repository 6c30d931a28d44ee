"""What replication relies on in a region's engine, the same of each: MiniStack as the lab runs it on one machine, and
LocalStack in the container of a region of `lab.testing.RegionContainers`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from contract_engine import REGION, Check, Engine, item, now_ms, on_container, on_ministack

from lab.live.replicator.engine import RETRIED
from lab.testing import RegionContainers

MARK = "1700000000000.7.eu-west-1"


@pytest.fixture(scope="module", params=["ministack", pytest.param("localstack", marks=pytest.mark.docker)])
def check(request: pytest.FixtureRequest) -> Iterator[Check]:
    """Each engine: `check(test)` runs a test on it."""
    if request.param == "ministack":
        yield on_ministack
        return
    with RegionContainers(engine=request.param) as regions:
        yield lambda test: on_container(regions, test)


def test_records_come_in_the_order_of_the_writes_with_rising_numbers_and_their_times(check: Check) -> None:
    async def test(engine: Engine) -> None:
        before = now_ms()
        for n in range(30):
            await engine.put(f"k{n % 3}", str(n))
        records = await engine.records()
        assert [r["dynamodb"]["NewImage"]["v"]["S"] for r in records] == [str(n) for n in range(30)]
        numbers = [r["dynamodb"]["SequenceNumber"] for r in records]
        assert all(len(number) == 30 and number.isdigit() for number in numbers)
        assert numbers == sorted(set(numbers))
        counters = [int(number[20:]) for number in numbers]
        assert counters == sorted(set(counters))
        assert all(before <= int(number[:20]) <= now_ms() for number in numbers)

    check(test)


def test_images_are_what_was_and_what_is(check: Check) -> None:
    async def test(engine: Engine) -> None:
        await engine.put("a", "1")
        await engine.ok(
            "UpdateItem",
            TableName=engine.table,
            Key={"id": {"S": "a"}},
            UpdateExpression="SET v = :v, w = :v",
            ExpressionAttributeValues={":v": {"S": "2"}},
        )
        await engine.delete("a")
        changes = [r["dynamodb"] for r in await engine.records()]
        second = {**item("a", "2"), "w": {"S": "2"}}
        assert [c.get("OldImage") for c in changes] == [None, item("a", "1"), second]
        assert [c.get("NewImage") for c in changes] == [item("a", "1"), second, None]
        assert all(c["Keys"] == {"id": {"S": "a"}} for c in changes)

    check(test)


def test_a_write_that_changes_nothing_leaves_no_record(check: Check) -> None:
    async def test(engine: Engine) -> None:
        first = await engine.put("a", "1")
        assert first.header("x-lab-sequence") is not None
        for nothing in (await engine.put("a", "1"), await engine.delete("absent")):
            assert nothing.header("x-lab-sequence") is None
        assert len(await engine.records()) == 1

    check(test)


def test_applies_are_marked_item_by_item_and_other_writes_are_not(check: Check) -> None:
    async def test(engine: Engine) -> None:
        await engine.put("local", "1")
        await engine.put("one", "1", ("x-lab-apply", MARK))
        puts = [{"PutRequest": {"Item": item(key, "2")}} for key in ("b", "one", "c")]
        requests = [*puts, {"DeleteRequest": {"Key": {"id": {"S": "local"}}}}]
        marks = " ".join(f"{n}.1.eu-west-1" for n in range(4))
        await engine.ok("BatchWriteItem", ("x-lab-apply", marks), RequestItems={engine.table: requests})
        await engine.put("d", "1")
        found = [(r["dynamodb"]["Keys"]["id"]["S"], r.get("lab")) for r in await engine.records()]
        assert found == [
            ("local", None),
            ("one", MARK),
            ("b", "0.1.eu-west-1"),
            ("one", "1.1.eu-west-1"),
            ("c", "2.1.eu-west-1"),
            ("local", "3.1.eu-west-1"),
            ("d", None),
        ]

    check(test)


def test_answers_say_where_in_the_stream_they_stand(check: Check) -> None:
    async def test(engine: Engine) -> None:
        answers = [await engine.put("a", str(n)) for n in range(3)]
        sequences = [r["dynamodb"]["SequenceNumber"] for r in await engine.records()]
        assert [answer.header("x-lab-sequence") for answer in answers] == sequences
        assert [answer.header("x-lab-position") for answer in answers] == [str(int(s[20:])) for s in sequences]
        _, read = await engine.ok("GetItem", TableName=engine.table, Key={"id": {"S": "a"}})
        assert read.header("x-lab-position") == answers[-1].header("x-lab-position")
        assert len({answer.header("x-lab-boot") for answer in answers}) == 1
        assert int(str(read.header("x-lab-boot")).partition("-")[0]) <= now_ms()

    check(test)


def test_an_apply_is_fenced_by_a_local_write_that_was_not_read(check: Check) -> None:
    async def test(engine: Engine) -> None:
        await engine.put("a", "seen")
        (seen,) = [r["dynamodb"]["SequenceNumber"] for r in await engine.records()]
        await engine.put("a", "unseen")
        apply = {"TableName": engine.table, "Item": item("a", "apply")}
        position = str(int(seen[20:]))
        refused = await engine.send("PutItem", apply, ("x-lab-apply", MARK), ("x-lab-after", f"{seen} {position}"))
        assert refused.status == 409
        batch = {"RequestItems": {engine.table: [{"PutRequest": {"Item": item(k, "apply")}} for k in ("b", "a")]}}
        marks = f"{MARK} {MARK}"
        refused = await engine.send("BatchWriteItem", batch, ("x-lab-apply", marks), ("x-lab-after", f"{seen} 0"))
        assert refused.status == 409
        assert (await engine.value("a"), await engine.value("b")) == ("unseen", None)
        other = {"TableName": engine.table, "Item": item("other", "apply")}
        let = await engine.send("PutItem", other, ("x-lab-apply", MARK), ("x-lab-after", f"{seen} {position}"))
        assert let.status == 200
        last = (await engine.records())[-1]["dynamodb"]["SequenceNumber"]
        let = await engine.send("PutItem", apply, ("x-lab-apply", MARK), ("x-lab-after", f"{last} {int(last[20:])}"))
        assert let.status == 200
        assert await engine.value("a") == "apply"

    check(test)


def test_an_apply_that_comes_after_a_newer_one_is_fenced(check: Check) -> None:
    async def test(engine: Engine) -> None:
        await engine.put("a", "1")
        (seen,) = [r["dynamodb"]["SequenceNumber"] for r in await engine.records()]
        newer = await engine.put("a", "newer", ("x-lab-apply", MARK), ("x-lab-after", f"{seen} {int(seen[20:])}"))
        late = {"TableName": engine.table, "Item": item("a", "late")}
        fence = ("x-lab-after", f"{seen} {int(seen[20:])}")
        assert (await engine.send("PutItem", late, ("x-lab-apply", MARK), fence)).status == 409
        fence = ("x-lab-after", f"{seen} {newer.header('x-lab-position')}")
        assert (await engine.send("PutItem", late, ("x-lab-apply", MARK), fence)).status == 200

    check(test)


def test_reading_goes_on_after_a_sequence_number_page_by_page(check: Check) -> None:
    async def test(engine: Engine) -> None:
        for n in range(25):
            await engine.put(f"k{n}", str(n))
        records = await engine.records(Limit=4)
        assert len(records) == 25
        middle = records[10]["dynamodb"]["SequenceNumber"]
        assert await engine.records("AFTER_SEQUENCE_NUMBER", middle) == records[11:]
        assert await engine.records("AFTER_SEQUENCE_NUMBER", records[-1]["dynamodb"]["SequenceNumber"]) == []
        refused = await engine.iterator("AFTER_SEQUENCE_NUMBER", f"{1:020d}{1:010d}")
        assert refused.status == 400
        assert b"TrimmedDataAccessException" in refused.body

    check(test)


def test_a_number_in_a_key_names_one_item_however_it_is_written(check: Check) -> None:
    async def test(engine: Engine) -> None:
        if engine.stands_in:
            pytest.skip("what stands in for DynamoDB Local here takes each spelling of a number for another key")
        table = f"{engine.table}-numbers"
        await engine.ok(
            "CreateTable",
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
            BillingMode="PAY_PER_REQUEST",
        )
        for first, second in (("1", "1.00"), ("100", "1E2"), ("0", "-0.0"), ("-0.5", "-.50")):
            await engine.ok("PutItem", TableName=table, Item={"id": {"N": first}, "v": {"S": "put"}})
            update = {"UpdateExpression": "SET w = v", "Key": {"id": {"N": second}}}
            await engine.ok("UpdateItem", TableName=table, **update)
            found, _ = await engine.ok("GetItem", TableName=table, Key={"id": {"N": second}}, ConsistentRead=True)
            assert found["Item"] == {"id": {"N": first}, "v": {"S": "put"}, "w": {"S": "put"}}
            await engine.ok("DeleteItem", TableName=table, Key={"id": {"N": second}})
        assert (await engine.ok("Scan", TableName=table))[0]["Items"] == []
        await engine.ok("DeleteTable", TableName=table)

    check(test)


def test_an_apply_that_is_refused_leaves_nothing_and_has_the_name_of_an_error_that_is_tried_again(check: Check) -> None:
    """What throttles an engine is not for a test to say; its refusals are treated as this one is."""

    async def test(engine: Engine) -> None:
        await engine.put("a", "1")
        absent = f"{engine.table}-absent"
        puts = [{"PutRequest": {"Item": item(key, "apply")}} for key in ("a", "b")]
        for operation, request in (
            ("PutItem", {"TableName": absent, "Item": item("a", "apply")}),
            ("BatchWriteItem", {"RequestItems": {absent: puts}}),
        ):
            marks = " ".join([MARK] * (2 if operation == "BatchWriteItem" else 1))
            refused = await engine.send(operation, request, ("x-lab-apply", marks))
            name = str(orjson.loads(refused.body)["__type"]).rpartition("#")[2]
            assert (refused.status, name in RETRIED) == (400, True)
        assert len(await engine.records()) == 1
        assert (await engine.value("a"), await engine.value("b")) == ("1", None)

    check(test)


def test_an_iterator_says_what_its_stream_lacks(check: Check) -> None:
    async def test(engine: Engine) -> None:
        await engine.put("a", "1")
        assert (await engine.iterator()).header("x-lab-trimmed") == ""
        (record,) = await engine.records()
        for enabled in (False, True):
            stream = {"StreamEnabled": enabled, **({"StreamViewType": "NEW_AND_OLD_IMAGES"} if enabled else {})}
            await engine.ok("UpdateTable", TableName=engine.table, StreamSpecification=stream)
        await engine.put("a", "2")
        trimmed = (await engine.iterator()).header("x-lab-trimmed")
        (left,) = await engine.records()
        assert record["dynamodb"]["SequenceNumber"] < str(trimmed) < left["dynamodb"]["SequenceNumber"]

    check(test)


def test_large_images_come_in_pages_of_a_megabyte(check: Check) -> None:
    async def test(engine: Engine) -> None:
        for n in range(12):
            await engine.put(f"k{n}", str(n % 10) * 200_000)
        assert len(await engine.records()) == 12

    check(test)


def test_a_cancelled_transaction_leaves_nothing_behind(check: Check) -> None:
    async def test(engine: Engine) -> None:
        await engine.put("a", "1")
        condition = {"ConditionExpression": "attribute_not_exists(id)"}
        items = [
            {"Put": {"TableName": engine.table, "Item": item("b", "1")}},
            {"Put": {"TableName": engine.table, "Item": item("a", "2"), **condition}},
        ]
        assert (await engine.send("TransactWriteItems", {"TransactItems": items})).status == 400
        assert len(await engine.records()) == 1
        await engine.ok("TransactWriteItems", TransactItems=items[:1])
        assert len(await engine.records()) == 2

    check(test)


def test_a_write_never_leaves_an_item_without_its_key(check: Check) -> None:
    async def test(engine: Engine) -> None:
        if engine.stands_in:
            pytest.skip("what stands in for DynamoDB Local here takes other attributes for the key")
        table, values = engine.table, {":x": {"S": "x"}}
        await engine.put("a", "1")
        for action in (
            {"Put": {"Item": {"v": {"S": "1"}}}},
            {"Put": {"Item": {}}},
            {"Delete": {"Key": {"v": {"S": "1"}}}},
            {"Delete": {"Key": {"id": {"S": "a"}, "v": {"S": "1"}}}},
            {"Update": {"Key": {}, "UpdateExpression": "SET v = :x", "ExpressionAttributeValues": values}},
            {"Update": {"Key": {"id": {"S": "a"}}, "UpdateExpression": "REMOVE id"}},
            {
                "Update": {
                    "Key": {"id": {"S": "b"}},
                    "UpdateExpression": "SET #key = :x",
                    "ExpressionAttributeNames": {"#key": "id"},
                    "ExpressionAttributeValues": values,
                }
            },
        ):
            ((kind, request),) = action.items()
            asked = [{"Put": {"TableName": table, "Item": item("other", "1")}}, {kind: {"TableName": table, **request}}]
            response = await engine.send("TransactWriteItems", {"TransactItems": asked})
            assert response.status == 400, action
            reasons = orjson.loads(response.body).get("CancellationReasons")  # none where the request itself is refused
            assert reasons is None or [reason["Code"] for reason in reasons] == ["None", "ValidationError"], action
        update = {"TableName": table, "Key": {"id": {"S": "a"}}, "AttributeUpdates": {"id": {"Action": "DELETE"}}}
        assert (await engine.send("UpdateItem", update)).status == 400
        assert len(await engine.records()) == 1
        assert await engine.value("a") == "1"

    check(test)


def test_an_update_in_a_transaction_may_name_the_key_without_changing_it(check: Check) -> None:
    async def test(engine: Engine) -> None:
        await engine.put("a", "1")
        update = {
            "TableName": engine.table,
            "Key": {"id": {"S": "a"}},
            "UpdateExpression": "SET owner_id = id, v = :x",
            "ExpressionAttributeValues": {":x": {"S": "2"}},
        }
        await engine.ok("TransactWriteItems", TransactItems=[{"Update": update}])
        assert await engine.value("a") == "2"

    check(test)


def test_the_last_record_of_an_item_is_what_the_table_has_however_many_write(check: Check) -> None:
    async def test(engine: Engine) -> None:
        async def write(writer: int) -> None:
            for n in range(20):
                await engine.put("hot", f"{writer} {n}")

        await asyncio.gather(*(write(writer) for writer in range(8)))
        records = await engine.records()
        assert len(records) == 160
        assert records[-1]["dynamodb"]["NewImage"]["v"]["S"] == await engine.value("hot")
        for earlier, later in pairwise(records):
            assert later["dynamodb"]["OldImage"] == earlier["dynamodb"]["NewImage"]

    check(test)


def test_a_scan_in_pages_finds_every_item_once(check: Check) -> None:
    async def test(engine: Engine) -> None:
        keys = {f"k{n}" for n in range(60)}
        for key in sorted(keys):
            await engine.put(key, "1")
        found: list[str] = []
        start: dict[str, Any] = {}
        while True:
            page, _ = await engine.ok("Scan", TableName=engine.table, Limit=7, ConsistentRead=True, **start)
            found.extend(entry["id"]["S"] for entry in page["Items"])
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        assert len(found) == 60
        assert set(found) == keys

    check(test)


def test_a_restarted_engine_says_so_and_does_not_go_on_where_it_was(check: Check) -> None:
    async def test(engine: Engine) -> None:
        first = await engine.put("a", "1")
        (record,) = await engine.records()
        await engine.restart()
        response = await engine.send("ListTables", {}, ("x-lab-report", "1"))
        assert engine.table not in orjson.loads(response.body)["TableNames"]
        assert response.header("x-lab-boot") != first.header("x-lab-boot")
        await engine.create()
        refused = await engine.iterator("AFTER_SEQUENCE_NUMBER", record["dynamodb"]["SequenceNumber"])
        assert b"TrimmedDataAccessException" in refused.body

    check(test)


def test_every_access_key_is_of_the_one_account(check: Check) -> None:
    async def test(engine: Engine) -> None:
        scope = f"AWS4-HMAC-SHA256 Credential=123456789012/20260101/{REGION}/dynamodb/aws4_request, Signature=0"
        target = ("X-Amz-Target", "DynamoDB_20120810.DescribeTable")
        body = orjson.dumps({"TableName": engine.table})
        response = await engine.client.call("POST", "/", [target, ("Authorization", scope)], body)
        assert response.status == 200
        assert orjson.loads(response.body)["Table"]["TableArn"].split(":")[4] == "000000000000"

    check(test)


def test_ministacks_admin_paths_are_closed_and_expired_items_are_left_to_the_lab() -> None:
    async def test(engine: Engine) -> None:
        for path in ("/_ministack/reset", "/_localstack/health", "/health", "/_aws/execute-api/x"):
            assert (await engine.client.call("POST", path)).status == 403
        setting = {"Enabled": True, "AttributeName": "expires"}
        await engine.ok("UpdateTimeToLive", TableName=engine.table, TimeToLiveSpecification=setting)
        found, _ = await engine.ok("DescribeTimeToLive", TableName=engine.table)
        assert found["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}

    on_ministack(test)


AGED = """
import asyncio, json, sys, time
from lab.engines.ministack_app import EngineApp, _trimmed
from ministack.services import dynamodb

async def main():
    app = EngineApp(asyncio.get_running_loop(), float(sys.argv[1]))
    records = dynamodb._stream_records["t"] = []
    for minutes in map(int, sys.argv[2:]):
        change = {"SequenceNumber": str(minutes), "ApproximateCreationDateTime": time.time() - minutes * 60}
        records.append({"dynamodb": change})
    print(json.dumps([dynamodb.stream_start_position("t"), len(records), _trimmed["t"]]))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("speed", "minutes", "kept"),
    [
        ("1", ("1560", "1500", "1400"), [2, 1, "1500"]),
        ("30", ("60", "50", "46"), [2, 1, "50"]),
        ("1000", ("12", "8"), [1, 1, "12"]),
    ],
)
def test_ministacks_records_that_are_older_than_a_day_of_the_labs_time_are_told_to_be_gone(
    speed: str, minutes: tuple[str, ...], kept: list[Any]
) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), "MINISTACK_ACCOUNT_ID": "000000000000"}
    command = [sys.executable, "-c", AGED, speed, *minutes]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert orjson.loads(process.stdout.splitlines()[-1]) == kept, process.stderr
