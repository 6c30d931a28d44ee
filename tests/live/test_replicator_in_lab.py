"""Global tables through a whole lab: boto3 on the regions' endpoints, fronts, control, replicator, engines."""

import threading
import time
import uuid
from typing import Any

from lab.testing import Lab

TABLE = f"orders-{uuid.uuid4()}"
WITHIN_S = 60.0
"""Real seconds: filling a replica is work."""


def test_a_replica_is_added_to_a_table_with_data_while_writes_go_on(lab: Lab) -> None:
    east, west = (region.client("dynamodb") for region in lab.regions[:2])
    codes = [region.code for region in lab.regions[:2]]
    east.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    for start in range(0, 2000, 25):
        puts = [{"PutRequest": {"Item": item(n, "before")}} for n in range(start, start + 25)]
        east.batch_write_item(RequestItems={TABLE: puts})
    expected = dict.fromkeys(range(2000), "before")
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            east.put_item(TableName=TABLE, Item=item(n % 2100, f"during {n}"))
            expected[n % 2100] = f"during {n}"

    writer = threading.Thread(target=write)
    writer.start()
    try:
        created = {"Create": {"RegionName": codes[1]}}
        answer = east.update_table(TableName=TABLE, ReplicaUpdates=[created])["TableDescription"]
        assert answer["TableStatus"] == "UPDATING"
        assert answer["Replicas"][0]["ReplicaStatus"] == "CREATING"
        seen = [answer["Replicas"][0]]
        lab.eventually(lambda: note(east, seen)["ReplicaStatus"] == "ACTIVE", within_s=WITHIN_S * lab.speed)
    finally:
        stop.set()
        writer.join()
    assert all("ReplicaStatusPercentProgress" in replica for replica in seen if replica["ReplicaStatus"] == "CREATING")
    lab.converged(TABLE)
    assert contents(east) == contents(west) == {str(n): value for n, value in expected.items()}
    table = west.describe_table(TableName=TABLE)["Table"]
    assert table["GlobalTableVersion"] == "2019.11.21"
    assert table["Replicas"] == [{"RegionName": codes[0], "ReplicaStatus": "ACTIVE"}]


def item(n: int, value: str) -> dict[str, Any]:
    return {"id": {"S": f"order-{n}"}, "n": {"N": str(n)}, "value": {"S": value}}


def note(client: Any, seen: list[dict[str, Any]]) -> dict[str, Any]:
    time.sleep(0.005)
    replica: dict[str, Any] = client.describe_table(TableName=TABLE)["Table"]["Replicas"][0]
    seen.append(replica)
    return replica


def contents(client: Any) -> dict[str, str]:
    pages = client.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
    return {entry["n"]["N"]: entry["value"]["S"] for page in pages for entry in page["Items"]}
