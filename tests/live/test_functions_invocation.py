"""Execution environments with AWS's runtime interface client: reuse, order, errors, limits."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from functions_region import region_of, write_function
from waiting import eventually_async

from lab.core.lambda_errors import FunctionNotFound, RequestTooLarge, ServiceUnavailable, TooManyRequests
from lab.live.functions.environment_pool import STARTING_MAX

COUNTER = """
    import os, time
    calls = 0

    def handler(event, context):
        global calls
        calls += 1
        if event and "sleep" in event:
            time.sleep(event["sleep"])
        while event and "until" in event and not os.path.exists(event["until"]):
            time.sleep(0.01)
        return {"calls": calls, "pid": os.getpid(), "event": event}
"""


def test_a_warm_environment_is_reused_and_initialized_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, COUNTER)]) as region:
            first = await region.invoke("hello", b'{"a": 1}')
            assert first.init_ms is not None and first.executed_version == "$LATEST"
            assert json.loads(first.payload)["event"] == {"a": 1}
            second = await region.invoke("hello", b"")
            assert second.init_ms is None and second.request_id != first.request_id
            assert json.loads(second.payload) == {"calls": 2, "pid": json.loads(first.payload)["pid"], "event": {}}

    asyncio.run(scenario())


def test_each_environment_handles_one_event_at_a_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, COUNTER)]) as region:
            answers = await asyncio.gather(*(region.call({"sleep": 0.1}) for _ in range(3)))
            assert len({answer["pid"] for answer in answers}) == 3
            assert [answer["calls"] for answer in answers] == [1, 1, 1]

    asyncio.run(scenario())


def test_events_beyond_the_environments_wait_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, COUNTER)], environments_max=1) as region:
            answers = await asyncio.gather(*(region.call() for _ in range(6)))
            assert [answer["calls"] for answer in answers] == [1, 2, 3, 4, 5, 6]

    asyncio.run(scenario())


def test_a_caller_who_leaves_does_not_end_the_function(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, COUNTER)], environments_max=1) as region:
            await region.call()
            left = tmp_path / "both have left"
            leaver = asyncio.ensure_future(region.call({"until": str(left)}))
            waiting = asyncio.ensure_future(region.call())
            await region.begun()
            leaver.cancel()
            waiting.cancel()
            await asyncio.gather(leaver, waiting, return_exceptions=True)
            left.touch()
            assert (await region.call())["calls"] == 3, "the one who left early ran, the one who left the queue did not"

    asyncio.run(scenario())


def test_an_exception_is_reported_as_lambda_does(tmp_path: Path) -> None:
    source = """
        def inner(event):
            raise ValueError("no such feedback")

        def handler(event, context):
            return inner(event)
    """

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            payload = await region.failure()
            assert payload["errorType"] == "ValueError" and payload["errorMessage"] == "no such feedback"
            assert len(payload["stackTrace"]) == 2 and "app.py" in payload["stackTrace"][0]
            pid = region.status().functions[0].environments[0].pid
            await region.failure()
            assert region.status().functions[0].environments[0].pid == pid, "an exception does not end an environment"
            assert region.status().functions[0].errors == 2

    asyncio.run(scenario())


def test_a_timeout_is_answered_as_lambda_does_and_resets_the_environment(tmp_path: Path) -> None:
    source = """
        import os, pathlib, tempfile, time

        def handler(event, context):
            mark = pathlib.Path(tempfile.gettempdir(), "mark")
            if not mark.exists():
                mark.write_text("kept")
                time.sleep(60)
            return {"pid": os.getpid(), "mark": mark.read_text()}
    """

    async def scenario() -> None:
        # After the reset the runtime starts within the function's time: one second may be too short for it.
        async with region_of(tmp_path, [write_function(tmp_path, source, timeout_s=3)]) as region:
            invocation = await region.invoke("hello", b"{}")
            assert json.loads(invocation.payload) == {
                "errorType": "Sandbox.Timedout",
                "errorMessage": f"RequestId: {invocation.request_id} Error: Task timed out after 3.00 seconds",
            }
            assert invocation.duration_ms >= 2990
            assert region.status().functions[0].environments[0].state == "cold"
            answer = await eventually_async(region.call, "a runtime that starts and answers within three seconds")
            assert answer["mark"] == "kept"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("statement", "description"),
    [
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
        ("exit()", "Runtime exited without providing a reason"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
        ("os.abort()", "Runtime exited with error: signal: aborted"),
    ],
)
def test_an_exit_is_answered_as_lambda_does(tmp_path: Path, statement: str, description: str) -> None:
    source = f"""
        import os, sys

        def handler(event, context):
            if event == "exit":
                {statement}
            return "well"
    """

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            invocation = await region.invoke("hello", b'"exit"')
            assert invocation.function_error == "Unhandled"
            assert json.loads(invocation.payload) == {
                "errorType": "Runtime.ExitError",
                "errorMessage": f"RequestId: {invocation.request_id} Error: {description}",
            }
            assert await region.call() == "well"
            assert len(region.status().functions[0].environments) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("source", "handler", "error_type", "message"),
    [
        ("import no_such_module", "app.handler", "Runtime.ImportModuleError", "No module named 'no_such_module'"),
        ("def handler(:", "app.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
        ("x = 1", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("x = 1", "handler", "Runtime.MalformedHandlerName", "Bad handler 'handler'"),
        ("TABLE = {}['TABLE']", "app.handler", "KeyError", "'TABLE'"),
        ("import sys; sys.exit(4)", "app.handler", "Runtime.ExitError", "exit status 4"),
    ],
)
def test_a_failed_initialization_is_answered_with_its_error(
    tmp_path: Path, source: str, handler: str, error_type: str, message: str
) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source, handler=handler)]) as region:
            payload = await region.failure()
            assert payload["errorType"] == error_type and message in payload["errorMessage"]
            trace = "".join(payload.get("stackTrace", []))
            assert "lab/live" not in trace and "start_runtime" not in trace
            assert "lab/live" not in "\n".join(region.lines())
            assert sum(line.startswith("INIT_REPORT") for line in region.lines()) == 2, "AWS tries twice"
            await region.failure()

    asyncio.run(scenario())


def test_an_initialization_that_takes_too_long_is_tried_again_within_the_invocation(tmp_path: Path) -> None:
    source = """
        import pathlib, tempfile, time
        mark = pathlib.Path(tempfile.gettempdir(), "mark")
        if not mark.exists():
            mark.touch()
            time.sleep(60)

        def handler(event, context):
            return "late"
    """

    async def scenario() -> None:
        patient = write_function(tmp_path, source, timeout_s=900)  # half a minute of a lab that is thirty times as fast
        async with region_of(tmp_path, [patient], speed=30.0) as region:
            assert await region.call() == "late"
            assert any("Phase: init\tStatus: timeout" in line for line in region.lines())

    asyncio.run(scenario())


def test_an_initialization_that_never_ends_is_a_timeout(tmp_path: Path) -> None:
    async def scenario() -> None:
        function = write_function(tmp_path, "import time; time.sleep(60)")
        async with region_of(tmp_path, [function], speed=30.0) as region:
            assert (await region.failure())["errorType"] == "Sandbox.Timedout"

    asyncio.run(scenario())


def test_a_missing_code_folder_is_a_function_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        function = write_function(tmp_path, COUNTER, code_dir=str(tmp_path / "gone"))
        async with region_of(tmp_path, [function]) as region:
            payload = await region.failure()
            assert payload["errorType"] == "Runtime.InvalidEntrypoint" and "gone" in payload["errorMessage"]

    asyncio.run(scenario())


def test_responses_that_are_too_large_or_not_json_are_errors(tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            if event == "nan":
                return {"value": float("nan")}
            if event == "bytes":
                return b"\\xff\\xfe"
            if event == "text":
                return "NaN and Infinity"
            return "x" * event
    """

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            assert len(await region.call(6_291_456)) == 6_291_456
            payload = await region.failure(7_000_000)
            assert payload["errorType"] == "Function.ResponseSizeTooLarge"
            assert "6291556 bytes" in payload["errorMessage"]
            assert (await region.failure("nan"))["errorType"] == "Runtime.MarshalError"
            assert (await region.failure("bytes"))["errorType"] == "Runtime.MarshalError"
            assert await region.call("text") == "NaN and Infinity"
            assert await region.call(3) == "xxx"

    asyncio.run(scenario())


def test_a_request_over_six_megabytes_is_refused_and_one_below_is_handled(tmp_path: Path) -> None:
    async def scenario() -> None:
        source = "def handler(event, context): return len(event)"
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            assert await region.call("x" * 6_000_000) == 6_000_000
            with pytest.raises(RequestTooLarge, match="limit 6291456 bytes"):
                await region.call("x" * 6_300_000)
            with pytest.raises(RequestTooLarge, match="limit 1048576 bytes"):
                await region.call("x" * 1_100_000, invocation_type="Event")

    asyncio.run(scenario())


def test_reserved_concurrency_throttles_and_zero_switches_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = write_function(tmp_path, COUNTER, reserved_concurrency=1)
        off = write_function(tmp_path, COUNTER, name="off", reserved_concurrency=0)
        async with region_of(tmp_path, [one, off]) as region:
            busy = asyncio.ensure_future(region.call({"sleep": 0.2}))
            await asyncio.sleep(0)
            with pytest.raises(TooManyRequests) as refused:
                await region.call()
            assert refused.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
            await busy
            assert (await region.call())["calls"] == 2
            with pytest.raises(TooManyRequests):
                await region.call(name="off")
            assert [f.throttles for f in region.status().functions] == [1, 1]

    asyncio.run(scenario())


def test_the_account_limit_bounds_the_queue(tmp_path: Path) -> None:
    async def scenario() -> None:
        function = write_function(tmp_path, COUNTER)
        greedy = write_function(tmp_path, COUNTER, name="greedy", reserved_concurrency=998)
        async with region_of(tmp_path, [function, greedy], environments_max=1) as region:
            running = [asyncio.ensure_future(region.call({"sleep": 0.1})) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(TooManyRequests) as refused:
                await region.call()
            assert refused.value.reason == "ConcurrentInvocationLimitExceeded"
            await asyncio.gather(*running)

    asyncio.run(scenario())


def test_unknown_functions_and_versions_are_not_found(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, COUNTER)]) as region:
            with pytest.raises(FunctionNotFound, match="arn:aws:lambda:us-east-1:000000000000:function:other"):
                await region.call(name="other")
            with pytest.raises(FunctionNotFound, match="function:hello:7"):
                await region.call(qualifier="7")
            await region.call(qualifier="$LATEST")

    asyncio.run(scenario())


def test_warming_starts_one_environment_and_survives_a_bad_handler(tmp_path: Path) -> None:
    async def scenario() -> None:
        good = write_function(tmp_path, COUNTER)
        bad = write_function(tmp_path, "raise OSError('no')", name="bad")
        async with region_of(tmp_path, [good, bad]) as region:
            await asyncio.gather(region.warm("hello"), region.warm("hello"), region.warm("bad"))
            states = {f.name: [e.state for e in f.environments] for f in region.status().functions}
            assert states == {"hello": ["idle"], "bad": ["cold"]}
            assert (await region.call())["calls"] == 1
            assert (await region.failure(name="bad"))["errorType"] == "OSError"

    asyncio.run(scenario())


def test_an_event_that_comes_while_warming_is_handled(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, COUNTER)], environments_max=1) as region:
            warming = asyncio.ensure_future(region.warm("hello"))
            await asyncio.sleep(0)
            assert (await region.call())["calls"] == 1
            await warming

    asyncio.run(scenario())


def test_a_closed_region_refuses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, COUNTER)]) as region:
            pass
        with pytest.raises(ServiceUnavailable):
            await region.call()

    asyncio.run(scenario())


def test_a_burst_of_first_calls_starts_few_runtimes_at_once_and_is_served_by_them(tmp_path: Path) -> None:
    source = """
        import time

        time.sleep(0.2)

        def handler(event, context):
            return event
    """

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            assert sorted(await asyncio.gather(*(region.call(n) for n in range(40)))) == list(range(40))
            starts = [line for line in region.lines() if line.startswith("INIT_START")]
            assert len(starts) <= 2 * STARTING_MAX

    asyncio.run(scenario())
