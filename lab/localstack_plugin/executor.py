"""LocalStack's runtime executor that runs functions with the lab's execution environments, as processes beside it.

LocalStack decides how many environments a function has and which one gets an event; each has one executor, and each
executor one environment. The environments run on one event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

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
from lab.live.functions import EnvironmentPool, EnvironmentSettings, Event, Outcome
from lab.live.functions.runtime_folder import runtime_folder

ENDPOINT_VARIABLE = "LAB_ENDPOINT_URL"
SPEED_VARIABLE = "LAB_SPEED"
FOLDER = Path(tempfile.gettempdir()) / "lab"
STOP_LIMIT_S = 5.0


class EnvironmentLoop:
    """The event loop of all environments of this process, started with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settings: EnvironmentSettings | None = None

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
        self._pool: EnvironmentPool | None = None
        self._lines: list[str] = []

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the environment's process; LocalStack's variables are not handed on, the lab makes its own."""
        settings, function = environments.settings, function_of(self.function_version)
        asyncio.run_coroutine_threadsafe(self._open(function, settings), environments.loop).result()

    async def _open(self, function: Function, settings: EnvironmentSettings) -> None:
        self._pool = EnvironmentPool(
            function, settings, rng=random.Random(self.id), on_log=self._on_log, environments_max=1
        )
        await self._pool.warm()

    def _on_log(self, stream: str, time_ms: int, lines: Iterable[str]) -> None:
        self._lines.extend(lines)

    def stop(self) -> None:
        """End the process."""
        pool, self._pool = self._pool, None
        if pool is not None:
            closing = asyncio.run_coroutine_threadsafe(pool.close(), environments.loop)
            with contextlib.suppress(TimeoutError):
                closing.result(STOP_LIMIT_S)

    def invoke(self, payload: dict[str, Any]) -> InvocationResult:
        """Handle one event; LocalStack gives one at a time."""
        done: Future[tuple[Outcome, str]] = Future()
        environments.loop.call_soon_threadsafe(self._begin, payload, done)
        outcome, logs = done.result()
        return InvocationResult(
            request_id=payload["invoke-id"], payload=outcome.payload, is_error=outcome.error is not None, logs=logs
        )

    def _begin(self, payload: dict[str, Any], done: Future[tuple[Outcome, str]]) -> None:
        event = Event(
            payload=payload["payload"].encode() or b"{}",
            arn=payload["invoked-function-arn"],
            future=asyncio.get_running_loop().create_future(),
            trace_id=payload["trace-id"],
            request_id=payload["invoke-id"],
        )
        event.future.add_done_callback(lambda future: self._settle(future, done))
        if self._pool is None:
            event.fail(InvokeError("The execution environment was stopped."))
        else:
            self._pool.invoke(event)

    def _settle(self, future: asyncio.Future[Outcome], done: Future[tuple[Outcome, str]]) -> None:
        error = future.exception()
        if error is not None:
            done.set_exception(error)
            return
        lines, self._lines = self._lines, []
        done.set_result((future.result(), "".join(f"{line}\n" for line in lines)))

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return "http://127.0.0.1"

    def get_logs(self) -> str:
        return "\n".join(self._lines)

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Unpack the code."""
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Nothing: versions with the same code share its folder, which LocalStack removes with the code."""


class IdleExecutor(LabExecutor):
    """Runs nothing and answers every event with null."""

    def start(self, env_vars: dict[str, Any]) -> None:
        """There is nothing to start."""

    def invoke(self, payload: dict[str, Any]) -> InvocationResult:
        """Answer at once."""
        return InvocationResult(request_id=payload["invoke-id"], payload=b"null", is_error=False, logs="")
