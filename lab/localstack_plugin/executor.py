"""LocalStack's runtime executor that runs functions with the lab's execution environments, as processes beside it.

LocalStack has an executor for each event that is handled at a time, without a bound. They share the lab's pool of the
function's version, which has at most so many environments and lets further events wait, as it does on one machine.
The pools run on one event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

from localstack.services.lambda_.invocation.lambda_models import (  # type: ignore[import-not-found]
    FunctionVersion,
    InvocationResult,
)
from localstack.services.lambda_.invocation.runtime_executor import (  # type: ignore[import-not-found]
    RuntimeExecutor,
)

from lab.core.function import Function
from lab.core.lambda_errors import InvokeError
from lab.live.clock import Clock
from lab.live.functions import CloudWatchLogs, EnvironmentPool, EnvironmentSettings, Event, Outcome
from lab.live.functions.log_shipper import LogShipper
from lab.live.functions.runtime_folder import runtime_folder
from lab.live.http_client import HttpClient, TcpAddress

ENDPOINT_VARIABLE = "LAB_ENDPOINT_URL"
SPEED_VARIABLE = "LAB_SPEED"
FOLDER = Path(tempfile.gettempdir()) / "lab"
STOP_LIMIT_S = 5.0
LOG_LINES_MAX = 1_000
LOCALSTACK_PORT = 4566


class EnvironmentLoop:
    """The event loop of all environments of this process, started with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settings: EnvironmentSettings | None = None
        self._shipper: LogShipper | None = None

    def shipper(self) -> LogShipper:
        """What carries log lines to the region's CloudWatch Logs, many at once. Only on the loop."""
        if self._shipper is None:
            client = HttpClient(TcpAddress("127.0.0.1", LOCALSTACK_PORT), limit=2)
            logs = CloudWatchLogs(client, os.environ["AWS_DEFAULT_REGION"])
            self._shipper = LogShipper(logs, log=lambda message: print(message, file=sys.stderr, flush=True))
            self._shipper.start()
        return self._shipper

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="lab-environments", daemon=True).start()
            return self._loop

    @property
    def settings(self) -> EnvironmentSettings:
        """What every environment needs of this container."""
        with self._lock:
            if self._settings is None:
                scratch = FOLDER / "environments"
                scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._settings = EnvironmentSettings(
                    address="127.0.0.1",
                    runtime_dir=runtime_folder(FOLDER / "runtime"),
                    scratch=scratch,
                    clock=Clock(float(os.environ.get(SPEED_VARIABLE, "1"))),
                    endpoint_url=os.environ.get(ENDPOINT_VARIABLE),
                )
            return self._settings


environments = EnvironmentLoop()


class SharedPool:
    """The environments of one function's version, as long as an executor uses them. Lives on the event loop."""

    _all: ClassVar[dict[str, SharedPool]] = {}

    def __init__(self, key: str, function: Function, settings: EnvironmentSettings) -> None:
        self._key, self._users, self._log_group = key, 0, function.log_group
        self._handling: set[asyncio.Future[Outcome]] = set()
        self.pool = EnvironmentPool(function, settings, rng=random.Random(key), on_log=self._on_log)

    @classmethod
    async def join(cls, key: str, function: Function, settings: EnvironmentSettings) -> SharedPool:
        """The version's pool; the first executor makes it."""
        shared = cls._all.get(key)
        if shared is None:
            shared = cls._all[key] = cls(key, function, settings)
        shared._users += 1
        await shared.pool.warm()
        return shared

    async def leave(self) -> None:
        """An executor has ended; with the last one the environments end, once the events that they have are handled."""
        self._users -= 1
        if self._users == 0:
            del self._all[self._key]
            if self._handling:
                await asyncio.wait(self._handling)
            await self.pool.close()

    def begin(self, event: Event) -> None:
        """Handle an event; its newest lines go with the outcome, for callers that ask for them."""
        event.tail = deque(maxlen=LOG_LINES_MAX)
        self._handling.add(event.future)
        event.future.add_done_callback(self._handling.discard)
        self.pool.invoke(event)

    def _on_log(self, stream: str, time_ms: int, lines: Iterable[str]) -> None:
        environments.shipper().add(self._log_group, stream, time_ms, lines)


def function_of(version: FunctionVersion) -> Function:
    """A function's version in LocalStack as the environments know functions."""
    config, code = version.config, version.config.code
    code.prepare_for_execution()  # unpacks the code unless it is there
    # Values of LocalStack's environments are not all strings.
    variables = {name: str(value) for name, value in (config.environment or {}).items()}
    return Function(
        region=version.id.region,
        name=version.id.function_name,
        handler=config.handler,
        runtime=config.runtime,
        role=config.role,
        code_dir=str(code.get_unzipped_code_location()),
        code_sha256=code.code_sha256,
        code_size=code.code_size,
        last_modified=str(config.last_modified),
        revision_id=config.revision_id,
        timeout_s=int(config.timeout),
        memory_mb=int(config.memory_size),
        environment=variables,
    )


class LabExecutor(RuntimeExecutor):  # type: ignore[misc]
    """One execution environment of one function's version."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:
        super().__init__(id=id, function_version=function_version)
        self._shared: SharedPool | None = None
        self._late: asyncio.Task[None] | None = None
        self._logs = ""

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the environment's process; LocalStack's variables are not handed on, the lab makes its own."""
        joining = SharedPool.join(self._pool_key(), function_of(self.function_version), environments.settings)
        self._shared = asyncio.run_coroutine_threadsafe(joining, environments.loop).result()

    def _pool_key(self) -> str:
        version = self.function_version
        return f"{version.qualified_arn}/{version.config.internal_revision}"

    def stop(self) -> None:
        """Leave the pool."""
        shared, self._shared = self._shared, None
        if shared is not None:
            leaving = asyncio.run_coroutine_threadsafe(shared.leave(), environments.loop)
            with contextlib.suppress(TimeoutError):
                leaving.result(STOP_LIMIT_S)

    def invoke(self, payload: dict[str, Any]) -> InvocationResult:
        """Handle one event; LocalStack gives one at a time."""
        done: Future[Outcome] = Future()
        environments.loop.call_soon_threadsafe(self._begin, payload, done)
        outcome = done.result()
        self._logs = "".join(f"{line}\n" for line in outcome.tail or ())
        return InvocationResult(
            request_id=payload["invoke-id"],
            payload=outcome.payload,
            is_error=outcome.error is not None,
            logs=self._logs,
        )

    def _begin(self, payload: dict[str, Any], done: Future[Outcome]) -> None:
        event = Event(
            payload=payload["payload"].encode() or b"{}",
            arn=payload["invoked-function-arn"],
            future=asyncio.get_running_loop().create_future(),
            trace_id=payload["trace-id"],
            request_id=payload["invoke-id"],
        )
        event.future.add_done_callback(lambda future: _settle(future, done))
        if self._shared is not None:
            self._shared.begin(event)
        else:
            self._late = asyncio.get_running_loop().create_task(self._begin_late(event))

    async def _begin_late(self, event: Event) -> None:
        """LocalStack stopped this executor after it had chosen it for the event, as when a function is updated."""
        try:
            shared = await SharedPool.join(self._pool_key(), function_of(self.function_version), environments.settings)
        except OSError as error:  # the version's code is gone: the function was deleted
            event.fail(InvokeError(f"The execution environment was stopped: {error}"))
            return
        shared.begin(event)
        await asyncio.wait([event.future])
        await shared.leave()

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return "http://127.0.0.1"

    def get_logs(self) -> str:
        return self._logs

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Unpack the code."""
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Nothing: versions with the same code share its folder, which LocalStack removes with the code."""


def _settle(future: asyncio.Future[Outcome], done: Future[Outcome]) -> None:
    error = future.exception()
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(future.result())


def leave_logs_to_the_lab() -> None:
    """Stop LocalStack's own writing of log lines: a call of its API for each event; the lab bundles them."""
    from localstack.services.lambda_.invocation import version_manager  # type: ignore[import-not-found]

    version_manager.LambdaVersionManager.store_logs = lambda *_, **__: None


class IdleExecutor(LabExecutor):
    """Runs nothing and answers every event with null."""

    def start(self, env_vars: dict[str, Any]) -> None:
        """There is nothing to start."""

    def invoke(self, payload: dict[str, Any]) -> InvocationResult:
        """Answer at once."""
        return InvocationResult(request_id=payload["invoke-id"], payload=b"null", is_error=False, logs="")
