"""The Lambda of one region: its functions as last published, throttling, asynchronous events, faults, logs.

Functions come from the document `functions`. Environments start with the first event; a changed function gets new
ones. What an environment does is in `environment`, which of them is taken in `environment_pool`.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

from lab.core.faults import RegionCondition
from lab.core.function import DEFAULT_MAX_ENVIRONMENTS, Function, Functions
from lab.core.lambda_concurrency import ACCOUNT_CONCURRENCY, throttle_reason
from lab.core.lambda_errors import (
    FunctionNotFound,
    ServiceUnavailable,
    TooManyRequests,
    check_request_size,
)
from lab.core.lambda_function_name import LATEST, function_arn
from lab.core.lambda_log import TAIL_BYTES, LogLine, LogRing, tail
from lab.core.topology import Topology
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.functions.asynchronous_events import AsynchronousEvents
from lab.live.functions.environment import EnvironmentSettings, EnvironmentStatus
from lab.live.functions.environment_pool import EnvironmentPool
from lab.live.functions.event import Event, Outcome
from lab.live.functions.log_shipper import LogShipper, LogSink
from lab.live.functions.runtime_folder import runtime_folder

IDLE_LIFETIME_MS = 300_000
"""How long an environment lives without an event. AWS says "several minutes" and does not promise any."""

InvocationType = Literal["RequestResponse", "Event", "DryRun"]


class Invocation(NamedTuple):
    """What an invocation came to. `function_error` is None or "Unhandled"; `log_tail` has up to 4 KB if asked for.

    `init_ms` is set for the invocation that started its environment.
    """

    status_code: int
    payload: bytes
    function_error: str | None
    executed_version: str
    request_id: str
    log_tail: bytes
    duration_ms: float
    init_ms: float | None


@dataclass(frozen=True)
class FunctionStatus:
    """One function for `lab status`."""

    name: str
    in_flight: int
    invocations: int
    errors: int
    throttles: int
    environments: tuple[EnvironmentStatus, ...]


@dataclass(frozen=True)
class RegionFunctionsStatus:
    """The functions of a region, and how its logs fare."""

    condition: RegionCondition
    functions: tuple[FunctionStatus, ...]
    log_events_shipped: int
    log_events_dropped: int


class _Deployed:
    """A function with its environments, its newest log lines and its counters."""

    def __init__(self, pool: EnvironmentPool, ring: LogRing) -> None:
        self.pool, self.ring = pool, ring
        self.invocations = 0
        self.errors = 0
        self.throttles = 0


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


class RegionFunctions:
    """All functions of one region. `endpoint_url` is the region's front, which handlers find in `AWS_ENDPOINT_URL`."""

    def __init__(
        self,
        topology: Topology,
        region: str,
        store: DocumentStore,
        clock: Clock,
        *,
        endpoint_url: str,
        logs: LogSink,
        log: Callable[[str], None] = _to_stderr,
        environments_max: int = DEFAULT_MAX_ENVIRONMENTS,
    ) -> None:
        self._topology, self._region, self._store, self._clock = topology, region, store, clock
        self._endpoint_url = endpoint_url
        self._sink, self._log = logs, log
        self._environments_max = environments_max
        self._rng = random.Random(f"{topology.seed}:functions:{region}:{time.time_ns()}")
        self._scratch = Path(topology.run_dir) / "functions" / region
        self._settings: EnvironmentSettings | None = None
        self._deployed: dict[str, _Deployed] = {}
        self._condition: RegionCondition = "up"
        self._shipper: LogShipper | None = None
        self._asynchronous: AsynchronousEvents | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._reserved_in_all = 0

    @property
    def region(self) -> str:
        """The region's code."""
        return self._region

    # life

    async def start(self) -> None:
        """Make the folders and take the functions that are deployed. Raises EnvironmentFailure, OSError."""
        shutil.rmtree(self._scratch, ignore_errors=True)  # left over by a process that was killed
        self._scratch.mkdir(parents=True, mode=0o700)
        runtime_dir = await asyncio.to_thread(runtime_folder, Path(self._topology.state_dir) / "runtime")
        self._settings = EnvironmentSettings(
            address=self._topology.region(self._region).address,
            runtime_dir=runtime_dir,
            scratch=self._scratch,
            clock=self._clock,
            endpoint_url=self._endpoint_url,
        )
        self._shipper = LogShipper(self._sink, log=self._log)
        self._shipper.start()
        self._asynchronous = AsynchronousEvents(self._invoke_now, self._clock, log=self._log)
        self._store.watch(Functions, self._functions_changed)
        self._functions_changed()
        self._end_idle()

    async def close(self) -> None:
        """End everything; no process is left afterwards."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._asynchronous is not None:
            await self._asynchronous.close()
        self._settings = None
        for name in list(self._deployed):
            self._remove(name)
        while self._leaving:
            await asyncio.wait(self._leaving)
        if self._shipper is not None:
            await self._shipper.close()
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)

    def set_condition(self, condition: RegionCondition) -> None:
        """Follow the region: down, all environments die at once and nothing is served.

        A region that hangs keeps them.
        """
        if condition == "down" and self._condition != "down":
            for deployed in self._deployed.values():
                deployed.pool.kill(ServiceUnavailable("The region is down."))
        self._condition = condition

    # invoking

    async def invoke(
        self,
        name: str,
        payload: bytes,
        *,
        invocation_type: InvocationType = "RequestResponse",
        client_context: str | None = None,
        trace_id: str | None = None,
        qualifier: str | None = None,
        want_tail: bool = False,
    ) -> Invocation:
        """Invoke a function by its name; `client_context` is JSON text.

        Raises InvokeError: FunctionNotFound, TooManyRequests, RequestTooLarge, ServiceUnavailable. What the function
        does wrong is no exception but `function_error`. A caller who is cancelled leaves the function running.
        """
        self._check_up()
        deployed = self._deployed.get(name)
        if deployed is None or (qualifier is not None and qualifier != LATEST):
            raise FunctionNotFound(function_arn(self._region, name, qualifier))
        check_request_size(len(payload), invocation_type)
        event = Event(
            payload or b"{}",
            function_arn(self._region, name, qualifier),
            asyncio.get_running_loop().create_future(),
            trace_id or self._new_trace_id(),
            client_context if invocation_type == "RequestResponse" else None,
        )
        if invocation_type == "DryRun":
            return Invocation(204, b"", None, LATEST, event.request_id, b"", 0.0, None)
        if invocation_type == "Event":
            assert self._asynchronous is not None
            self._asynchronous.accept(name, event)
            return Invocation(202, b"", None, LATEST, event.request_id, b"", 0.0, None)
        if want_tail:
            event.tail = deque(maxlen=TAIL_BYTES)
        outcome = await self._run(deployed, event)
        return Invocation(
            200,
            outcome.payload,
            outcome.error,
            LATEST,
            event.request_id,
            tail(outcome.tail) if outcome.tail is not None else b"",
            outcome.duration_ms,
            outcome.init_ms,
        )

    async def warm(self, name: str) -> None:
        """Start an environment of a function ahead of its first event. Raises FunctionNotFound, ServiceUnavailable."""
        self._check_up()
        deployed = self._deployed.get(name)
        if deployed is None:
            raise FunctionNotFound(function_arn(self._region, name))
        await deployed.pool.warm()

    async def _run(self, deployed: _Deployed, event: Event) -> Outcome:
        pool = deployed.pool
        reserved = pool.function.reserved_concurrency
        if reserved is not None or self._account_is_busy():
            reason = throttle_reason(
                reserved=reserved,
                in_flight=pool.in_flight,
                reserved_in_all=self._reserved_in_all,
                unreserved_in_flight=self._unreserved_in_flight(),
            )
            if reason is not None:
                deployed.throttles += 1
                raise TooManyRequests(reason)
        deployed.invocations += 1
        pool.invoke(event)
        outcome = await event.future
        if outcome.error is not None:
            deployed.errors += 1
        return outcome

    async def _invoke_now(self, name: str, event: Event) -> Outcome:
        """One try of an asynchronous event."""
        self._check_up()
        deployed = self._deployed.get(name)
        if deployed is None:
            raise FunctionNotFound(event.arn)
        return await self._run(deployed, event)

    def _check_up(self) -> None:
        if self._condition == "down":
            raise ServiceUnavailable("The region is down.")
        if self._settings is None:
            raise ServiceUnavailable("The service is not running.")

    def _account_is_busy(self) -> bool:
        """Whether the account's limit could be near; hardly ever so, and quickly told on every invocation's path."""
        at_most = sum(deployed.pool.in_flight_max for deployed in self._deployed.values())
        return at_most >= ACCOUNT_CONCURRENCY - self._reserved_in_all

    def _unreserved_in_flight(self) -> int:
        return sum(
            deployed.pool.in_flight
            for deployed in self._deployed.values()
            if deployed.pool.function.reserved_concurrency is None
        )

    def _new_trace_id(self) -> str:
        bits = self._rng.getrandbits(160)
        return f"Root=1-{int(time.time()):08x}-{bits >> 64:024x};Parent={bits & 0xFFFFFFFFFFFFFFFF:016x};Sampled=0"

    # what is deployed

    def _functions_changed(self) -> None:
        if self._settings is None:
            return
        functions = {f.name: f for f in self._store.get(Functions).functions if f.region == self._region}
        for name in self._deployed.keys() - functions.keys():
            self._remove(name)
        for name, function in functions.items():
            if name in self._deployed:
                self._deployed[name].pool.replace(function)
            else:
                self._deployed[name] = self._deploy(function, self._settings)
        reserved = sum(f.reserved_concurrency or 0 for f in functions.values())
        self._reserved_in_all = min(reserved, ACCOUNT_CONCURRENCY)

    def _deploy(self, function: Function, settings: EnvironmentSettings) -> _Deployed:
        ring, log_group = LogRing(), function.log_group
        shipper = cast(LogShipper, self._shipper)

        def on_log(stream: str, time_ms: int, lines: Iterable[str]) -> None:
            for line in lines:
                ring.append(time_ms, stream, line)
            shipper.add(log_group, stream, time_ms, lines)

        pool = EnvironmentPool(
            function, settings, rng=self._rng, on_log=on_log, environments_max=self._environments_max
        )
        return _Deployed(pool, ring)

    def _remove(self, name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._deployed.pop(name).pool.close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _end_idle(self) -> None:
        lifetime_s = self._clock.deadline_s(IDLE_LIFETIME_MS)
        for deployed in self._deployed.values():
            deployed.pool.end_idle(lifetime_s)
        self._idle_timer = asyncio.get_running_loop().call_later(lifetime_s / 5, self._end_idle)

    # telling

    def log_lines(self, name: str, after: int = 0) -> list[LogLine]:
        """The newest log lines of a function with numbers above `after`. Raises FunctionNotFound."""
        deployed = self._deployed.get(name)
        if deployed is None:
            raise FunctionNotFound(function_arn(self._region, name))
        return deployed.ring.after(after)

    def status(self) -> RegionFunctionsStatus:
        """What runs now, as plain dataclasses (`lab.core.codec.encode` makes JSON of it)."""
        return RegionFunctionsStatus(
            self._condition,
            tuple(
                FunctionStatus(
                    name,
                    deployed.pool.in_flight,
                    deployed.invocations,
                    deployed.errors,
                    deployed.throttles,
                    deployed.pool.status(),
                )
                for name, deployed in sorted(self._deployed.items())
            ),
            self._shipper.shipped if self._shipper is not None else 0,
            self._shipper.dropped if self._shipper is not None else 0,
        )
