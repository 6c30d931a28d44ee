"""Compares the replicas of a table item by item: every replica is scanned, contents are told apart by digest.

Digests go through a file of SQLite's own, so a table may be of any size. Writes that arrive meanwhile may show as
differences; whoever wants none waits for convergence first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lab.core.table import KeyAttribute
from lab.live.replicator.engine import Engine
from lab.live.replicator.image import decode_key, encode_image, encode_key
from lab.live.replicator.reader import scan_request

SCAN_ITEMS = 500


@dataclass(frozen=True)
class Difference:
    """What was compared. `counts` is items by region; `differing` how many keys differ; `shown` some of them."""

    counts: dict[str, int]
    differing: int
    shown: list[dict[str, Any]]


async def compare_replicas(
    table: str, key: tuple[KeyAttribute, ...], engines: Mapping[str, Engine], limit: int
) -> Difference:
    """Compare a table in these regions, showing at most `limit` differences. Raises what `Engine.call` raises."""
    db = sqlite3.connect("", isolation_level=None)  # a temporary file of its own
    try:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE found (key BLOB, region TEXT, digest INTEGER)")
        counts = {region: await _read(table, key, engine, db) for region, engine in engines.items()}
        db.execute("CREATE INDEX by_key ON found (key)")
        differing = (
            "FROM (SELECT key FROM found GROUP BY key HAVING COUNT(*) < ? OR COUNT(DISTINCT digest) > 1 ORDER BY key)"
        )
        (count,) = db.execute(f"SELECT COUNT(*) {differing}", (len(engines),)).fetchone()
        keys = [row[0] for row in db.execute(f"SELECT key {differing} LIMIT ?", (len(engines), limit))]
    finally:
        db.close()
    shown = [
        {
            "key": decode_key(key, data),
            "items": {region: await _get(table, key, data, engine) for region, engine in engines.items()},
        }
        for data in keys
    ]
    return Difference(counts, count, shown)


async def _read(table: str, key: tuple[KeyAttribute, ...], engine: Engine, db: sqlite3.Connection) -> int:
    count = 0
    after: bytes | None = None
    while True:
        page = orjson.loads((await engine.call("Scan", scan_request(table, after, SCAN_ITEMS))).body)
        rows = [(encode_key(key, item), engine.region, encode_image(item)[1]) for item in page["Items"]]
        db.execute("BEGIN")
        db.executemany("INSERT INTO found VALUES (?, ?, ?)", rows)
        db.execute("COMMIT")
        count += len(rows)
        if "LastEvaluatedKey" not in page:
            return count
        after = orjson.dumps(page["LastEvaluatedKey"])


async def _get(table: str, key: tuple[KeyAttribute, ...], data: bytes, engine: Engine) -> dict[str, Any] | None:
    request = {"TableName": table, "Key": decode_key(key, data), "ConsistentRead": True}
    item: dict[str, Any] | None = (await engine.read("GetItem", request)).get("Item")
    return item
