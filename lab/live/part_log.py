"""A part's stderr, which is its log: a line that cannot be written is dropped, and the part goes on.

Without this a full disk would raise OSError wherever a part says something, in the midst of what it does about it.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Log(io.FileIO):
    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def guard_log(descriptor: int = 2) -> None:
    """Have `sys.stderr` drop what cannot be written to a descriptor, until it can be again."""
    raw = _Log(descriptor, "wb", closefd=False)
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )
