"""Steady load from one place: writes and reads of the feedback API at a fixed rate, whatever the answers are.

The loop is open: a request goes out at its time even if earlier ones hang, so an outage is felt by as many requests as
fall into it and availability is not flattered by clients that wait.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.core.history import Action, Operation
from lab.core.outcome import outcome_of_silence, outcome_of_status
from lab.core.scenario import Load
from lab.live.clock import now_ms
from lab.testing.place import Answer, CallFromPlaceFailed, PlaceConnection

RECENT_KEYS_MAX = 200
IN_FLIGHT_MAX = 64


@dataclass
class RecentKeys:
    """The newest acknowledged writes of all places, for readers to choose from."""

    keys: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_KEYS_MAX))


class PlaceLoad:
    """The load of one place; `run` goes on until `stop` is set, then waits for what is under way."""

    def __init__(
        self,
        connection: PlaceConnection,
        url: str,
        load: Load,
        recent: RecentKeys,
        record: Callable[[Operation], None],
        *,
        timeout_s: float,
        rng: random.Random,
    ) -> None:
        self._connection, self._url, self._load = connection, url, load
        self._recent, self._record, self._timeout_s, self._rng = recent, record, timeout_s, rng
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`; every request that was sent is recorded before this returns."""
        await asyncio.gather(
            self._send(self._write, self._load.writes_per_second, stop),
            self._send(self._read, self._load.reads_per_second, stop),
        )
        while self._under_way:
            await asyncio.gather(*self._under_way)

    async def _send(self, one: Callable[[], asyncio.Task[None] | None], per_second: float, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._rng.random() / per_second  # places do not send in step
        while not stop.is_set():
            await _until(due, stop)
            if stop.is_set():
                return
            due = max(due + 1 / per_second, loop.time())  # a machine that fell behind does not send a burst
            if len(self._under_way) < IN_FLIGHT_MAX:
                task = one()
                if task is not None:
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)

    def _write(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._call("write", "POST", self._url, None))

    def _read(self) -> asyncio.Task[None] | None:
        if not self._recent.keys:
            return None
        key = self._rng.choice(self._recent.keys)
        return asyncio.create_task(self._call("read", "GET", f"{self._url}/{key}", key))

    async def _call(self, action: Action, method: str, url: str, key: str | None) -> None:
        begun_ms = now_ms()
        place = self._connection.place
        headers = [("Content-Type", "application/json")] if method == "POST" else []
        try:
            answer = await self._connection.call(
                method, url, headers, b"{}" if method == "POST" else b"", timeout_s=self._timeout_s
            )
        except CallFromPlaceFailed as error:
            outcome = outcome_of_silence(action, maybe_executed=error.maybe_executed)
            detail = str(error)
            self._record(Operation(place, action, begun_ms, now_ms(), outcome, key, region=error.region, detail=detail))
            return
        operation = _judge(place, action, key, answer, begun_ms)
        if operation.action == "write" and operation.outcome == "ok" and operation.key is not None:
            self._recent.keys.append(operation.key)
        self._record(operation)


def _judge(place: str, action: Action, key: str | None, answer: Answer, begun_ms: int) -> Operation:
    """The operation that an answer ends. A success whose body does not say what happened is not one."""
    outcome = outcome_of_status(action, answer.status)
    value: str | None = None
    detail = "" if outcome == "ok" else answer.text[:200]
    region = answer.region
    if outcome == "ok" and answer.status != 404:
        try:
            body = answer.json()
            key, value = body["feedback_id"], body["value"]
            region = region or body.get("region")
        except (ValueError, KeyError, TypeError):
            outcome = outcome_of_silence(action, maybe_executed=True)
            detail = f"{answer.status} with a body that is no feedback: {answer.text[:200]}"
    return Operation(place, action, begun_ms, now_ms(), outcome, key, value, region, answer.status, detail)


async def _until(due: float, stop: asyncio.Event) -> None:
    """Wait until a time of the loop's clock, or until `stop`."""
    delay_s = due - asyncio.get_running_loop().time()
    if delay_s <= 0:
        return
    try:
        async with asyncio.timeout(delay_s):
            await stop.wait()
    except TimeoutError:
        return
