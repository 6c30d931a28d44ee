"""The environments of one function: which one gets the next event, when another is started, when old ones go.

A free warm environment is taken first, the one used last before others, so that those too many grow idle and are let
go. Beyond `environments_max` events wait in order for a free environment, because this machine ends where AWS would
scale out; how many may wait is the caller's decision (`lab.core.lambda_concurrency`).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import Callable, Iterable

from lab.core.function import DEFAULT_MAX_ENVIRONMENTS, Function
from lab.core.lambda_errors import ServiceUnavailable
from lab.live.functions.environment import Environment, EnvironmentSettings, EnvironmentStatus
from lab.live.functions.event import Event

STARTING_MAX = max(2, os.cpu_count() or 1)
"""So many runtimes of a function come up at once. More would make each other late, and the first one that is up serves
those who wait sooner than one more start-up would."""

LogCallback = Callable[[str, int, Iterable[str]], None]


class EnvironmentPool:
    """Runs one function. `on_log(stream, time_ms, lines)` gets all its log lines."""

    def __init__(
        self,
        function: Function,
        settings: EnvironmentSettings,
        *,
        rng: random.Random,
        on_log: LogCallback,
        environments_max: int = DEFAULT_MAX_ENVIRONMENTS,
    ) -> None:
        self.function = function
        self._settings = settings
        self._rng = rng
        self._on_log = on_log
        self._environments_max = environments_max
        self._environments: list[Environment] = []
        self._idle: list[Environment] = []
        self._events: deque[Event] = deque()
        self._warming: dict[Environment, asyncio.Future[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """Events being handled or waiting. A caller who left does not end its event."""
        return sum(environment.handling for environment in self._environments) + len(self._events)

    @property
    def in_flight_max(self) -> int:
        """What `in_flight` cannot exceed now, for those who need not know it exactly."""
        return len(self._environments) + len(self._events)

    def invoke(self, event: Event) -> None:
        """Handle an event; its future gets the outcome.

        Raises nothing: failures are outcomes or the future's exception.
        """
        self._events.append(event)
        self._dispatch()

    async def warm(self) -> None:
        """Start an environment unless there is one, and wait until it is ready or its initialization failed."""
        if self._environments and not self._warming:
            return
        if not self._warming:
            environment = self._open()
            self._warming[environment] = asyncio.get_running_loop().create_future()
            environment.warm_up()
        await asyncio.wait(list(self._warming.values()))

    def replace(self, function: Function) -> None:
        """Go on with a changed function: environments of the old one end after their current event."""
        self.function = function
        for environment in list(self._environments):
            if _same_environment(environment.function, function):
                environment.function = function
            elif environment in self._idle:
                self._end(environment)

    def end_idle(self, idle_s: float) -> None:
        """End the environments that have been free for so long."""
        now = asyncio.get_running_loop().time()
        for environment in list(self._idle):
            if now - environment.idle_since >= idle_s:
                self._end(environment)

    def kill(self, error: Exception) -> None:
        """End all environments at once; all events fail with `error`."""
        events, self._events = self._events, deque()
        for event in events:
            event.fail(error)
        for environment in list(self._environments):
            self._end(environment, error)

    async def close(self) -> None:
        """End all environments and wait until no process is left."""
        self.kill(ServiceUnavailable("The service is shutting down."))
        while self._ending:
            await asyncio.wait(self._ending)

    def status(self) -> tuple[EnvironmentStatus, ...]:
        return tuple(environment.status() for environment in self._environments)

    def _dispatch(self) -> None:
        while self._events:
            if self._events[0].future.done():
                self._events.popleft()  # the caller left before it was its turn
                continue
            if self._idle and (self._idle[-1].warm or not self._enough_start):
                environment = self._idle.pop()
            elif len(self._events) <= sum(environment.about_to_be_free for environment in self._environments):
                return  # a caller who calls again at once should not start one more environment
            elif self._enough_start:
                return  # the next one that is up, or free, goes on
            elif len(self._environments) < self._environments_max:
                try:
                    environment = self._open()
                except OSError as error:
                    self._events.popleft().fail(
                        ServiceUnavailable(f"This machine cannot open another execution environment: {error}")
                    )
                    continue
            else:
                return
            environment.begin(self._events.popleft())

    @property
    def _enough_start(self) -> bool:
        return sum(environment.starting for environment in self._environments) >= STARTING_MAX

    def _open(self) -> Environment:
        environment = Environment(
            self.function,
            self._settings,
            rng=self._rng,
            on_free=self._freed,
            on_ready=self._dispatch,
            on_log=self._on_log,
        )
        self._environments.append(environment)
        return environment

    def _freed(self, environment: Environment) -> None:
        warming = self._warming.pop(environment, None)
        if warming is not None and not warming.done():
            warming.set_result(None)
        if not _same_environment(environment.function, self.function):
            self._end(environment)
        elif environment.warm:
            self._idle.append(environment)
        else:
            self._idle.insert(0, environment)
        self._dispatch()

    def _end(self, environment: Environment, error: Exception | None = None) -> None:
        self._environments.remove(environment)
        if environment in self._idle:
            self._idle.remove(environment)
        warming = self._warming.pop(environment, None)
        if warming is not None and not warming.done():
            warming.set_result(None)
        environment.kill(error or ServiceUnavailable("The execution environment was replaced."))
        task = asyncio.get_running_loop().create_task(environment.ended())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _same_environment(old: Function, new: Function) -> bool:
    """Whether a change from one to the other leaves running environments as they should be."""
    return old is new or _seen_by_environments(old) == _seen_by_environments(new)


def _seen_by_environments(function: Function) -> tuple[object, ...]:
    return (
        function.handler,
        function.runtime,
        function.role,
        function.code_dir,
        function.code_sha256,
        function.timeout_s,
        function.memory_mb,
        function.environment,
        function.ephemeral_storage_mb,
    )
