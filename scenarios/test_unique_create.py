"""A conditional write judges the region's own copy: "create it only if it is not there" can succeed twice.

Two people sign up under one name, in two regions, while replication is late (a cut link makes it late enough to see).
Each region finds the name free, each says yes. When the regions meet, the later sign-up has overwritten the earlier
one, whose owner was told that the name is his. A name that must be unique has to be decided in one region.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.live.clock import now_ms
from lab.testing import Lab

TABLE = "feedback"


def test_a_unique_create_succeeds_in_two_regions_and_the_later_one_stays(lab: Lab) -> None:
    first, second = lab.regions[:2]
    name = f"taken-{uuid.uuid4()}"

    lab.cut(first.code, second.code)
    sign_up(first, name, owner="alice")
    acknowledged_ms = now_ms()
    lab.eventually(lambda: now_ms() > acknowledged_ms)  # the last writer is told by the millisecond
    sign_up(second, name, owner="bob")
    lab.heal()
    lab.converged(TABLE)

    assert owner(first, name) == owner(second, name) == "bob"
    [conflict] = [c for c in lab.conflicts() if c["key"] == {"feedback_id": {"S": name}}]
    assert conflict["winner"]["region"] == second.code
    assert conflict["loser"]["region"] == first.code
    assert conflict["loser"]["acknowledged"] is True  # alice had been told that the name is hers

    # In one region, or once the write has arrived, the condition holds what it promises.
    for region in (first, second):
        with pytest.raises(ClientError, match="ConditionalCheckFailedException"):
            sign_up(region, name, owner="carol")


def sign_up(region: Any, name: str, *, owner: str) -> None:
    item = {"feedback_id": {"S": name}, "value": {"S": owner}}
    region.client("dynamodb").put_item(
        TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(feedback_id)"
    )


def owner(region: Any, name: str) -> str:
    key = {"feedback_id": {"S": name}}
    item = region.client("dynamodb").get_item(TableName=TABLE, Key=key, ConsistentRead=True)["Item"]
    return str(item["value"]["S"])
