"""Operations on tables as control takes them over its socket, from callers that are no SDKs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from control_process import ControlLab, lab_fixture

from lab.live.http_client import HttpClient, UnixAddress

REGION = "us-east-1"


@pytest.fixture
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


def answers(lab: ControlLab, calls: list[tuple[str, Any]]) -> list[tuple[int, str]]:
    """Status and AWS's name of the error, of each call."""

    async def ask() -> list[tuple[int, str]]:
        control = HttpClient(UnixAddress(lab.topology.socket_path("control")))
        found = []
        try:
            for operation, request in calls:
                headers = [("x-lab-region", REGION), ("x-lab-method", "POST"), ("x-lab-target", "/")]
                headers.append(("X-Amz-Target", f"DynamoDB_20120810.{operation}"))
                response = await control.call("POST", "/aws/dynamodb", headers, orjson.dumps(request), timeout_s=60.0)
                body = orjson.loads(response.body)
                found.append((response.status, str(body.get("__type")).rpartition("#")[2]))
        finally:
            control.close()
            await asyncio.sleep(0.01)  # the transport closes in the loop's next turns
        return found

    return asyncio.run(ask())


def test_what_awss_model_forbids_is_refused_though_the_engine_stumbles_over_it(lab: ControlLab) -> None:
    lab.start_engine(REGION)
    table = {"TableName": "things"}
    lab.client("dynamodb").create_table(
        **table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    calls: list[tuple[str, Any]] = [
        ("UpdateTable", {**table, "GlobalSecondaryIndexUpdates": [{"Create": {}}]}),
        ("UpdateTable", {**table, "StreamSpecification": None}),
        ("UpdateTimeToLive", {**table, "TimeToLiveSpecification": 5}),
        ("UpdateTimeToLive", {"TableName": ["things"], "TimeToLiveSpecification": {}}),
    ]
    assert answers(lab, calls) == [(400, "ValidationException")] * len(calls)
    lab.kill_engine(REGION)
    assert answers(lab, [("UpdateTable", {**table, "TableClass": "STANDARD"})]) == [(500, "InternalServerError")]
