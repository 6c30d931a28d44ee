"""A whole number out of text that somebody sent."""

from __future__ import annotations

import re


def whole_number(text: str) -> int | None:
    """The number that a text of 1 to 18 plain digits is; None for any other.

    `int` takes digits of every script, spaces and underscores, and raises for thousands of digits.
    """
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
