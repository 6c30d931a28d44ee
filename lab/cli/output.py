"""The command line's stdout and stderr: a reader that has had enough ends nothing but the output.

`lab status | head -1` closes the pipe early: what is still printed is dropped in silence, and the command goes on to
its own exit status; so does a start whose progress nobody reads any more (`lab up --detach 2>&1 | head -1`). Commands
that print without end ask `reader_gone`. A full disk is an error that is told, once.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

from lab.errors import EnvironmentFailure

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Output(io.FileIO):
    """Descriptor 1 or 2. `gone` once nothing can be written to it any more."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
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
            if self.fileno() == 2:
                return size  # there is nowhere to tell it
            raise EnvironmentFailure(f"the output cannot be written: {error.strerror}") from error


def guard_output() -> None:
    """Have `sys.stdout` and `sys.stderr` write through `Output`, if they are the process's own."""
    sys.stdout = _guarded(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _guarded(sys.stderr, sys.__stderr__, 2)


def _guarded(stream: TextIO, own: TextIO | None, descriptor: int) -> TextIO:
    if stream is not own or not isinstance(stream, io.TextIOWrapper):  # none at all if the descriptor was closed
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(Output(descriptor)),
        encoding=stream.encoding,
        errors="replace",  # a terminal without UTF-8 shows question marks, not a traceback
        line_buffering=stream.line_buffering,
    )


def reader_gone() -> bool:
    """Whether nobody reads what is printed any more."""
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", None)
    return isinstance(raw, Output) and raw.gone
