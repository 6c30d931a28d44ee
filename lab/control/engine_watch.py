"""Notices that an engine in a container is another run than the last, and has what was in it made again.

On one machine the supervisor says so (docs/architecture.md); between containers nobody does. Tables first, then what
`refill` adds; all of it is repeated until it has gone well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from lab.live.http_client import CallFailed, HttpClient

INTERVAL_S = 0.5
ANSWER_LIMIT_S = 5.0


class EngineWatch:
    """Watches all engines. `refill(region)` makes a new run's tables, functions and APIs; it raises nothing of its own.

    `refill` answers whether all went well.
    """

    def __init__(
        self,
        engines: dict[str, HttpClient],
        refill: Callable[[str], Awaitable[bool]],
        log: Callable[[str], None],
    ) -> None:
        self._engines, self._refill, self._log = engines, refill, log
        self.boots: dict[str, str] = {}
        self._away: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to watch."""
        self._tasks = [asyncio.create_task(self._watch(region)) for region in self._engines]

    async def close(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def status(self) -> dict[str, Any]:
        """Each region's run, None while it does not answer or has not been filled."""
        return {region: None if region in self._away else self.boots.get(region) for region in self._engines}

    async def _watch(self, region: str) -> None:
        while True:
            try:
                boot = await self._boot(region)
            except CallFailed as failure:
                if region in self.boots and region not in self._away:
                    self._log(f"{region}: the engine does not answer: {failure}")
                self._away.add(region)
            else:
                if boot is not None and boot != self.boots.get(region):
                    if region in self.boots:
                        self._log(f"{region}: the engine was started again, empty; making again what it had")
                    if await self._refill(region):
                        self.boots[region] = boot
                if self.boots.get(region) == boot:
                    self._away.discard(region)
            await asyncio.sleep(INTERVAL_S)

    async def _boot(self, region: str) -> str | None:
        headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("X-Amz-Target", "DynamoDBStreams_20120810.ListStreams"),
            ("x-lab-report", "1"),
        ]
        response = await self._engines[region].call(
            "POST", "/", headers, b"{}", timeout_s=ANSWER_LIMIT_S, idempotent=True
        )
        return response.header("x-lab-boot")
