"""A function's log: its lines, the lines that Lambda adds, the tail, and the way to CloudWatch Logs."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import orjson
import pytest
from functions_region import region_of, write_function
from waiting import eventually_async

from lab.live.functions.log_shipper import BATCH_EVENTS_MAX, CloudWatchLogs, LogEvent, LogPutFailed, LogShipper
from lab.live.http_client import HttpClient, UnixAddress
from lab.live.http_message import Request, Response
from lab.live.http_server import HttpServer

CHATTY = """
    import logging, sys
    print("at init")

    def handler(event, context):
        print("a", "b", 3)
        sys.stderr.write("to stderr\\n")
        logging.getLogger().warning("careful")
        sys.stdout.write("no end of line")
        if event == "raise":
            raise KeyError("x")
"""


def test_a_log_has_lambdas_lines_around_the_handlers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, CHATTY)]) as region:
            invocation = await region.invoke("hello", b"{}", want_tail=True)
            number = invocation.request_id
            lines = region.lines()
            assert lines[0].startswith("INIT_START Runtime Version: python:3.")
            assert lines[1:5] == ["at init", f"START RequestId: {number} Version: $LATEST", "a b 3", "to stderr"]
            assert re.fullmatch(rf"\[WARNING\]\t\S+Z\t{number}\tcareful", lines[5])
            assert lines[6:8] == ["no end of line", f"END RequestId: {number}"]
            assert re.fullmatch(
                rf"REPORT RequestId: {number}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\t"
                r"Max Memory Used: [1-9]\d* MB\tInit Duration: [\d.]+ ms\t",
                lines[8],
            )
            assert invocation.log_tail.decode() == "\n".join([*lines[2:9], ""])
            await region.invoke("hello", b"{}")
            assert "Init Duration" not in region.lines()[-1]

    asyncio.run(scenario())


def test_a_traceback_is_one_event(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, CHATTY)]) as region:
            await region.failure("raise")
            (line,) = (line for line in region.lines() if "[ERROR]" in line)
            assert line.startswith("no end of line[ERROR] KeyError: 'x'\nTraceback (most recent call last):\n")
            assert "Status: error\tError Type: KeyError" in region.lines()[-1]

    asyncio.run(scenario())


def test_timeouts_and_exits_are_told_in_the_log(tmp_path: Path) -> None:
    source = """
        import os, sys, time

        def handler(event, context):
            print("begun")
            sys.exit(2) if event == "exit" else time.sleep(60)
    """

    async def scenario() -> None:
        exits, sleeps = (write_function(tmp_path, source, name, timeout_s=3) for name in ("exits", "sleeps"))
        async with region_of(tmp_path, [exits, sleeps]) as region:
            await region.failure("exit", name="exits")
            lines = region.lines("exits")
            assert "Error: Runtime exited with error: exit status 2" in lines[-4] and lines[-3] == "Runtime.ExitError"
            assert lines[-2].startswith("END") and lines[-1].startswith("REPORT")
            await region.failure("sleep", name="sleeps")
            lines = region.lines("sleeps")
            assert lines[-4] == "begun" and lines[-3].endswith(" Task timed out after 3.00 seconds")
            assert "Status: timeout" in lines[-1]

    asyncio.run(scenario())


def test_the_ring_holds_the_newest_lines_by_number(tmp_path: Path) -> None:
    source = "def handler(event, context):\n    for n in range(event): print('line', n)\n"

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            await region.call(3000)
            lines = region.log_lines("hello")
            assert len(lines) == 1000 and lines[-3].message == "line 2999"
            assert region.log_lines("hello", after=lines[-2].n) == [lines[-1]]
            invocation = await region.invoke("hello", b"3000", want_tail=True)
            assert len(invocation.log_tail) == 4096 and b"line 2999\nEND" in invocation.log_tail

    asyncio.run(scenario())


class Memory:
    """A sink that remembers, fails as often as told, and takes a batch only while it is open."""

    def __init__(self, failures: int = 0, *, retryable: bool = True) -> None:
        self.failures, self.retryable = failures, retryable
        self.open = asyncio.Event()
        self.open.set()
        self.puts: list[tuple[str, str, list[str]]] = []

    async def put(self, log_group: str, log_stream: str, events: Sequence[LogEvent]) -> None:
        await self.open.wait()
        if self.failures > 0:
            self.failures -= 1
            raise LogPutFailed("not now", retryable=self.retryable)
        self.puts.append((log_group, log_stream, [message for _, message in events]))


def test_lines_are_shipped_in_batches_with_group_and_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        sink = Memory()
        sink.open.clear()
        async with region_of(tmp_path, [write_function(tmp_path, CHATTY)], logs=sink) as region:
            for _ in range(3):
                await region.invoke("hello", b"{}")
            sink.open.set()  # what came while the first batch was on its way is the second one
            await eventually_async(lambda: sum(len(messages) for _, _, messages in sink.puts) == len(region.lines()))
            assert len(sink.puts) <= 2
            stream = region.status().functions[0].environments[0].log_stream
            assert sink.puts[0][:2] == ("/aws/lambda/hello", stream)
            assert region.status().log_events_shipped == len(region.lines())

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("failures", "retryable", "shipped", "dropped"), [(2, True, 1, 0), (3, True, 0, 1), (1, False, 0, 1)]
)
def test_a_failing_sink_is_tried_again_and_then_given_up(
    failures: int, retryable: bool, shipped: int, dropped: int
) -> None:
    async def scenario() -> None:
        messages: list[str] = []
        shipper = LogShipper(Memory(failures, retryable=retryable), log=messages.append)
        shipper.start()
        shipper.add("g", "s", 1, ["line"])
        await eventually_async(lambda: (shipper.shipped, shipper.dropped) == (shipped, dropped))
        await shipper.close()
        assert len(messages) == dropped

    asyncio.run(scenario())


def test_more_lines_than_a_batch_holds_are_counted_as_dropped() -> None:
    async def scenario() -> None:
        sink = Memory()
        shipper = LogShipper(sink, log=print)
        shipper.start()
        for _ in range(BATCH_EVENTS_MAX + 5):
            shipper.add("g", "s", 1, ["line"])
        assert shipper.dropped == 5
        await shipper.close()
        assert (shipper.shipped, len(sink.puts)) == (BATCH_EVENTS_MAX, 1)

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def served(path: str, answers: list[Response], requests: list[Request]) -> AsyncIterator[CloudWatchLogs]:
    """CloudWatch Logs on a Unix socket that gives the answers in turn."""

    async def handler(request: Request) -> Response:
        requests.append(request)
        return answers.pop(0)

    server, client = HttpServer(handler), HttpClient(UnixAddress(path))
    await server.listen_unix(path)
    try:
        yield CloudWatchLogs(client, "us-east-1")
    finally:
        client.close()
        await server.close()


def test_cloudwatch_logs_gets_group_and_stream_when_they_are_missing(tmp_path: Path) -> None:
    missing = Response(400, body=b'{"__type":"ResourceNotFoundException"}')
    exists = Response(400, body=b'{"__type":"com.amazonaws.logs#ResourceAlreadyExistsException"}')
    requests: list[Request] = []

    async def scenario() -> None:
        answers = [missing, exists, Response(200), Response(200)]
        async with served(str(tmp_path / "e.sock"), answers, requests) as logs:
            await logs.put("/aws/lambda/hello", "stream", [(1, "a"), (2, "")])

    asyncio.run(scenario())
    operations = [(request.header("X-Amz-Target") or "").partition(".")[2] for request in requests]
    assert operations == ["PutLogEvents", "CreateLogGroup", "CreateLogStream", "PutLogEvents"]
    assert orjson.loads(requests[-1].body) == {
        "logGroupName": "/aws/lambda/hello",
        "logStreamName": "stream",
        "logEvents": [{"timestamp": 1, "message": "a"}, {"timestamp": 2, "message": " "}],
    }


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (400, False)])
def test_cloudwatch_logs_says_whether_to_try_again(tmp_path: Path, status: int, retryable: bool) -> None:
    async def scenario() -> None:
        async with served(str(tmp_path / "e.sock"), [Response(status, body=b"no json")], []) as logs:
            with pytest.raises(LogPutFailed) as failure:
                await logs.put("g", "s", [(1, "a")])
            assert failure.value.retryable == retryable

    asyncio.run(scenario())


def test_an_engine_that_is_not_there_does_not_disturb_invocations(tmp_path: Path) -> None:
    async def scenario() -> None:
        client = HttpClient(UnixAddress(str(tmp_path / "nobody.sock")))
        function = write_function(tmp_path, "def handler(event, context): return 1")
        async with region_of(tmp_path, [function], logs=CloudWatchLogs(client, "us-east-1")) as region:
            assert await region.call() == 1
            await eventually_async(lambda: region.status().log_events_dropped > 0)
            assert await region.call() == 1
        client.close()

    asyncio.run(scenario())
