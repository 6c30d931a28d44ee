"""Asynchronous invocations: accepted at once, run later, tried again as AWS tries again.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html: two more tries after a function
error, a minute and two minutes later; throttled or unserved events are tried for six hours, from a second up to five
minutes apart. Not imitated: AWS's queue outlives its servers, this one is memory; dead-letter queues and
destinations.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

from lab.core.lambda_errors import FunctionNotFound, ServiceUnavailable, TooManyRequests
from lab.live.clock import Clock
from lab.live.functions.event import Event, Outcome

RETRY_WAITS_MS = (60_000, 120_000)
AGE_MS_MAX = 6 * 3_600_000
BACKOFF_MS_MAX = 300_000
EVENTS_MAX = 10_000


class AsynchronousEvents:
    """The queue of one region. `run` makes one try of an event."""

    def __init__(
        self, run: Callable[[str, Event], Awaitable[Outcome]], clock: Clock, *, log: Callable[[str], None]
    ) -> None:
        self._run, self._clock, self._log = run, clock, log
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, name: str, event: Event) -> None:
        """Take an event. Raises TooManyRequests when too many are waiting."""
        if len(self._tasks) >= EVENTS_MAX:
            raise TooManyRequests("ConcurrentInvocationLimitExceeded")
        task = asyncio.get_running_loop().create_task(self._deliver(name, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up all events that are waiting or running."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, name: str, event: Event) -> None:
        failures = 0
        age_ms = 0
        backoff_ms = 1_000
        while True:
            attempt = dataclasses.replace(event, future=asyncio.get_running_loop().create_future())
            try:
                outcome = await self._run(name, attempt)
            except FunctionNotFound:
                return  # deleted meanwhile
            except (TooManyRequests, ServiceUnavailable) as error:
                wait_ms = backoff_ms
                backoff_ms = min(backoff_ms * 2, BACKOFF_MS_MAX)
                problem = str(error)
            else:
                if outcome.error is None:
                    return
                problem = "function error"
                wait_ms = RETRY_WAITS_MS[min(failures, len(RETRY_WAITS_MS) - 1)]
                failures += 1
            age_ms += wait_ms
            if failures > len(RETRY_WAITS_MS) or age_ms > AGE_MS_MAX:
                self._log(f"asynchronous event {event.request_id} of function {name} was given up: {problem}")
                return
            await self._clock.sleep(wait_ms)
