"""Proof that a deployment works: a request through every region's API, and an item replicated each way.

The items are put and deleted again with DynamoDB itself, so that they never show among the user's.
"""

from __future__ import annotations

import http.client
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab.core.deployment import DeploymentPlan, TablePlan
from lab.core.topology import Region, Topology
from lab.deploy.clients import Clients
from lab.deploy.rest_api import DeployedApi
from lab.deploy.waiting import wait_until
from lab.errors import LabFault, UserError

REQUEST_LIMIT_S = 60.0


def request_health(topology: Topology, plan: DeploymentPlan, api: DeployedApi) -> dict[str, Any]:
    """One real request through a region: its status and duration in milliseconds. Raises UserError, LabFault."""
    region = topology.region(api.region)
    path = plan.health_check.path if plan.health_check else "/"
    began = time.monotonic()
    status, body = _get(region, topology.http_port, plan.api_domain, path)
    # A busy machine may need longer for the first start than a fast lab's API waits: what was started is there later.
    while status == 504 and time.monotonic() - began < REQUEST_LIMIT_S:
        status, body = _get(region, topology.http_port, plan.api_domain, path)
    took_ms = round((time.monotonic() - began) * 1000)
    if status >= 500:
        raise UserError(f"GET {path} in {api.region} answered {status}: {body[:2000]}")
    if status == 403 and plan.health_check:
        raise LabFault(f"GET {path} in {api.region} answered 403, as if it were not deployed: {body[:500]}")
    return {"path": path, "status": status, "ms": took_ms}


def _get(region: Region, port: int, host: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(region.address, port, timeout=REQUEST_LIMIT_S)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except OSError as error:
        raise LabFault(f"{region.code} does not answer at {region.address}:{port}: {error}") from error
    finally:
        connection.close()


def replicate_each_way(clients: Clients, plan: DeploymentPlan, regions: tuple[str, ...]) -> list[dict[str, Any]]:
    """Write an item in every region, see it in every other one, delete it everywhere; how long each way took."""
    if not plan.tables or len(regions) < 2:
        return []
    table = plan.tables[0]
    with ThreadPoolExecutor(len(regions)) as pool:
        found = pool.map(lambda source: _replicate_from(clients, table, source, regions), regions)
        return [way for ways in found for way in ways]


def _replicate_from(clients: Clients, table: TablePlan, source: str, regions: tuple[str, ...]) -> list[dict[str, Any]]:
    key = {attribute.name: _key_value(attribute.type) for attribute in table.key}
    origin = clients.get(source, "dynamodb")
    began = time.monotonic()
    origin.put_item(TableName=table.name, Item=key)
    ways = []
    for target in (region for region in regions if region != source):
        reader = clients.get(target, "dynamodb")
        wait_until(
            lambda reader=reader: "Item" in reader.get_item(TableName=table.name, Key=key),  # type: ignore[misc]
            f"an item of {table.name} to come from {source} to {target}",
            every_s=0.002,
        )
        ways.append({"source": source, "target": target, "ms": round((time.monotonic() - began) * 1000, 1)})
    origin.delete_item(TableName=table.name, Key=key)
    for target in (region for region in regions if region != source):
        reader = clients.get(target, "dynamodb")
        wait_until(
            lambda reader=reader: "Item" not in reader.get_item(TableName=table.name, Key=key),  # type: ignore[misc]
            f"a delete in {table.name} to come from {source} to {target}",
            every_s=0.002,
        )
    return ways


def _key_value(kind: str) -> dict[str, Any]:
    unique = uuid.uuid4()
    match kind:
        case "N":
            return {"N": str(unique.int % 10**30)}
        case "B":
            return {"B": unique.bytes}
    return {"S": f"lab-proof-{unique}"}
