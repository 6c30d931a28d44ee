"""Holds bytes up for as long as they would travel: what the accelerator adds when the lab is told to have distances."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class DelayLine:
    """Hands on pieces of bytes in order, each some time after it was put in. b"" stands for the end of the stream."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[bytes], None]) -> None:
        self._loop, self._deliver = loop, deliver
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.bytes = 0

    def put(self, data: bytes, delay_s: float) -> None:
        due = self._loop.time() + delay_s
        if self._pieces:
            due = max(due, self._pieces[-1][0])
        self._pieces.append((due, data))
        self.bytes += len(data)
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._run)

    def _run(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._pieces and self._pieces[0][0] <= now + 0.0005:
            _, data = self._pieces.popleft()
            self.bytes -= len(data)
            self._deliver(data)
        if self._pieces and self._timer is None:
            self._timer = self._loop.call_at(self._pieces[0][0], self._run)

    def close(self) -> None:
        self._pieces.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
