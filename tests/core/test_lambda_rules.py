"""Lambda's rules as plain functions: names, throttling, payloads, log lines, environment variables."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.function import Function
from lab.core.lambda_concurrency import throttle_reason
from lab.core.lambda_environment import environment_variables
from lab.core.lambda_errors import FunctionNotFound, TooManyRequests, ValidationFailed
from lab.core.lambda_function_name import FunctionReference, function_arn, parse_function_name
from lab.core.lambda_log import (
    MAX_LINE_BYTES,
    LineAssembler,
    LogRing,
    init_report_line,
    log_stream_name,
    report_line,
    tail,
)
from lab.core.lambda_payload import (
    error_type_of,
    exit_description,
    exit_payload,
    response_problem,
    timeout_payload,
    too_large_payload,
)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("hello", FunctionReference("hello")),
        ("hello_1-x", FunctionReference("hello_1-x")),
        ("hello:$LATEST", FunctionReference("hello", qualifier="$LATEST")),
        ("hello:live", FunctionReference("hello", qualifier="live")),
        ("function:hello", FunctionReference("hello")),
        ("123456789012:function:hello:1", FunctionReference("hello", None, "123456789012", "1")),
        (
            "arn:aws:lambda:us-west-2:123456789012:function:hello",
            FunctionReference("hello", "us-west-2", "123456789012"),
        ),
        (
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:hello:$LATEST",
            FunctionReference("hello", "us-gov-west-1", "123456789012", "$LATEST"),
        ),
    ],
)
def test_a_function_may_be_named_in_every_documented_form(text: str, reference: FunctionReference) -> None:
    assert parse_function_name(text) == reference


@pytest.mark.parametrize("text", ["", "a b", "a/b", "hello:", "hello:1:2", "arn:aws:s3:::bucket", "é", "x" * 300])
def test_other_names_are_refused_in_awss_words(text: str) -> None:
    with pytest.raises(ValidationFailed, match="at 'functionName' failed to satisfy constraint"):
        parse_function_name(text)


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        reference = parse_function_name(text)
    except ValidationFailed:
        return
    assert reference.name and reference.name in text


def test_an_arn_carries_the_qualifier_it_was_asked_with() -> None:
    assert function_arn("us-east-1", "f") == "arn:aws:lambda:us-east-1:000000000000:function:f"
    assert function_arn("us-east-1", "f", "$LATEST").endswith(":function:f:$LATEST")


@pytest.mark.parametrize(
    ("reserved", "in_flight", "reserved_in_all", "unreserved", "reason"),
    [
        (None, 0, 0, 0, None),
        (None, 999, 0, 999, None),
        (None, 0, 0, 1000, "ConcurrentInvocationLimitExceeded"),
        (None, 0, 900, 100, "ConcurrentInvocationLimitExceeded"),
        (0, 0, 0, 0, "ReservedFunctionConcurrentInvocationLimitExceeded"),
        (2, 1, 2, 5000, None),
        (2, 2, 2, 0, "ReservedFunctionConcurrentInvocationLimitExceeded"),
    ],
)
def test_throttling_follows_the_reservation_or_what_the_account_has_left(
    reserved: int | None, in_flight: int, reserved_in_all: int, unreserved: int, reason: str | None
) -> None:
    found = throttle_reason(
        reserved=reserved,
        in_flight=in_flight,
        reserved_in_all=reserved_in_all,
        unreserved_in_flight=unreserved,
    )
    assert found == reason


def test_errors_have_awss_bodies() -> None:
    assert FunctionNotFound("ARN").body == {"Type": "User", "Message": "Function not found: ARN"}
    assert TooManyRequests("ConcurrentInvocationLimitExceeded").body == {
        "Reason": "ConcurrentInvocationLimitExceeded",
        "Type": "User",
        "message": "Rate Exceeded.",
    }


def test_payloads_say_what_lambda_says() -> None:
    assert json.loads(timeout_payload("ID", 3)) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: ID Error: Task timed out after 3.00 seconds",
    }
    assert json.loads(exit_payload("ID", 1)) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": "RequestId: ID Error: Runtime exited with error: exit status 1",
    }
    assert exit_description(0) == "Runtime exited without providing a reason"
    assert exit_description(-9) == "Runtime exited with error: signal: killed"
    assert exit_description(-11) == "Runtime exited with error: signal: segmentation fault"
    assert exit_description(-40) == "Runtime exited with error: signal: 40"
    assert json.loads(too_large_payload())["errorType"] == "Function.ResponseSizeTooLarge"


@pytest.mark.parametrize(
    ("body", "content_type", "good"),
    [
        (b'{"a": 1}', "application/json", True),
        (b'"NaN"', "application/json", True),
        (b"NaN", "application/json", False),
        (b'{"a": -Infinity}', "application/json", False),
        (b"[1]", "application/unknown", True),
        (b"\xff\xfe", "application/unknown", False),
        (b"not json", "application/unknown", False),
        (b"", "application/unknown", False),
    ],
)
def test_only_json_is_a_response(body: bytes, content_type: str, good: bool) -> None:
    problem = response_problem(body, content_type)
    assert (problem is None) == good
    if problem is not None:
        assert json.loads(problem)["errorType"] == "Runtime.MarshalError"


@pytest.mark.parametrize(
    ("payload", "error_type"),
    [
        (b'{"errorType":"ValueError"}', "ValueError"),
        (b'{"errorType":""}', "Runtime.Unknown"),
        (b"{}", "Runtime.Unknown"),
        (b"[]", "Runtime.Unknown"),
        (b"\xff", "Runtime.Unknown"),
    ],
)
def test_an_errors_type_is_found_or_unknown(payload: bytes, error_type: str) -> None:
    assert error_type_of(payload) == error_type


def test_lines_are_put_together_from_small_writes() -> None:
    lines = LineAssembler()
    assert lines.feed(b"a") == []
    assert lines.feed(b" b") == []
    assert lines.feed(b"\nc\n\nd") == ["a b", "c", ""]
    assert lines.flush() == ["d"] and lines.flush() == []
    assert lines.feed(b"[ERROR] X\rTraceback:\r\xc2\xa0 f\r\n") == ["[ERROR] X\nTraceback:\n\u00a0 f"]
    assert lines.feed(b"\xff\n") == ["\ufffd"]


def test_an_endless_line_is_cut() -> None:
    lines = LineAssembler()
    found = [line for _ in range(10) for line in lines.feed(b"x" * 100_000)] + lines.flush()
    assert "".join(found) == "x" * 1_000_000 and max(map(len, found)) <= MAX_LINE_BYTES
    assert list(map(len, lines.feed(b"y" * (MAX_LINE_BYTES + 1) + b"\n"))) == [MAX_LINE_BYTES, 1]


@given(st.binary(max_size=200), st.integers(1, 20))
def test_lines_do_not_depend_on_how_the_bytes_were_cut(data: bytes, size: int) -> None:
    whole, cut = LineAssembler(), LineAssembler()
    expected = whole.feed(data) + whole.flush()
    found = [line for n in range(0, len(data), size) for line in cut.feed(data[n : n + size])] + cut.flush()
    assert found == expected


def test_report_lines_have_awss_form() -> None:
    assert (
        report_line("ID", duration_ms=1.234, memory_mb=128, max_memory_used_mb=40)
        == "REPORT RequestId: ID\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 40 MB\t"
    )
    cold = report_line(
        "ID", duration_ms=1.0, memory_mb=128, max_memory_used_mb=40, init_ms=99.5, status="error", error_type="X"
    )
    assert "Billed Duration: 101 ms" in cold
    assert cold.endswith("Init Duration: 99.50 ms\tStatus: error\tError Type: X\t")
    assert init_report_line(init_ms=5, phase="init", status="timeout") == (
        "INIT_REPORT Init Duration: 5.00 ms\tPhase: init\tStatus: timeout"
    )


def test_a_log_stream_is_named_for_its_day() -> None:
    name = log_stream_name(2026, 1, 5, random.Random(1))
    assert name.startswith("2026/01/05/[$LATEST]") and len(name) == 20 + 32


def test_a_ring_keeps_the_newest_lines_and_their_numbers() -> None:
    ring = LogRing(lines_max=2)
    for message in "abc":
        ring.append(1, "s", message)
    assert [(line.n, line.message) for line in ring.after(0)] == [(2, "b"), (3, "c")]
    assert [line.n for line in ring.after(2)] == [3]


def test_a_tail_is_the_last_four_kilobytes() -> None:
    assert tail(["a", "b"]) == b"a\nb\n"
    assert len(tail(["x" * 5000, "end"])) == 4096 and tail(["x" * 5000, "end"]).endswith(b"\nend\n")


def test_a_functions_variables_extend_but_never_replace_reserved_ones() -> None:
    function = Function(
        "us-east-1",
        "f",
        "app.handler",
        "python3.12",
        "role",
        "/code",
        "sha",
        1,
        "now",
        "1",
        environment={
            "TZ": "Europe/Dublin",
            "AWS_ENDPOINT_URL": "http://own",
            "_HANDLER": "x",
            "AWS_SESSION_TOKEN": "x",
        },
    )
    found = environment_variables(
        function,
        runtime_api="127.0.0.1:1",
        runtime_dir="/runtime",
        log_stream="s",
        temporary_dir="/t",
        endpoint_url="http://front",
    )
    assert (found["TZ"], found["AWS_ENDPOINT_URL"], found["_HANDLER"]) == ("Europe/Dublin", "http://own", "app.handler")
    assert found["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12" and found["AWS_SESSION_TOKEN"] != "x"
