"""Waits until nothing is left to ship: the call `POST /converged`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from lab.core.replication import Replication
from lab.live.http_message import Request, Response, json_response
from lab.live.replicator.reader import Reader

TIMEOUT_MS = 30_000


@dataclass
class Convergence:
    """`read_now` gives the readers of a table (None: all) in regions that are up; `progress` is set at any change."""

    core: Replication
    read_now: Callable[[str | None], Sequence[Reader]]
    progress: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> Response:
        """Body `{"table": name or null, "timeout_ms": number}`; says what is left if the time is over."""
        try:
            wanted: dict[str, Any] = orjson.loads(request.body or b"{}")
            table, timeout_ms = wanted.get("table"), int(wanted.get("timeout_ms") or TIMEOUT_MS)
        except (ValueError, TypeError, AttributeError):
            return json_response(400, b'{"error":"expected {\\"table\\": name or null, \\"timeout_ms\\": number}"}')
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_ms / 1000):
                while True:
                    await asyncio.gather(*(reader.read_through() for reader in self.read_now(table)))
                    if not self.core.left(table):
                        return json_response(200, b'{"converged":true,"left":[]}')
                    while self.core.left(table):
                        self.progress.clear()
                        await self.progress.wait()
        return json_response(200, orjson.dumps({"converged": False, "left": self._left(table)}))

    def _left(self, table: str | None) -> list[dict[str, Any]]:
        left: list[dict[str, Any]] = [
            {"table": name, "source": source, "target": target, "items": count}
            for name, source, target, count in self.core.left(table)
        ]
        left += [
            {"table": reader.table, "source": reader.engine.region, "reason": reader.trouble}
            for reader in self.read_now(table)
            if reader.trouble is not None
        ]
        return left
