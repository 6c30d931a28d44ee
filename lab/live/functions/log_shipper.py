"""From a function's lines to CloudWatch Logs, in batches and never in an invocation's way.

Lines wait in memory, bounded, until the next batch; what a sink cannot take after a few tries, and what comes faster
than it should be burdened with, is dropped and counted. `lab logs` reads the ring of `lab.core.lambda_log` and not
CloudWatch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import orjson

from lab.live.http_client import CallFailed, HttpClient

BATCH_INTERVAL_S = 0.25
BATCH_EVENTS_MAX = 1_000
"""Events a batch of a region, so at most 4,000 a second: the engine keeps every event in memory for good."""
TRIES = 3

LogEvent = tuple[int, str]
"""Time in milliseconds since the epoch, and the message."""


class LogPutFailed(Exception):
    """A sink could not take a batch. `retryable` says whether a later try may succeed."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class LogSink(Protocol):
    """Where batches go."""

    async def put(self, log_group: str, log_stream: str, events: Sequence[LogEvent]) -> None:
        """Append events, oldest first. Raises LogPutFailed."""


class NoLogSink:
    """Takes nothing down: for functions without CloudWatch Logs."""

    async def put(self, log_group: str, log_stream: str, events: Sequence[LogEvent]) -> None:
        """Forget the events."""


class CloudWatchLogs:
    """CloudWatch Logs of a region's engine (PutLogEvents, making group and stream as needed).

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
    """

    def __init__(self, client: HttpClient, region: str, *, timeout_s: float = 5.0) -> None:
        self._client, self._region, self._timeout_s = client, region, timeout_s

    async def put(self, log_group: str, log_stream: str, events: Sequence[LogEvent]) -> None:
        """Append events. Raises LogPutFailed."""
        body = {
            "logGroupName": log_group,
            "logStreamName": log_stream,
            # CloudWatch Logs refuses empty messages
            "logEvents": [{"timestamp": time_ms, "message": message or " "} for time_ms, message in events],
        }
        if await self._call("PutLogEvents", body) == "ResourceNotFoundException":
            await self._call("CreateLogGroup", {"logGroupName": log_group})
            await self._call("CreateLogStream", {"logGroupName": log_group, "logStreamName": log_stream})
            error = await self._call("PutLogEvents", body)
            if error is not None:
                raise LogPutFailed(f"PutLogEvents to {log_group}: {error}", retryable=True)

    async def _call(self, operation: str, body: object) -> str | None:
        """None, or the name of an error that making group and stream may cure."""
        headers = [
            ("Host", f"logs.{self._region}.amazonaws.com"),
            ("Content-Type", "application/x-amz-json-1.1"),
            ("X-Amz-Target", f"Logs_20140328.{operation}"),
            (
                "Authorization",
                f"AWS4-HMAC-SHA256 Credential=lab/20200101/{self._region}/logs/aws4_request, "
                "SignedHeaders=host, Signature=lab",
            ),
        ]
        try:
            response = await self._client.call("POST", "/", headers, orjson.dumps(body), timeout_s=self._timeout_s)
        except CallFailed as error:
            raise LogPutFailed(str(error), retryable=True) from error
        if response.status == 200:
            return None
        try:
            name = str(orjson.loads(response.body).get("__type", "")).rpartition("#")[2]
        except (ValueError, AttributeError):
            name = ""
        if name in ("ResourceNotFoundException", "ResourceAlreadyExistsException"):
            return name
        raise LogPutFailed(f"{operation}: status {response.status} {name}", retryable=response.status >= 500)


class LogShipper:
    """Batches the lines of one region's functions for a sink. `dropped` counts what did not arrive."""

    def __init__(self, sink: LogSink, *, log: Callable[[str], None]) -> None:
        self._sink = sink
        self._log = log
        self._pending: dict[tuple[str, str], list[LogEvent]] = {}
        self._count = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._told = False
        self.shipped = 0
        self.dropped = 0

    def start(self) -> None:
        """Begin to ship."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def add(self, log_group: str, log_stream: str, time_ms: int, lines: Iterable[str]) -> None:
        """Take lines to ship. Never waits."""
        if self._count >= BATCH_EVENTS_MAX:
            self.dropped += sum(1 for _ in lines)
            return
        pending = self._pending.setdefault((log_group, log_stream), [])
        before = len(pending)
        pending.extend((time_ms, line) for line in lines)
        if self._count == 0:
            self._wake.set()
        self._count += len(pending) - before

    async def close(self) -> None:
        """Ship what is waiting, for a second at most, and stop."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._ship(tries=1)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(BATCH_INTERVAL_S)
            self._wake.clear()
            await self._ship(tries=TRIES)

    async def _ship(self, *, tries: int) -> None:
        batch, self._pending, self._count = self._pending, {}, 0
        for (log_group, log_stream), events in batch.items():
            await self._put(log_group, log_stream, events, tries)

    async def _put(self, log_group: str, log_stream: str, events: list[LogEvent], tries: int) -> None:
        for attempt in range(1, tries + 1):
            try:
                await self._sink.put(log_group, log_stream, events)
            except LogPutFailed as error:
                if error.retryable and attempt < tries:
                    await asyncio.sleep(BATCH_INTERVAL_S * attempt)
                    continue
                self.dropped += len(events)
                if not self._told:
                    self._told = True
                    self._log(f"function logs did not reach CloudWatch Logs and are dropped: {error}")
                return
            self.shipped += len(events)
            return
