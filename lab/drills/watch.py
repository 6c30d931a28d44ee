"""Watches the lab from outside during a drill: health checks that flip, and what DNS answers each place now."""

from __future__ import annotations

import asyncio

from lab.core.stub_resolver import Habits
from lab.drills.recorder import Recorder
from lab.drills.routing import Routing
from lab.errors import LabError
from lab.live.stub_resolver import StubResolver
from lab.testing.lab import Lab

POLL_S = 0.05


async def watch_health(lab: Lab, routing: Routing, recorder: Recorder) -> None:
    """Record `detected` and `healthy` with the time that the health check itself tells; runs until cancelled."""
    seen: dict[str, str] = {}
    while True:
        try:
            statuses = await asyncio.to_thread(lab.health_checks)
        except LabError:  # control may be away for a while; the drill goes on and the next answer tells
            statuses = {}
        for check_id, region in routing.regions.items():
            found = statuses.get(check_id)
            if found is None:
                continue
            before = seen.get(check_id)
            seen[check_id] = found["status"]
            if before is not None and before != found["status"]:
                kind = "healthy" if found["status"] == "healthy" else "detected"
                recorder.event(kind, region=region, time_ms=found.get("since_ms"))
        await asyncio.sleep(POLL_S)


async def watch_dns(lab: Lab, routing: Routing, place: str, recorder: Recorder) -> None:
    """Record `dns_changed` and `dns_returned` for one place, by a resolver that keeps nothing; until cancelled."""
    resolver = StubResolver(lab.topology, place, habits=Habits(ttl_s=0))
    regions = {region.address: region.code for region in lab.topology.regions}
    home: str | None = None
    current: str | None = None
    while True:
        found = await resolver.lookup_async(routing.name)
        region = regions.get(found.addresses[0]) if found.addresses else None
        if region is not None and region != current:
            if home is None:
                home = region
            elif current is not None:
                kind = "dns_returned" if region == home else "dns_changed"
                recorder.event(kind, region=region, place=place)
            current = region
        await asyncio.sleep(POLL_S)
