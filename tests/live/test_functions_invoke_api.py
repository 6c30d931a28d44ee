"""Lambda's Invoke over HTTP, and events that are handled later."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from functions_region import FunctionsUnderTest, region_of, write_function
from waiting import eventually_async

from lab.live.functions import answer_invoke, is_invoke
from lab.live.http_message import Request, Response

ECHO = """
    def handler(event, context):
        print("echo")
        if event == "raise":
            raise RuntimeError("no")
        return {"event": event, "custom": context.client_context and context.client_context.custom}
"""


async def post(
    region: FunctionsUnderTest, name: str, body: bytes = b"{}", headers: dict[str, str] | None = None, query: str = ""
) -> Response:
    """One Invoke call."""
    target = f"/2015-03-31/functions/{name}/invocations{query}"
    request = Request("POST", target, list((headers or {}).items()), body, None, None)
    assert is_invoke(request)
    return await answer_invoke(region, request)


@pytest.mark.parametrize(
    "name",
    [
        "hello",
        "hello:$LATEST",
        quote("arn:aws:lambda:us-east-1:000000000000:function:hello", safe=""),
        "arn:aws:lambda:us-east-1:000000000000:function:hello:$LATEST",
        "000000000000:function:hello",
        "function:hello",
    ],
)
def test_every_form_of_a_functions_name_invokes_it(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, ECHO)]) as region:
            response = await post(region, name, b'{"n": 1}')
            assert response.status == 200
            assert json.loads(response.body) == {"event": {"n": 1}, "custom": None}
            assert response.header("X-Amz-Executed-Version") == "$LATEST"
            assert response.header("X-Amz-Function-Error") is None
            assert response.header("x-amzn-RequestId")

    asyncio.run(scenario())


def test_a_function_error_is_a_200_with_a_header_and_the_tail_on_demand(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, ECHO)]) as region:
            response = await post(region, "hello", b'"raise"', {"X-Amz-Log-Type": "Tail"})
            assert (response.status, response.header("X-Amz-Function-Error")) == (200, "Unhandled")
            assert json.loads(response.body)["errorType"] == "RuntimeError"
            log = base64.b64decode(response.header("X-Amz-Log-Result") or "").decode()
            assert log.startswith("START") and "echo\n" in log

    asyncio.run(scenario())


def test_the_client_context_reaches_the_handler(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, ECHO)]) as region:
            context = base64.b64encode('{"custom":\n{"k":"ü"}}'.encode()).decode()
            response = await post(region, "hello", headers={"X-Amz-Client-Context": context})
            assert json.loads(response.body)["custom"] == {"k": "ü"}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "body", "headers", "status", "error_type", "message"),
    [
        ("other", b"{}", {}, 404, "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:"),
        ("hello:3", b"{}", {}, 404, "ResourceNotFoundException", "function:hello:3"),
        ("hel%20lo", b"{}", {}, 400, "ValidationException", "at 'functionName' failed to satisfy constraint"),
        ("hello", b"{", {}, 400, "InvalidRequestContentException", "Could not parse request body into json"),
        ("hello", b"NaN", {}, 400, "InvalidRequestContentException", "Could not parse request body into json"),
        ("hello", b"{}", {"X-Amz-Invocation-Type": "Now"}, 400, "ValidationException", "at 'invocationType'"),
        ("hello", b"{}", {"X-Amz-Client-Context": "%"}, 400, "InvalidRequestContentException", "Base64-encoded JSON"),
        ("hello", b'"' + b"x" * 6_300_000 + b'"', {}, 413, "RequestTooLargeException", "limit 6291456 bytes"),
        (
            "arn:aws:lambda:eu-west-1:000000000000:function:hello",
            b"",
            {},
            400,
            "InvalidParameterValueException",
            "eu-w",
        ),
        ("123456789012:function:hello", b"", {}, 400, "InvalidParameterValueException", "123456789012"),
        ("off", b"{}", {}, 429, "TooManyRequestsException", "Rate Exceeded."),
    ],
)
def test_a_refused_call_is_answered_in_awss_shape(
    tmp_path: Path, name: str, body: bytes, headers: dict[str, str], status: int, error_type: str, message: str
) -> None:
    async def scenario() -> None:
        functions = [
            write_function(tmp_path, ECHO),
            write_function(tmp_path, ECHO, name="off", reserved_concurrency=0),
        ]
        async with region_of(tmp_path, functions) as region:
            response = await post(region, name, body, headers)
            assert (response.status, response.header("x-amzn-ErrorType")) == (status, error_type)
            answer = json.loads(response.body)
            assert message in (answer.get("message") or answer["Message"])
            if status == 429:
                assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"

    asyncio.run(scenario())


def test_a_region_that_is_down_answers_a_service_exception(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, ECHO)]) as region:
            region.set_condition("down")
            response = await post(region, "hello")
            assert (response.status, response.header("x-amzn-ErrorType")) == (500, "ServiceException")

    asyncio.run(scenario())


def test_a_dry_run_answers_204_and_runs_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, ECHO)]) as region:
            response = await post(region, "hello", headers={"X-Amz-Invocation-Type": "DryRun"})
            assert (response.status, response.body) == (204, b"")
            response = await post(region, "nobody", headers={"X-Amz-Invocation-Type": "DryRun"})
            assert response.status == 404
            assert region.status().functions[0].environments == ()

    asyncio.run(scenario())


def test_the_qualifier_may_be_in_the_query(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, ECHO)]) as region:
            assert (await post(region, "hello", query="?Qualifier=$LATEST")).status == 200
            assert (await post(region, "hello", query="?Qualifier=9")).status == 404
            assert (await post(region, "hello:1", query="?Qualifier=9")).status == 400

    asyncio.run(scenario())


def test_an_asynchronous_event_is_accepted_at_once_and_tried_three_times(tmp_path: Path) -> None:
    source = """
        import pathlib

        def handler(event, context):
            with pathlib.Path(event["file"]).open("a") as file:
                file.write(context.aws_request_id + "\\n")
            if event["raise"]:
                raise RuntimeError("again")
    """

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)], speed=3000.0) as region:
            for name, fails in (("good", False), ("bad", True)):
                event = json.dumps({"file": str(tmp_path / name), "raise": fails}).encode()
                response = await post(region, "hello", event, {"X-Amz-Invocation-Type": "Event"})
                assert (response.status, response.body) == (202, b"")
            assert len(set(await tries(tmp_path / "bad", 3))) == 1, "all tries have the request's id"
            assert len(await tries(tmp_path / "good", 1)) == 1

    async def tries(file: Path, count: int) -> list[str]:
        await eventually_async(lambda: file.exists() and len(file.read_text().splitlines()) >= count)
        return file.read_text().splitlines()

    asyncio.run(scenario())


def test_an_asynchronous_event_waits_until_the_region_serves_again(tmp_path: Path) -> None:
    source = "import pathlib\ndef handler(event, context): pathlib.Path(event).touch()\n"

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)], speed=100.0) as region:
            done = tmp_path / "done"
            region.publish(write_function(tmp_path, source, reserved_concurrency=0))
            await region.invoke("hello", json.dumps(str(done)).encode(), invocation_type="Event")
            await asyncio.sleep(0)
            assert not done.exists()
            region.publish(write_function(tmp_path, source))
            await eventually_async(done.exists)

    asyncio.run(scenario())
