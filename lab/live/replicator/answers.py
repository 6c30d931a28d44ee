"""What the replicator tells about itself, as JSON values: status, conflicts, losses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from lab.core.conflict import Conflict, LostWrite, Version
from lab.core.replication import Replication
from lab.core.table import KeyAttribute
from lab.live.replicator.engine import Engine
from lab.live.replicator.image import decode_key
from lab.live.replicator.lag_metrics import LagMetrics
from lab.live.replicator.progress import item_count, percent_of
from lab.live.replicator.reader import Reader

KeyOf = Callable[[str], tuple[KeyAttribute, ...] | None]


async def status(
    core: Replication,
    metrics: LagMetrics,
    readers: Mapping[tuple[str, str], Reader],
    engines: Mapping[str, Engine],
    is_up: Callable[[str], bool],
    counts: Mapping[str, int],
    unknown: Mapping[str, tuple[str, int]],
) -> dict[str, Any]:
    """`GET /status`."""
    scans = {entry: core.scan(*entry) for entry in sorted(readers)}
    sources = sorted({(table, scan[1]) for (table, _), scan in scans.items() if scan is not None})
    items = dict(zip(sources, await asyncio.gather(*(item_count(engines[r], t) for t, r in sources)), strict=True))
    pairs: dict[tuple[str, str], dict[str, int]] = {}
    for (_, source, target), pair in core.pairs.items():
        if source == target:  # attributes that version 2017.11.29 writes into what was written there
            continue
        total = pairs.setdefault((source, target), {"backlog": 0, "shipped": 0})
        total["backlog"] += pair.backlog
        total["shipped"] += pair.shipped
    captured = dict.fromkeys(engines, 0)
    for (_, region), reader in readers.items():
        captured[region] += reader.captured
    return {
        "pairs": [
            {"source": source, "target": target, **total, **metrics.summary(source, target)}
            for (source, target), total in sorted(pairs.items())
        ],
        "regions": {
            region: {"captured": count, "up": is_up(region), "boot": engines[region].boot}
            for region, count in captured.items()
        },
        "replicas": [
            {
                "table": table,
                "region": region,
                "ready": core.is_ready(table, region),
                "scan": _scan(scans[table, region], table, core.scanned(table, region), items),
                "backlog": core.backlog(table, target=region),
                "trouble": reader.trouble,
            }
            for (table, region), reader in sorted(readers.items())
        ],
        "conflicts": counts["conflicts"],
        "lost": counts["lost"],
        "lost_unknown": _unknown(unknown),
    }


def _scan(
    scan: tuple[str, str] | None, table: str, scanned: int, items: Mapping[tuple[str, str], int | None]
) -> dict[str, Any] | None:
    """How far a scan for a replica has come; the number of items is not known while the engine does not answer."""
    if scan is None:
        return None
    why, source = scan
    of = items[table, source]
    percent = None if of is None else percent_of(scanned, of)
    return {"why": why, "source": source, "scanned": scanned, "items": of, "progress_percent": percent}


def conflicts(found: Iterable[tuple[int, Conflict, bool | None]], key_of: KeyOf) -> dict[str, Any]:
    """`GET /conflicts`."""
    return {
        "conflicts": [
            {
                "n": n,
                "table": conflict.table,
                "key": _key(conflict.table, conflict.key, key_of),
                "winner": _version(conflict.winner),
                "loser": {**_version(conflict.loser), "acknowledged": acknowledged},
                "detected_ms": conflict.detected_ms,
            }
            for n, conflict, acknowledged in found
        ]
    }


def lost(
    found: Iterable[tuple[int, LostWrite]], key_of: KeyOf, unknown: Mapping[str, tuple[str, int]]
) -> dict[str, Any]:
    """`GET /lost`. `unknown` are the regions of which it is not known what was lost, with reason and moment."""
    return {
        "unknown": _unknown(unknown),
        "lost": [
            {
                "n": n,
                "table": write.table,
                "key": _key(write.table, write.key, key_of),
                **_version(write.version),
                "reason": write.reason,
                "detected_ms": write.detected_ms,
            }
            for n, write in found
        ],
    }


def _unknown(unknown: Mapping[str, tuple[str, int]]) -> list[dict[str, Any]]:
    return [
        {"region": region, "reason": reason, "since_ms": since_ms}
        for region, (reason, since_ms) in sorted(unknown.items())
    ]


def _key(table: str, key: bytes, key_of: KeyOf) -> Any:
    attributes = key_of(table)
    return orjson.loads(key) if attributes is None else decode_key(attributes, key)


def _version(version: Version) -> dict[str, Any]:
    return {"region": version.region, "time_ms": version.time_ms}
