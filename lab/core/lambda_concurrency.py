"""When Lambda throttles: the concurrency reserved for a function, and what the account has left for all others.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html. Not imitated: the limit on how fast a function
scales out, and the requests-per-second limits.
"""

from __future__ import annotations

from lab.core.lambda_errors import ThrottleReason

ACCOUNT_CONCURRENCY = 1_000
"""Concurrent executions that an account has in a region by default."""


def throttle_reason(
    *, reserved: int | None, in_flight: int, reserved_in_all: int, unreserved_in_flight: int
) -> ThrottleReason | None:
    """Why one more invocation is throttled, or None if it may go on.

    `reserved` is the function's reserved concurrency (0 switches it off) and `in_flight` its invocations now;
    `reserved_in_all` is the sum reserved by all functions of the region, `unreserved_in_flight` the invocations
    now of all functions without a reservation.
    """
    if reserved is not None:
        return "ReservedFunctionConcurrentInvocationLimitExceeded" if in_flight >= reserved else None
    if unreserved_in_flight >= ACCOUNT_CONCURRENCY - reserved_in_all:
        return "ConcurrentInvocationLimitExceeded"
    return None
