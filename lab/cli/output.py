"""The command line's stdout: a reader that has had enough ends nothing but the output.

`lab status | head -1` closes the pipe early: what is still printed is dropped in silence, and the command goes on to
its own exit status. Commands that print without end ask `reader_gone`. A full disk is an error that is told, once.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from lab.errors import EnvironmentFailure

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Stdout(io.FileIO):
    """Descriptor 1. `gone` once nothing can be written to it any more."""

    def __init__(self) -> None:
        super().__init__(1, "wb", closefd=False)
        self.gone = False

    def write(self, data: ReadableBuffer) -> int:
        """Write, or drop what nobody will read. Raises EnvironmentFailure, the first time only."""
        size = memoryview(data).nbytes
        if self.gone:
            return size
        try:
            return super().write(data)
        except BrokenPipeError:
            self.gone = True
            return size
        except OSError as error:
            self.gone = True
            raise EnvironmentFailure(f"the output cannot be written: {error.strerror}") from error


def guard_stdout() -> None:
    """Have `sys.stdout` write through `Stdout`, if it is the process's own."""
    stdout = sys.stdout
    if stdout is None or stdout is not sys.__stdout__ or not isinstance(stdout, io.TextIOWrapper):
        return
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(Stdout()),
        encoding=stdout.encoding,
        errors="replace",  # a terminal without UTF-8 shows question marks, not a traceback
        line_buffering=stdout.line_buffering,
    )


def reader_gone() -> bool:
    """Whether nobody reads what is printed any more."""
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", None)
    return isinstance(raw, Stdout) and raw.gone
