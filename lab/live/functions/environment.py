"""An execution environment: at most one runtime process, one event at a time, and what happens when either goes wrong.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html. Everything is driven by calls of the
runtime, the process's end and one timer, not by tasks: the warm path costs no more than it must. Not imitated: freezing
between events (background threads go on), limits on memory, the size of files and processes, extensions, the shutdown
phase (processes are killed).
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.core import lambda_payload
from lab.core.function import Function
from lab.core.lambda_environment import environment_variables
from lab.core.lambda_log import end_line, init_report_line, log_stream_name, report_line, start_line
from lab.core.lambda_payload import MAX_RESPONSE_BYTES
from lab.live.clock import HANDLER_FLOOR_S, Clock, now_ms
from lab.live.functions import runtime_api
from lab.live.functions.event import Event, Outcome
from lab.live.functions.runtime_api import RuntimeConnection
from lab.live.functions.runtime_port import RuntimePort
from lab.live.functions.runtime_process import RuntimeProcess

INIT_LIMIT_MS = 10_000
INIT_LIMIT_FLOOR_S = 5.0
"""However fast the lab runs. A start-up that is killed for being late starts again, and a busy machine gets busier."""
MEMORY_SAMPLE_S = 1.0
UNHANDLED = "Unhandled"

Phase = Literal["cold", "init", "ready"]


@dataclass(frozen=True)
class EnvironmentSettings:
    """What environments need of their surroundings. `scratch` is a folder for their TMPDIRs."""

    address: str
    runtime_dir: Path
    scratch: Path
    clock: Clock
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentStatus:
    """One environment for `lab status`; `pid` None while it has no process."""

    state: Literal["cold", "starting", "idle", "busy"]
    pid: int | None
    invocations: int
    log_stream: str


class Environment:
    """One environment of one function.

    `begin` gives it an event when it is free; `on_free` is called when it is free again, `on_ready` when its runtime
    has come up with an event to handle. `on_log(stream, time_ms, lines)` gets every line. After a crash or a timeout
    the environment has no process: it starts another with the next event, with the same TMPDIR and log stream, as AWS
    resets an environment.
    """

    def __init__(
        self,
        function: Function,
        settings: EnvironmentSettings,
        *,
        rng: random.Random,
        on_free: Callable[[Environment], None],
        on_ready: Callable[[], None],
        on_log: Callable[[str, int, Iterable[str]], None],
    ) -> None:
        """Open its Runtime API. Raises OSError if it cannot listen or make its folder."""
        self.function = function
        self._settings = settings
        self._on_free, self._on_ready, self._on_log = on_free, on_ready, on_log
        self._loop = asyncio.get_running_loop()
        today = time.gmtime()
        self.log_stream = log_stream_name(today.tm_year, today.tm_mon, today.tm_mday, rng)
        self._temporary = settings.scratch / self.log_stream[-12:]
        self._temporary.mkdir(parents=True)
        self._port = RuntimePort(settings.address, self)
        self.host = self._port.host.encode()
        self.max_body_bytes = MAX_RESPONSE_BYTES
        self._timeout_s = settings.clock.deadline_s(function.timeout_s * 1000, floor_s=HANDLER_FLOOR_S)
        self._process: RuntimeProcess | None = None
        self._ending: list[RuntimeProcess] = []
        self._phase: Phase = "cold"
        self._reset_before = False
        self._waiting: RuntimeConnection | None = None
        self._event: Event | None = None
        self._answered = False
        self._init_started = 0.0
        self._init_failure: bytes | None = None
        self._init_ms: float | None = None
        self._started = 0.0
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._memory_mb = 0
        self._memory_sampled = 0.0
        self._closed = False
        self.invocations = 0
        self.idle_since = self._loop.time()

    # what the pool asks for

    @property
    def warm(self) -> bool:
        """Whether a runtime waits for an event."""
        return self._waiting is not None

    @property
    def starting(self) -> bool:
        """Whether its runtime is coming up."""
        return self._process is not None and self._phase == "init"

    @property
    def handling(self) -> bool:
        """Whether an event waits for its outcome here."""
        return self._event is not None and not self._answered

    @property
    def about_to_be_free(self) -> bool:
        """Whether the outcome is out and the runtime only has yet to ask for the next event."""
        return self._event is not None and self._answered

    def begin(self, event: Event) -> None:
        """Handle an event. Only for a free environment."""
        assert self._event is None and not self._closed
        self._event = event
        self._answered = False
        self.invocations += 1
        if self._waiting is not None:
            self._send()
        elif self._process is None:
            if self._reset_before:
                self._begin_invoke_phase()
            self._start_process()

    def warm_up(self) -> None:
        """Start the runtime without an event; `on_free` follows, whether it came up or not."""
        assert self._event is None and self._process is None and not self._closed
        self._start_process()

    def kill(self, error: Exception) -> None:
        """End it at once, for good; the event that it handled fails with `error`."""
        event, self._event = self._event, None
        self._closed = True
        self._stop_process()
        if self._timer is not None:
            self._timer.cancel()
        self._port.close()
        if event is not None:
            event.fail(error)

    async def ended(self) -> None:
        """After `kill`: wait until no process is left, then remove its folder."""
        for process in list(self._ending):
            await process.ended()
        await self._port.closed()
        await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)

    def status(self) -> EnvironmentStatus:
        state: Literal["cold", "starting", "idle", "busy"]
        if self.handling and self._phase == "ready":
            state = "busy"
        elif self._process is None:
            state = "cold"
        else:
            state = "starting" if self._phase == "init" else "idle"
        pid = self._process.pid if self._process is not None else None
        return EnvironmentStatus(state, pid, self.invocations, self.log_stream)

    # the process

    def _start_process(self) -> None:
        self._phase = "init"
        self._init_failure = None
        self._init_started = self._loop.time()
        self._ending = [process for process in self._ending if not process.is_gone]
        if self._deadline is None:  # else this is a second try, within the invocation's own time
            limit_s = max(self._settings.clock.deadline_s(INIT_LIMIT_MS), INIT_LIMIT_FLOOR_S)
            self._arm(self._init_started + limit_s)
            version = ".".join(map(str, sys.version_info[:3]))
            self._log([f"INIT_START Runtime Version: python:{version}"])
        variables = environment_variables(
            self.function,
            runtime_api=self._port.host,
            runtime_dir=str(self._settings.runtime_dir),
            log_stream=self.log_stream,
            temporary_dir=str(self._temporary),
            endpoint_url=self._settings.endpoint_url,
        )
        try:
            self._process = RuntimeProcess(
                self.function.handler,
                cwd=self.function.code_dir,
                environment=variables,
                on_lines=self._log,
                on_exit=self._exited,
            )
        except OSError as error:
            # AWS has a name for it, too: a runtime that cannot be started in the function's folder.
            self._init_failure = lambda_payload.error_payload(
                "Runtime.InvalidEntrypoint", f"cannot start the runtime in {self.function.code_dir}: {error.strerror}"
            )
            self._loop.call_soon(self._exited, 1)

    def _stop_process(self) -> None:
        """Kill the process, if there is one, and forget all that it had open."""
        self._phase = "cold"
        self._reset_before = True
        self._waiting = None
        self._deadline = None
        if self._process is not None:
            process, self._process = self._process, None
            self._ending.append(process)
            process.kill()
        self._port.abort_connections()

    def _exited(self, return_code: int) -> None:
        """The process ended by itself, or could not be started."""
        if self._closed:
            return
        phase = self._phase
        if phase == "init":
            error_type = lambda_payload.EXIT_ERROR_TYPE
            if self._init_failure is not None:
                error_type = lambda_payload.error_type_of(self._init_failure)
            self._init_failed(self._init_failure, return_code, "error", error_type)
            return
        self._stop_process()
        if self._event is not None and not self._answered:
            request_id = self._event.request_id
            self._log(
                [
                    f"RequestId: {request_id} Error: {lambda_payload.exit_description(return_code)}",
                    lambda_payload.EXIT_ERROR_TYPE,
                ]
            )
            payload = lambda_payload.exit_payload(request_id, return_code)
            self._finish(payload, UNHANDLED, "error", lambda_payload.EXIT_ERROR_TYPE)
        self._free()

    def _init_failed(
        self, failure: bytes | None, return_code: int, status: Literal["error", "timeout"], error_type: str
    ) -> None:
        """The initialization failed: with an event, it is tried once more within the event's time, as on AWS."""
        event = self._event
        second_try = event is not None and self._started > 0.0
        elapsed_ms = (self._loop.time() - self._init_started) * 1000
        phase = "invoke" if second_try else "init"
        self._log([init_report_line(init_ms=elapsed_ms, phase=phase, status=status, error_type=error_type)])
        deadline = self._deadline
        self._stop_process()
        if event is None:
            self._free()
        elif not second_try:
            self._begin_invoke_phase()
            self._start_process()
        else:
            self._deadline = deadline
            payload = failure or lambda_payload.exit_payload(event.request_id, return_code)
            self._finish(payload, UNHANDLED, "error", error_type)
            self._free()

    # one event

    def _begin_invoke_phase(self) -> None:
        """From here on the function's timeout runs."""
        assert self._event is not None
        self._started = self._loop.time()
        self._log([start_line(self._event.request_id)])
        self._arm(self._started + self._timeout_s)

    def _send(self) -> None:
        event, connection = self._event, self._waiting
        assert event is not None and connection is not None
        self._waiting = None
        if self._started == 0.0:
            self._begin_invoke_phase()
        remaining_ms = int(((self._deadline or 0.0) - self._loop.time()) * 1000)
        connection.write(runtime_api.invocation(event, now_ms() + remaining_ms))

    def _finish(
        self, payload: bytes, error: str | None, status: str | None = None, error_type: str | None = None
    ) -> None:
        """Settle the event: its last log lines, then its outcome. The environment is not free yet."""
        event = self._event
        assert event is not None
        self._answered = True
        now = self._loop.time()
        duration_ms = (now - self._started) * 1000
        if self._process is not None:
            self._process.flush()
            if now - self._memory_sampled > MEMORY_SAMPLE_S:
                self._memory_sampled = now
                self._memory_mb = self._process.memory_kb() // 1024
        self._log(
            [
                end_line(event.request_id),
                report_line(
                    event.request_id,
                    duration_ms=duration_ms,
                    memory_mb=self.function.memory_mb,
                    max_memory_used_mb=self._memory_mb,
                    init_ms=self._init_ms,
                    status=status,
                    error_type=error_type,
                ),
            ]
        )
        init_ms, self._init_ms = self._init_ms, None
        event.settle(Outcome(payload, error, duration_ms, init_ms, event.tail))

    def _free(self) -> None:
        """The event is over and the runtime waits for the next one, or is gone."""
        self._event = None
        self._answered = False
        self._started = 0.0
        self._deadline = None
        self.idle_since = self._loop.time()
        self._on_free(self)

    # the timer: one at a time, moved only when it is too late

    def _arm(self, deadline: float) -> None:
        self._deadline = deadline
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
            return
        if self._phase == "init" and self._started == 0.0:
            self._init_failed(None, -9, "timeout", lambda_payload.TIMEOUT_ERROR_TYPE)
            return
        event = self._event
        assert event is not None
        if not self._answered:
            if self._process is not None:
                self._process.flush()
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
            self._log(
                [
                    f"{stamp}.{now_ms() % 1000:03}Z {event.request_id} Task timed out after "
                    f"{self.function.timeout_s:.2f} seconds"
                ]
            )
            self._finish(
                lambda_payload.timeout_payload(event.request_id, self.function.timeout_s), UNHANDLED, "timeout"
            )
        self._stop_process()
        self._free()

    # the runtime's calls

    def opened(self, connection: RuntimeConnection) -> None:
        if self._process is None or self._closed:
            connection.abort()
        else:
            self._port.connections.add(connection)

    def closed(self, connection: RuntimeConnection) -> None:
        self._port.connections.discard(connection)
        if self._waiting is connection:
            self._waiting = None  # the process's end follows

    def next(self, connection: RuntimeConnection) -> None:
        """The runtime is ready for an event."""
        if self._waiting is not None or (self._phase == "ready" and self._event is not None and not self._answered):
            connection.write(runtime_api.WRONG_STATE)
            return
        self._waiting = connection
        if self._phase == "init":
            self._phase = "ready"
            if self._started == 0.0:
                self._init_ms = (self._loop.time() - self._init_started) * 1000
                self._deadline = None
            if self._event is not None:
                self._send()
                self._on_ready()
                return
        self._free()

    def response(self, request_id: str, body: bytes, content_type: str, *, too_large: bool) -> bytes:
        """The function's response."""
        event = self._event
        if event is None or self._answered or request_id != event.request_id:
            return runtime_api.WRONG_REQUEST_ID
        if too_large:
            self._finish(lambda_payload.too_large_payload(), UNHANDLED, "error", lambda_payload.TOO_LARGE_ERROR_TYPE)
            return runtime_api.TOO_LARGE
        problem = lambda_payload.response_problem(body, content_type)
        if problem is not None:
            self._finish(problem, UNHANDLED, "error", lambda_payload.MARSHAL_ERROR_TYPE)
        else:
            self._finish(body, None)
        return runtime_api.ACCEPTED

    def error(self, request_id: str, body: bytes) -> bytes:
        """The function raised."""
        event = self._event
        if event is None or self._answered or request_id != event.request_id:
            return runtime_api.WRONG_REQUEST_ID
        self._finish(body, UNHANDLED, "error", lambda_payload.error_type_of(body))
        return runtime_api.ACCEPTED

    def init_error(self, body: bytes) -> bytes:
        """The function could not be initialized; the client ends the process next."""
        if self._phase != "init":
            return runtime_api.WRONG_STATE
        self._init_failure = body
        return runtime_api.ACCEPTED

    def _log(self, lines: list[str]) -> None:
        if self._event is not None and self._event.tail is not None and self._started > 0.0:
            self._event.tail.extend(lines)
        self._on_log(self.log_stream, now_ms(), lines)
