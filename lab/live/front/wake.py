"""Telling the replicator of acknowledged writes, at most one call in flight for a table, and never in a user's way."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from lab.live.http_client import CallFailed, HttpClient

WAKE_TIMEOUT_S = 5.0


class Waker:
    """Wakes the replicator for one region's tables. A replicator that is away finds the writes on the stream later."""

    def __init__(self, client: HttpClient, region: str) -> None:
        self._client, self._region = client, region
        self._again: dict[str, bool] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, table: str) -> None:
        """A write to the table has been acknowledged. Returns at once."""
        if table in self._again:
            self._again[table] = True
            return
        self._again[table] = False
        task = asyncio.get_running_loop().create_task(self._run(table))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, table: str) -> None:
        try:
            while True:
                self._again[table] = False
                await self._client.call(
                    "POST", f"/wake/{self._region}/{quote(table)}", timeout_s=WAKE_TIMEOUT_S, idempotent=True
                )
                if not self._again[table]:
                    return
        except CallFailed:
            return  # it polls by itself once it is back
        finally:
            del self._again[table]

    async def close(self) -> None:
        """Give up what is in flight."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
