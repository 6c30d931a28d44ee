"""Appending to a file whole or not at all.

A full disk takes a part of what is written, which is no error at first; what is appended later would follow half a
line, and nobody could read either.
"""

from __future__ import annotations

import os
from pathlib import Path


def append_whole(path: Path, data: bytes) -> int:
    """Append to a file, which need not exist; its size then. Raises OSError, with the file as it was."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        write_whole(descriptor, data, size)
    finally:
        os.close(descriptor)
    return size + len(data)


def write_whole(descriptor: int, data: bytes, size: int) -> None:
    """Append to an open file of this size. Raises OSError, with the file as it was."""
    try:
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, size)
        raise
