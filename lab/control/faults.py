"""The faults in force: begun and lifted through the token API, kept on disk, published to the parts that act on them.

Control acts by itself only on a region that loses its data: the supervisor kills the region's engine when the fault
begins, and starts it again when it is lifted, before anything flows there again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from lab.control.fault_request import FaultScope, describe, fault_of, same
from lab.control.record_file import RecordFile
from lab.core.faults import Fault, FaultSet
from lab.core.history import Event
from lab.errors import EnvironmentFailure
from lab.live.clock import now_ms
from lab.live.http_client import CallFailed, HttpClient

ENGINE_LIMIT_S = 40.0


class Faults:
    """The fault set. `publish` tells all parts and returns when they know."""

    def __init__(
        self,
        records: RecordFile[FaultSet],
        *,
        scope: Callable[[], FaultScope],
        supervisor: HttpClient | None,
        publish: Callable[[], Awaitable[None]],
        refill: Callable[[str], Awaitable[None]],
        record: Callable[[Event], int],
    ) -> None:
        self._records, self._scope, self._supervisor = records, scope, supervisor
        self._publish, self._refill, self._record = publish, refill, record
        self._changing = asyncio.Lock()
        self._next = 1 + max((_number(fault) for fault in records.value.faults), default=0)

    def document(self) -> FaultSet:
        """The document `faults`."""
        return self._records.value

    async def begin(self, given: Any) -> Fault:
        """Put a fault in force; the one that is in force already if it asks for the same. Raises UserError."""
        async with self._changing:
            fault = fault_of(given, f"fault-{self._next}", now_ms(), self._scope())
            for present in self.document().faults:
                if same(present, fault):
                    return present
            self._next += 1
            self._records.replace(self.document().begun(fault))
            self._record(Event(fault.since_ms, "fault", fault.region, fault.place, describe(fault)))
            await self._publish()
            if fault.lose_data and fault.region is not None:
                await self._engine(fault.region, "kill")
                self._record(Event(now_ms(), "engine_killed", fault.region, detail="its data is lost"))
            return fault

    async def lift(self, fault_id: str | None) -> list[str]:
        """Lift one fault, or all; the ids of those that were in force."""
        async with self._changing:
            going = [f for f in self.document().faults if fault_id in (None, f.fault_id)]
            staying = tuple(f for f in self.document().faults if f not in going)
            still_lost = {f.region for f in staying if f.lose_data}
            dead = sorted({f.region for f in going if f.lose_data and f.region is not None} - still_lost)
            try:
                for region in dead:
                    await self._engine(region, "start")
                    await self._refill(region)
            finally:
                if going:
                    self._records.replace(self.document().lifted(going, now_ms()))
                    for fault in going:
                        self._record(Event(now_ms(), "healed", fault.region, fault.place, describe(fault)))
                    await self._publish()
            return [fault.fault_id for fault in going]

    async def _engine(self, region: str, verb: str) -> None:
        if self._supervisor is None:  # the engine is a container, and whoever runs `lab` on the host acts on it
            return
        try:
            response = await self._supervisor.call("POST", f"/engines/{region}/{verb}", timeout_s=ENGINE_LIMIT_S)
        except CallFailed as error:
            raise EnvironmentFailure(f"the supervisor could not {verb} the engine of {region}: {error}") from error
        if response.status >= 300:
            try:
                reason = orjson.loads(response.body).get("error", "")
            except orjson.JSONDecodeError:
                reason = f"status {response.status}"
            raise EnvironmentFailure(f"the supervisor could not {verb} the engine of {region}: {reason}")


def _number(fault: Fault) -> int:
    suffix = fault.fault_id.rpartition("-")[2]
    return int(suffix) if suffix.isdecimal() else 0
