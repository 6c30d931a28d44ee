"""The errors of Lambda's Invoke API: its names, HTTP statuses and bodies.

These are answers for the API's caller
(https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors), so they are no `LabError`s. What a
function itself does wrong is no error of the API but a payload: see `lambda_payload`.
"""

from __future__ import annotations

from typing import Literal

MAX_REQUEST_BYTES = 6_291_456
MAX_ASYNCHRONOUS_REQUEST_BYTES = 1_048_576

ThrottleReason = Literal[
    "ReservedFunctionConcurrentInvocationLimitExceeded",
    "ConcurrentInvocationLimitExceeded",
]


class InvokeError(Exception):
    """An invocation that was refused. `body` is the JSON object that AWS answers with `status`."""

    status = 500
    error_type = "ServiceException"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def body(self) -> dict[str, str]:
        return {"Type": "User", "message": self.message}


class ServiceUnavailable(InvokeError):
    """The region's Lambda does not serve: it is down or went down during the invocation."""

    @property
    def body(self) -> dict[str, str]:
        return {"Type": "Service", "Message": self.message}


class FunctionNotFound(InvokeError):
    """No such function, version or alias in this region."""

    status = 404
    error_type = "ResourceNotFoundException"

    def __init__(self, arn: str) -> None:
        super().__init__(f"Function not found: {arn}")

    @property
    def body(self) -> dict[str, str]:
        return {"Type": "User", "Message": self.message}


class TooManyRequests(InvokeError):
    """Throttled; `reason` says by which limit."""

    status = 429
    error_type = "TooManyRequestsException"

    def __init__(self, reason: ThrottleReason) -> None:
        super().__init__("Rate Exceeded.")
        self.reason: ThrottleReason = reason

    @property
    def body(self) -> dict[str, str]:
        return {"Reason": self.reason, "Type": "User", "message": self.message}


class RequestTooLarge(InvokeError):
    """The event is over 6 MB, or over 1 MB for an asynchronous invocation."""

    status = 413
    error_type = "RequestTooLargeException"

    def __init__(self, size_bytes: int, invocation_type: str, limit_bytes: int) -> None:
        super().__init__(
            f"{size_bytes} byte payload is too large for the {invocation_type} invocation type "
            f"(limit {limit_bytes} bytes)"
        )


def check_request_size(size_bytes: int, invocation_type: str) -> None:
    """Raises RequestTooLarge for an event that Lambda would not take."""
    limit_bytes = MAX_ASYNCHRONOUS_REQUEST_BYTES if invocation_type == "Event" else MAX_REQUEST_BYTES
    if size_bytes > limit_bytes:
        raise RequestTooLarge(size_bytes, invocation_type, limit_bytes)


class InvalidRequestContent(InvokeError):
    """The event is not JSON, or the client context is not base64 of a JSON object."""

    status = 400
    error_type = "InvalidRequestContentException"


class InvalidParameterValue(InvokeError):
    """A parameter has a value that Lambda does not know."""

    status = 400
    error_type = "InvalidParameterValueException"


class ValidationFailed(InvokeError):
    """A parameter does not have the form that the API's model asks for."""

    status = 400
    error_type = "ValidationException"

    @property
    def body(self) -> dict[str, str]:
        return {"message": self.message}
