"""What a client may conclude from an answer, or from none: did its write happen?

A read changes nothing, so it is `ok` or `fail`. A write that was answered 5xx, or not at all after it was sent, is
`unknown`: API Gateway's 504 for one comes while the handler may still be writing
(https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html).
"""

from __future__ import annotations

from lab.core.history import Action, Outcome


def outcome_of_status(action: Action, status: int) -> Outcome:
    """The outcome of a call that was answered. A read's 404 is an answer: the item is not there."""
    if 200 <= status < 300 or (action == "read" and status == 404):
        return "ok"
    if action == "write" and status >= 500:
        return "unknown"
    return "fail"


def outcome_of_silence(action: Action, *, maybe_executed: bool) -> Outcome:
    """The outcome of a call that was not answered."""
    return "unknown" if action == "write" and maybe_executed else "fail"
