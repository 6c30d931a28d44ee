"""The payloads with which Lambda reports what a function did wrong: timeout, exit, too large or no JSON.

On the API these are answers of status 200 with `X-Amz-Function-Error: Unhandled`
(https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html). Exceptions of a handler are reported by the
runtime interface client itself, in the same form.
"""

from __future__ import annotations

import json
import signal

MAX_RESPONSE_BYTES = 6_291_556
TIMEOUT_ERROR_TYPE = "Sandbox.Timedout"
EXIT_ERROR_TYPE = "Runtime.ExitError"
TOO_LARGE_ERROR_TYPE = "Function.ResponseSizeTooLarge"
MARSHAL_ERROR_TYPE = "Runtime.MarshalError"

_SIGNAL_NAMES: dict[int, str] = {
    signal.SIGKILL: "killed",
    signal.SIGTERM: "terminated",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGINT: "interrupt",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGILL: "illegal instruction",
    signal.SIGPIPE: "broken pipe",
    signal.SIGHUP: "hangup",
}


def error_payload(error_type: str, message: str) -> bytes:
    """A function error as JSON bytes."""
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()


def timeout_payload(request_id: str, timeout_s: float) -> bytes:
    """The payload of an invocation that took longer than the function's timeout."""
    return error_payload(
        TIMEOUT_ERROR_TYPE, f"RequestId: {request_id} Error: Task timed out after {timeout_s:.2f} seconds"
    )


def exit_description(return_code: int) -> str:
    """How Lambda tells that a runtime ended; `return_code` is a negative signal number or an exit status."""
    if return_code == 0:
        return "Runtime exited without providing a reason"
    if return_code > 0:
        return f"Runtime exited with error: exit status {return_code}"
    return f"Runtime exited with error: signal: {_SIGNAL_NAMES.get(-return_code, -return_code)}"


def exit_payload(request_id: str, return_code: int) -> bytes:
    """The payload of an invocation whose runtime ended before it answered."""
    return error_payload(EXIT_ERROR_TYPE, f"RequestId: {request_id} Error: {exit_description(return_code)}")


def too_large_payload() -> bytes:
    """The payload in place of a response over 6 MB."""
    return error_payload(
        TOO_LARGE_ERROR_TYPE,
        f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes).",
    )


def response_problem(body: bytes, content_type: str) -> bytes | None:
    """The error payload in place of a response that is not JSON; None for a good one.

    The runtime interface client makes JSON of everything but bytes, which pass unchecked (content type
    application/unknown), and lets NaN and infinities pass: only these are parsed. What AWS says to them is not
    documented; the lab says what the client says to other values that JSON has no form for.
    """
    if content_type == "application/json" and b"NaN" not in body and b"Infinity" not in body:
        return None
    try:
        json.loads(body, parse_constant=_refuse_constant)
    except ValueError as error:
        return error_payload(MARSHAL_ERROR_TYPE, f"Unable to marshal response: {error}")
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"Out of range float values are not JSON compliant: {name}")


def error_type_of(payload: bytes) -> str:
    """The `errorType` of an error that a runtime reported; "Runtime.Unknown" if it has none."""
    try:
        error_type = json.loads(payload)["errorType"]
    except (ValueError, KeyError, TypeError):
        return "Runtime.Unknown"
    return error_type if isinstance(error_type, str) and error_type else "Runtime.Unknown"
