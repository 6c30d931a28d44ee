"""One page of a list that a call asks for, after a token that is the last item's name on the page before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from lab.control.aws_error import AwsError

T = TypeVar("T")


def page_after(
    items: Iterable[T], token: str | None, size: int, name: Callable[[T], str], unknown: AwsError
) -> tuple[list[T], str | None]:
    """At most `size` items after the one named `token`, and the next token. Raises `unknown` if none has the name."""
    left = list(items)
    if token is not None:
        names = [name(item) for item in left]
        if token not in names:
            raise unknown
        left = left[names.index(token) + 1 :]
    if len(left) <= size:
        return left, None
    return left[:size], name(left[size - 1])
