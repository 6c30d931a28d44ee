"""Everything that `lab status` shows, joined from all parts within a bounded time; a part that is missing says why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from lab.core import codec
from lab.core.faults import FaultSet
from lab.core.topology import Topology
from lab.live.clock import now_ms
from lab.live.http_client import CallFailed, HttpClient

STATUS_LIMIT_S = 2.0


async def ask(client: HttpClient, target: str) -> dict[str, Any]:
    """A part's JSON, or {"error": why there is none}."""
    try:
        response = await client.call("GET", target, timeout_s=STATUS_LIMIT_S, idempotent=True)
        value = orjson.loads(response.body)
    except CallFailed as error:
        return {"error": f"does not answer: {error}"}
    except orjson.JSONDecodeError:
        return {"error": "answered something else than JSON"}
    if response.status != 200 or not isinstance(value, dict):
        return {"error": f"answered {response.status}: {value}"}
    return value


async def lab_status(
    topology: Topology, parts: Mapping[str, HttpClient], faults: FaultSet, own: dict[str, Any]
) -> dict[str, Any]:
    """The answer of `GET /api/status`.

    `parts` holds each part's own `GET /status`, `health_checks` the statuses without the checkers. `own` is control's.
    """
    names = list(parts)
    *found, checks = await asyncio.gather(
        *(ask(parts[name], "/status") for name in names), ask(parts[topology.resolver_part], "/status/health-checks")
    )
    if "error" not in checks:
        checks = {key: {k: v for k, v in value.items() if k != "checkers"} for key, value in checks.items()}
    return {
        "time_ms": now_ms(),
        "speed": topology.speed,
        "block": topology.block,
        "state_dir": topology.state_dir,
        "global_endpoint": f"http://{topology.global_address}:{topology.aws_port}",
        "dns": {"address": topology.dns_address, "port": topology.dns_port},
        "regions": [
            {
                "region": region.code,
                "address": region.address,
                "condition": faults.region_condition(region.code),
                "aws_endpoint": f"http://{region.address}:{topology.aws_port}",
                "data_plane": f"http://{region.address}:{topology.http_port}",
            }
            for region in topology.regions
        ],
        "faults": codec.encode(faults)["faults"],
        "health_checks": checks,
        "parts": {**dict(zip(names, found, strict=True)), "control": own},
    }
