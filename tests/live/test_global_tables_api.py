"""DynamoDB's operations on tables of several regions, against real engines, with no replicator."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from replicator_lab import ReplicatorLab

from lab.control.global_tables import GlobalTables
from lab.core.global_table_description import described_table

EAST, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
HOUR_MS = 3_600_000
TABLE: dict[str, Any] = {
    "TableName": "things",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "n", "AttributeType": "N"},
        {"AttributeName": "owner", "AttributeType": "S"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-owner",
            "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}
STREAM = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}


class Api:
    """Global tables over the engines of a lab, at a time of its own."""

    def __init__(self, lab: ReplicatorLab, *, legacy: bool = False) -> None:
        self.lab, self.now_ms = lab, 1_000_000_000_000
        self.global_tables = GlobalTables(self.engine, lab.regions, lambda: self.now_ms, legacy=legacy)

    async def engine(self, region: str, target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        response = await self.lab.client(f"engine-{region}").call(
            "POST", "/", [("X-Amz-Target", target)], orjson.dumps(body)
        )
        return response.status, orjson.loads(response.body)

    async def ok(self, region: str, operation: str, **request: Any) -> dict[str, Any]:
        status, body = await self.global_tables.handle(region, operation, request)
        assert status == 200, body
        return body

    async def refused(self, region: str, operation: str, **request: Any) -> str:
        status, body = await self.global_tables.handle(region, operation, request)
        assert status == 400, body
        assert body["message"]
        return str(body["__type"]).rpartition("#")[2]

    async def described(self, region: str, name: str = "things") -> dict[str, Any]:
        _, body = await self.engine(region, "DynamoDB_20120810.DescribeTable", {"TableName": name})
        return described_table(body["Table"], region, self.global_tables.tables)

    async def add(self, region: str, target: str) -> None:
        await self.ok(region, "UpdateTable", TableName="things", ReplicaUpdates=[{"Create": {"RegionName": target}}])
        assert self.global_tables.on_replica("things", target, progress_percent=100, ready=True)


def run(test: Callable[[Api], Awaitable[None]], *, legacy: bool = False) -> None:
    async def main() -> None:
        async with ReplicatorLab(EAST, WEST, EU) as lab:
            await test(Api(lab, legacy=legacy))

    asyncio.run(main())


def test_a_replica_is_created_with_keys_indexes_stream_and_ttl_and_goes_from_creating_to_active() -> None:
    async def test(api: Api) -> None:
        await api.ok(EAST, "CreateTable", **TABLE)
        ttl = {"Enabled": True, "AttributeName": "expires"}
        await api.ok(EAST, "UpdateTimeToLive", TableName="things", TimeToLiveSpecification=ttl)
        answer = await api.ok(
            EAST, "UpdateTable", TableName="things", ReplicaUpdates=[{"Create": {"RegionName": WEST}}]
        )
        creating = {"RegionName": WEST, "ReplicaStatus": "CREATING", "ReplicaStatusPercentProgress": "0"}
        assert answer["TableDescription"]["Replicas"] == [creating]
        assert answer["TableDescription"]["TableStatus"] == "UPDATING"
        assert api.global_tables.on_replica("things", WEST, progress_percent=40, ready=False)
        assert (await api.described(EAST))["Replicas"][0]["ReplicaStatusPercentProgress"] == "40"
        assert api.global_tables.on_replica("things", WEST, progress_percent=100, ready=True)
        for region, other in ((EAST, WEST), (WEST, EAST)):
            table = await api.described(region)
            assert table["Replicas"] == [{"RegionName": other, "ReplicaStatus": "ACTIVE"}]
            assert table["GlobalTableVersion"] == "2019.11.21"
            assert table["TableStatus"] == "ACTIVE"
            assert table["KeySchema"] == TABLE["KeySchema"]
            assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by-owner"]
            assert table["StreamSpecification"] == STREAM["StreamSpecification"]
            _, body = await api.engine(region, "DynamoDB_20120810.DescribeTimeToLive", {"TableName": "things"})
            assert body["TimeToLiveDescription"]["AttributeName"] == "expires"
        (group,) = api.global_tables.tables.global_tables
        assert [(key.name, key.type) for key in group.key] == [("id", "S"), ("n", "N")]
        assert [replica.seeded_from for replica in group.replicas] == [None, EAST]

    run(test)


def test_settings_that_aws_keeps_in_step_follow_to_all_replicas() -> None:
    async def test(api: Api) -> None:
        await api.ok(EAST, "CreateTable", **TABLE)
        await api.add(EAST, WEST)
        await api.add(EAST, EU)
        index = {
            "IndexName": "by-n",
            "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
        await api.ok(
            WEST,
            "UpdateTable",
            TableName="things",
            AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "N"}],
            GlobalSecondaryIndexUpdates=[{"Create": index}],
        )
        await api.ok(EAST, "UpdateTable", TableName="things", DeletionProtectionEnabled=True)
        for region in api.lab.regions:
            table = await api.described(region)
            assert [entry["IndexName"] for entry in table["GlobalSecondaryIndexes"]] == ["by-owner", "by-n"]
            assert table["DeletionProtectionEnabled"] is (region == EAST)

    run(test)


def test_settings_that_a_replica_has_for_itself_are_described_until_all_get_another() -> None:
    async def test(api: Api) -> None:
        await api.ok(EAST, "CreateTable", **TABLE)
        await api.add(EAST, WEST)
        api.now_ms += 5_000
        change = {"RegionName": WEST, "TableClassOverride": "STANDARD_INFREQUENT_ACCESS"}
        await api.ok(EAST, "UpdateTable", TableName="things", ReplicaUpdates=[{"Update": change}])
        (replica,) = (await api.described(EAST))["Replicas"]
        assert replica == {
            "RegionName": WEST,
            "ReplicaStatus": "ACTIVE",
            "ReplicaTableClassSummary": {
                "TableClass": "STANDARD_INFREQUENT_ACCESS",
                "LastUpdateDateTime": api.now_ms / 1000,
            },
        }
        west = await api.described(WEST)
        assert west["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
        assert west["Replicas"] == [{"RegionName": EAST, "ReplicaStatus": "ACTIVE"}]

        await api.ok(WEST, "UpdateTable", TableName="things", TableClass="STANDARD")
        assert (await api.described(EAST))["Replicas"] == [{"RegionName": WEST, "ReplicaStatus": "ACTIVE"}]
        for wrong in ({"TableClassOverride": "COLD"}, {"KMSMasterKeyId": "alias/own"}):
            updates = [{"Update": {"RegionName": WEST, **wrong}}]
            assert (
                await api.refused(EAST, "UpdateTable", TableName="things", ReplicaUpdates=updates)
                == "ValidationException"
            )

        override = {"TableClassOverride": "STANDARD_INFREQUENT_ACCESS"}
        await api.ok(
            EAST, "UpdateTable", TableName="things", ReplicaUpdates=[{"Create": {"RegionName": EU, **override}}]
        )
        described = {replica["RegionName"]: replica for replica in (await api.described(EAST))["Replicas"]}
        assert described[EU]["ReplicaStatus"] == "CREATING"
        assert described[EU]["ReplicaTableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"

    run(test)


def test_refusals_have_awss_names() -> None:
    async def test(api: Api) -> None:
        create_west = [{"Create": {"RegionName": WEST}}]
        await api.ok(EAST, "CreateTable", **TABLE)
        assert await api.refused(EAST, "CreateTable", **TABLE) == "ResourceInUseException"
        for name, request in {
            "ResourceNotFoundException": {"TableName": "absent", "ReplicaUpdates": create_west},
            "ValidationException": {"TableName": "things", "ReplicaUpdates": [{"Create": {"RegionName": "mars-1"}}]},
        }.items():
            assert await api.refused(EAST, "UpdateTable", **request) == name
        for request in (
            {"ReplicaUpdates": create_west, "MultiRegionConsistency": "STRONG"},
            {"ReplicaUpdates": [{"Delete": {"RegionName": WEST}}]},
            {"ReplicaUpdates": [{"Create": {"RegionName": EAST}}]},
            {"ReplicaUpdates": []},
            {"ReplicaUpdates": [{"Destroy": {}}]},
        ):
            assert await api.refused(EAST, "UpdateTable", TableName="things", **request) == "ValidationException"
        await api.ok(EAST, "UpdateTable", TableName="things", ReplicaUpdates=create_west)
        assert (
            await api.refused(EAST, "UpdateTable", TableName="things", BillingMode="PROVISIONED")
            == "ResourceInUseException"
        )
        api.global_tables.on_replica("things", WEST, progress_percent=100, ready=True)
        no_stream = {"StreamEnabled": False}
        assert (
            await api.refused(WEST, "UpdateTable", TableName="things", StreamSpecification=no_stream)
            == "ValidationException"
        )

    run(test)


def test_a_source_is_kept_for_a_day_and_a_deleted_replica_is_gone() -> None:
    async def test(api: Api) -> None:
        await api.ok(EAST, "CreateTable", **TABLE)
        await api.add(EAST, WEST)
        await api.add(EAST, EU)
        assert await api.refused(EAST, "DeleteTable", TableName="things") == "ValidationException"
        await api.ok(EAST, "UpdateTable", TableName="things", ReplicaUpdates=[{"Delete": {"RegionName": EU}}])
        status, _ = await api.engine(EU, "DynamoDB_20120810.DescribeTable", {"TableName": "things"})
        assert status == 400
        assert [replica.region for replica in api.global_tables.tables.global_tables[0].replicas] == [EAST, WEST]
        api.now_ms += 25 * HOUR_MS
        await api.ok(EAST, "DeleteTable", TableName="things")
        assert api.global_tables.tables.global_tables == ()
        assert "Replicas" not in await api.described(WEST)

    run(test)


def test_version_2017_is_answered_as_aws_does_today() -> None:
    async def test(api: Api) -> None:
        await api.ok(EAST, "CreateTable", **TABLE, **STREAM)
        group = {"GlobalTableName": "things", "ReplicationGroup": [{"RegionName": EAST}]}
        assert await api.refused(EAST, "CreateGlobalTable", **group) == "ValidationException"
        for operation in ("DescribeGlobalTable", "UpdateGlobalTable", "DescribeGlobalTableSettings"):
            assert await api.refused(EAST, operation, GlobalTableName="things") == "GlobalTableNotFoundException"
        assert await api.ok(EAST, "ListGlobalTables") == {"GlobalTables": []}

    run(test)


def test_version_2017_makes_empty_tables_that_are_alike_replicas_when_it_is_on() -> None:
    async def test(api: Api) -> None:
        both = [{"RegionName": EAST}, {"RegionName": WEST}]
        await api.ok(EAST, "CreateTable", **TABLE, **STREAM)
        request: dict[str, Any] = {"GlobalTableName": "things", "ReplicationGroup": both}
        assert await api.refused(EAST, "CreateGlobalTable", **request) == "TableNotFoundException"
        await api.ok(WEST, "CreateTable", **TABLE)
        assert await api.refused(EAST, "CreateGlobalTable", **request) == "ValidationException"  # no stream
        await api.ok(WEST, "UpdateTable", TableName="things", **STREAM)
        answer = await api.ok(EAST, "CreateGlobalTable", **request)
        assert answer["GlobalTableDescription"]["ReplicationGroup"] == [
            {"RegionName": region, "ReplicaStatus": "ACTIVE"} for region in (EAST, WEST)
        ]
        assert await api.refused(EAST, "CreateGlobalTable", **request) == "GlobalTableAlreadyExistsException"
        assert (await api.ok(WEST, "ListGlobalTables"))["GlobalTables"][0]["GlobalTableName"] == "things"
        add = [{"Create": {"RegionName": EU}}]
        await api.ok(EU, "CreateTable", **TABLE, **STREAM)
        item = {"id": {"S": "a"}, "n": {"N": "1"}}
        await api.engine(EAST, "DynamoDB_20120810.PutItem", {"TableName": "things", "Item": item})
        update = {"GlobalTableName": "things", "ReplicaUpdates": add}
        assert await api.refused(EAST, "UpdateGlobalTable", **update) == "ValidationException"  # not empty
        key = {"TableName": "things", "Key": item}
        await api.engine(EAST, "DynamoDB_20120810.DeleteItem", key)
        await api.ok(EAST, "UpdateGlobalTable", **update)
        assert await api.refused(EAST, "UpdateGlobalTable", **update) == "ReplicaAlreadyExistsException"
        leave = {"GlobalTableName": "things", "ReplicaUpdates": [{"Delete": {"RegionName": EU}}]}
        await api.ok(EAST, "UpdateGlobalTable", **leave)
        assert await api.refused(EAST, "UpdateGlobalTable", **leave) == "ReplicaNotFoundException"
        assert (await api.described(EU))["TableStatus"] == "ACTIVE"  # an independent table now
        settings = await api.ok(EAST, "DescribeGlobalTableSettings", GlobalTableName="things")
        assert [entry["RegionName"] for entry in settings["ReplicaSettings"]] == [EAST, WEST]
        assert (await api.described(EAST))["GlobalTableVersion"] == "2017.11.29"

    run(test, legacy=True)


def test_requests_of_version_2017_that_make_no_sense_change_nothing() -> None:
    async def test(api: Api) -> None:
        for region in (EAST, WEST, EU):
            await api.ok(region, "CreateTable", **TABLE, **STREAM)
        name = {"GlobalTableName": "things"}
        for group in (5, "x", [], [{}], [{"RegionName": EAST}, {"RegionName": EAST}], [{"RegionName": "mars-1"}]):
            refused = await api.refused(EAST, "CreateGlobalTable", **name, ReplicationGroup=group)
            assert refused == "ValidationException"
        assert await api.ok(EAST, "ListGlobalTables") == {"GlobalTables": []}
        await api.ok(EAST, "CreateGlobalTable", **name, ReplicationGroup=[{"RegionName": EAST}, {"RegionName": WEST}])
        before = api.global_tables.tables
        create, destroy = {"Create": {"RegionName": EU}}, {"Destroy": {"RegionName": WEST}}
        both = {"Create": {"RegionName": EU}, "Delete": {"RegionName": WEST}}
        twice = [create, {"Delete": {"RegionName": EU}}]
        for updates in (None, 5, "x", [], ["x"], [{}], [both], twice, [destroy], [create, destroy], [{"Create": None}]):
            assert await api.refused(EAST, "UpdateGlobalTable", **name, ReplicaUpdates=updates) == "ValidationException"
        for request in ({"Limit": "x"}, {"Limit": 0}, {"ExclusiveStartGlobalTableName": 5}):
            assert await api.refused(EAST, "ListGlobalTables", **request) == "ValidationException"
        assert api.global_tables.tables == before

    run(test, legacy=True)


def test_a_global_table_of_version_2017_may_have_one_replica() -> None:
    async def test(api: Api) -> None:
        for region in (EAST, WEST):
            await api.ok(region, "CreateTable", **TABLE, **STREAM)
        name = {"GlobalTableName": "things"}
        await api.ok(EAST, "CreateGlobalTable", **name, ReplicationGroup=[{"RegionName": EAST}])
        await api.ok(EAST, "UpdateGlobalTable", **name, ReplicaUpdates=[{"Create": {"RegionName": WEST}}])
        await api.ok(EAST, "UpdateGlobalTable", **name, ReplicaUpdates=[{"Delete": {"RegionName": EAST}}])
        described = (await api.ok(EAST, "DescribeGlobalTable", **name))["GlobalTableDescription"]
        assert [replica["RegionName"] for replica in described["ReplicationGroup"]] == [WEST]
        await api.ok(EAST, "UpdateGlobalTable", **name, ReplicaUpdates=[{"Delete": {"RegionName": WEST}}])
        assert await api.refused(EAST, "DescribeGlobalTable", **name) == "GlobalTableNotFoundException"

    run(test, legacy=True)


def test_settings_of_version_2017_reach_the_replicas_or_are_refused() -> None:
    async def test(api: Api) -> None:
        for region in (EAST, WEST):
            await api.ok(region, "CreateTable", **TABLE, **STREAM)
        name = {"GlobalTableName": "things"}
        await api.ok(EAST, "CreateGlobalTable", **name, ReplicationGroup=[{"RegionName": EAST}, {"RegionName": WEST}])
        unmeasured = {"GlobalTableBillingMode": "PROVISIONED"}
        assert await api.refused(EAST, "UpdateGlobalTableSettings", **name, **unmeasured) == "ValidationException"
        provisioned = {"GlobalTableBillingMode": "PROVISIONED", "GlobalTableProvisionedWriteCapacityUnits": 9}
        read = "ReplicaProvisionedReadCapacityUnits"
        west = [{"RegionName": WEST, read: 7}]
        answer = await api.ok(EAST, "UpdateGlobalTableSettings", **name, **provisioned, ReplicaSettingsUpdate=west)
        assert [(entry["RegionName"], entry[read]) for entry in answer["ReplicaSettings"]] == [(EAST, 1), (WEST, 7)]
        assert {entry["ReplicaProvisionedWriteCapacityUnits"] for entry in answer["ReplicaSettings"]} == {9}
        for refusal, request in (
            ("ReplicaNotFoundException", {"ReplicaSettingsUpdate": [{"RegionName": EU, read: 7}]}),
            ("ValidationException", {"ReplicaSettingsUpdate": [{"RegionName": WEST, read: "x"}]}),
            ("ValidationException", {"GlobalTableProvisionedWriteCapacityUnits": 0}),
            ("ValidationException", {"GlobalTableProvisionedWriteCapacityAutoScalingSettingsUpdate": {}}),
        ):
            assert await api.refused(EAST, "UpdateGlobalTableSettings", **name, **request) == refusal

    run(test, legacy=True)


def test_replica_updates_are_looked_at_before_any_is_carried_out() -> None:
    async def test(api: Api) -> None:
        await api.ok(EAST, "CreateTable", **TABLE)
        west, eu = ({"Create": {"RegionName": region}} for region in (WEST, EU))
        both = [{"Create": {"RegionName": WEST}, "Delete": {"RegionName": WEST}}]
        for updates in (5, [5], [{}], both, [{"Create": {}}], [west, west], [west, {"Destroy": {"RegionName": EU}}]):
            refused = await api.refused(EAST, "UpdateTable", TableName="things", ReplicaUpdates=updates)
            assert refused == "ValidationException"
        assert api.global_tables.tables.global_tables == ()
        await api.ok(EAST, "UpdateTable", TableName="things", ReplicaUpdates=[west, eu])
        for region in (WEST, EU):
            api.global_tables.on_replica("things", region, progress_percent=100, ready=True)
        refused = await api.refused(EAST, "UpdateTable", TableName="things", StreamSpecification="x")
        assert refused == "ValidationException"
        override = [{"Update": {"RegionName": WEST, "ProvisionedThroughputOverride": "x"}}]
        refused = await api.refused(EAST, "UpdateTable", TableName="things", ReplicaUpdates=override)
        assert refused == "ValidationException"

    run(test)


def test_a_call_of_which_one_part_cannot_be_carried_out_changes_nothing() -> None:
    async def test(api: Api) -> None:
        west, eu = ({"Create": {"RegionName": region}} for region in (WEST, EU))
        missing = {"TableName": "things", "ReplicaUpdates": [{"Delete": {"RegionName": WEST}}]}
        assert await api.refused(EAST, "UpdateTable", **missing) == "ResourceNotFoundException"
        await api.ok(EAST, "CreateTable", **TABLE)
        units = {"RegionName": WEST, "ProvisionedThroughputOverride": {"ReadCapacityUnits": 5}}
        for updates in (
            [{"Create": units}],
            [west, {"Update": {"RegionName": EU}}],
            [west, {"Delete": {"RegionName": EU}}],
            [west, {"Create": {"RegionName": EAST}}],
        ):
            refused = await api.refused(EAST, "UpdateTable", TableName="things", ReplicaUpdates=updates)
            assert refused == "ValidationException"
            assert api.global_tables.tables.global_tables == ()
        refused = await api.refused(
            EAST, "UpdateTable", TableName="things", ReplicaUpdates=[west], BillingMode="PROVISIONED"
        )
        assert refused == "ValidationException"
        assert (await api.described(EAST))["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"

        await api.add(EAST, WEST)
        before = api.global_tables.tables
        everything = [{"Delete": {"RegionName": region}} for region in (EAST, WEST)]
        for region, updates in (
            (EAST, everything),
            (WEST, everything),
            (WEST, [eu, {"Delete": {"RegionName": WEST}}]),
            (WEST, [eu, {"Delete": {"RegionName": EAST}}]),
        ):
            refused = await api.refused(region, "UpdateTable", TableName="things", ReplicaUpdates=updates)
            assert refused == "ValidationException"
            assert api.global_tables.tables == before
        await api.ok(EAST, "UpdateTable", TableName="things", ReplicaUpdates=[{"Delete": {"RegionName": WEST}}, eu])
        (group,) = api.global_tables.tables.global_tables
        assert [(replica.region, replica.status) for replica in group.replicas] == [(EAST, "ACTIVE"), (EU, "CREATING")]

    run(test)


def test_a_provisioned_table_is_told_how_much_so_that_a_replica_can_be_made_like_it() -> None:
    async def test(api: Api) -> None:
        await api.ok(EAST, "CreateTable", **TABLE)
        request: dict[str, Any] = {"TableName": "things", "BillingMode": "PROVISIONED"}
        assert await api.refused(EAST, "UpdateTable", **request) == "ValidationException"
        units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 2}
        await api.ok(EAST, "UpdateTable", **request, ProvisionedThroughput=units)
        await api.ok(EAST, "UpdateTable", **request)
        await api.add(EAST, WEST)
        made = (await api.described(WEST))["ProvisionedThroughput"]
        assert {name: made[name] for name in units} == units

    run(test)


def test_a_replica_that_is_asked_to_delete_itself_is_deleted() -> None:
    async def test(api: Api) -> None:
        await api.ok(EAST, "CreateTable", **TABLE)
        await api.add(EAST, WEST)
        delete = [{"Delete": {"RegionName": WEST}}]
        answer = await api.ok(WEST, "UpdateTable", TableName="things", ReplicaUpdates=delete)
        assert answer["TableDescription"]["TableStatus"] == "DELETING"
        assert "Replicas" not in await api.described(EAST)

    run(test)
