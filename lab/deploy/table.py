"""Global tables: created with a stream in the first region, replicas added in the others one by one."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from lab.core.deployment import TablePlan
from lab.deploy.clients import error_code
from lab.deploy.waiting import wait_until
from lab.errors import UserError


def deploy_table(dynamodb: Any, plan: TablePlan, regions: tuple[str, ...]) -> None:
    """Create the table unless it is there, then the replicas that are missing. `dynamodb` is the first region's client.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables.tutorial.html
    """
    table = _describe(dynamodb, plan.name)
    if table is None:
        dynamodb.create_table(
            TableName=plan.name,
            AttributeDefinitions=[{"AttributeName": key.name, "AttributeType": key.type} for key in plan.key],
            KeySchema=_key_schema(plan),
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
    elif table["KeySchema"] != _key_schema(plan):
        raise UserError(f"table {plan.name} exists with another key; restart the lab to make it anew")
    table = wait_until(lambda: _active(_describe(dynamodb, plan.name)), f"table {plan.name} to be active") or {}
    present = {replica["RegionName"] for replica in table.get("Replicas", [])}
    for region in regions[1:]:
        if region not in present:
            dynamodb.update_table(TableName=plan.name, ReplicaUpdates=[{"Create": {"RegionName": region}}])
            what = f"the replica of {plan.name} in {region} to be active"
            wait_until(lambda region=region: _replica_active(dynamodb, plan.name, region), what)  # type: ignore[misc]


def _key_schema(plan: TablePlan) -> list[dict[str, str]]:
    types = ("HASH", "RANGE")
    return [{"AttributeName": key.name, "KeyType": kind} for key, kind in zip(plan.key, types, strict=False)]


def _describe(dynamodb: Any, name: str) -> dict[str, Any] | None:
    try:
        table: dict[str, Any] = dynamodb.describe_table(TableName=name)["Table"]
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return None
        raise
    return table


def _active(table: dict[str, Any] | None) -> dict[str, Any] | None:
    return table if table is not None and table["TableStatus"] == "ACTIVE" else None


def _replica_active(dynamodb: Any, name: str, region: str) -> bool:
    table = _active(_describe(dynamodb, name)) or {}
    return any(
        replica["RegionName"] == region and replica.get("ReplicaStatus") == "ACTIVE"
        for replica in table.get("Replicas", [])
    )
