"""A table's whole copy in every region, read through the regions' own endpoints with strongly consistent scans."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from lab.core.deployment import TablePlan
from lab.core.history import ItemCopy, Replicas
from lab.errors import UserError
from lab.testing.lab import Lab

VALUE = "value"
"""The attribute that the drills write and check."""


def drilled_table(lab: Lab, name: str) -> TablePlan:
    """The table that a drill writes to. Raises UserError if the lab has none with one string key."""
    found = next((table for table in lab.plan.tables if table.name == name), None)
    if found is None:
        known = ", ".join(table.name for table in lab.plan.tables) or "none"
        raise UserError(f"the drill writes to a table {name!r}; this lab has {known}")
    if len(found.key) != 1 or found.key[0].type != "S":
        raise UserError(f"the drill needs a table with one key attribute of type S; {name} has {found.key}")
    return found


def read_replicas(lab: Lab, table: TablePlan) -> Replicas:
    """Every region's copy, all regions at once. Raises botocore's errors if a region does not answer."""
    with ThreadPoolExecutor(max_workers=len(lab.regions)) as pool:
        copies = pool.map(lambda region: _scan(region.client("dynamodb"), table), lab.regions)
        return {region.code: copy for region, copy in zip(lab.regions, copies, strict=True)}


def _scan(client: Any, table: TablePlan) -> dict[str, ItemCopy]:
    key = table.key[0].name
    copies: dict[str, ItemCopy] = {}
    for page in client.get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True):
        for item in page["Items"]:
            copies[item[key]["S"]] = ItemCopy(item.get(VALUE, {}).get("S"), canonical(item))
    return copies


def canonical(item: Any) -> str:
    """An item in DynamoDB's JSON as one text that is equal for equal items: names and sets in order."""
    return orjson.dumps(_ordered(item), option=orjson.OPT_SORT_KEYS).decode()


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        ordered = {name: _ordered(inner) for name, inner in value.items()}
        return {name: sorted(inner) if name in ("SS", "NS", "BS") else inner for name, inner in ordered.items()}
    if isinstance(value, list):
        return [_ordered(inner) for inner in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
