"""How Route 53's listings are cut into pages. What they list is the planes' business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.core.whole_number import whole_number

PAGE_MAX = 300
T = TypeVar("T")


def page_size(call: Call, name: str = "MaxItems", most: int = PAGE_MAX) -> int:
    """How many items a listing gives: what was asked for, at most `most`. Raises AwsError for no number."""
    given = str(call.parameters.get(name, most))
    number = whole_number(given)
    if not number:
        raise AwsError("InvalidInput", f"Invalid value for {name}: {given!r:.100}, expected 1 to {most}")
    return min(number, most)


def token_page(
    call: Call, items: Sequence[T], most: int = 100, error: str = "InvalidInput"
) -> tuple[Sequence[T], str | None]:
    """The page that NextToken and MaxResults ask for, and the token of the following one.

    Raises AwsError, an `error` for a token that is of no listing.
    """
    token = call.parameters.get("NextToken", "0")
    start = whole_number(token)
    if start is None or start > len(items):
        raise AwsError(error, f"Invalid value for NextToken: {token!r:.100}")
    end = start + page_size(call, "MaxResults", most)
    return items[start:end], str(end) if end < len(items) else None
