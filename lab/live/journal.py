"""The journal of a region's acknowledged DynamoDB writes: one JSON line each, in a file that outlives the process.

It is what a lost region's losses are counted against. Lines are handed to the operating system before the user has his
answer (no fsync: a machine that dies takes all parts along). Bounded: the oldest half goes when the file is full, and
what the replicator has trimmed goes as well.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from lab.live.append import write_whole
from lab.live.documents import write_atomically

DEFAULT_MAX_BYTES = 64 * 1024 * 1024
INDEX_EVERY = 256
READ_LIMIT = 10_000


class Journal:
    """One region's journal at `path`. Entries are numbered from 1 without gaps, over restarts too."""

    def __init__(self, path: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._path, self._max_bytes = path, max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._next, self._trimmed = 1, 0
        self._index: list[tuple[int, int]] = []
        self._size = self._recover()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @property
    def last(self) -> int:
        """The number of the newest entry, 0 if there never was one."""
        return self._next - 1

    def append(self, time_ms: int, table: str, keys: Iterable[dict[str, Any]], sequence: str | None = None) -> int:
        """Record one acknowledged call's writes to a table. `sequence` is the engine's last sequence number for it.

        Raises OSError, with nothing recorded, where the disk is full.
        """
        number = self._next
        entry: dict[str, Any] = {"n": number, "time_ms": time_ms, "table": table, "keys": list(keys)}
        if sequence is not None:
            entry["sequence"] = sequence
        line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        if self._size + len(line) > self._max_bytes:
            self._drop_through(number - 1 - (number - 1 - self._trimmed) // 2)
        write_whole(self._fd, line, self._size)
        if number % INDEX_EVERY == 0 or not self._index:
            self._index.append((number, self._size))
        self._size += len(line)
        self._next = number + 1
        return number

    def read(self, after: int, *, limit: int = READ_LIMIT) -> list[dict[str, Any]]:
        """Entries with numbers above `after`, oldest first, at most `limit`."""
        entries: list[dict[str, Any]] = []
        at = bisect_right(self._index, (after + 1, self._size)) - 1
        with self._path.open("rb") as file:
            file.seek(self._index[at][1] if at >= 0 else 0)
            for line in file:
                entry = orjson.loads(line)
                if entry["n"] > after and entry["table"]:
                    entries.append(entry)
                    if len(entries) == limit:
                        break
        return entries

    def trim(self, through: int) -> None:
        """Forget entries up to a number. The file shrinks when it is worth it."""
        self._trimmed = max(self._trimmed, min(through, self.last))
        if self._trimmed == self.last or self._offset_of(self._trimmed + 1) * 2 > self._size:
            self._drop_through(self._trimmed)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _offset_of(self, number: int) -> int:
        at = bisect_right(self._index, (number, self._size)) - 1
        return self._index[at][1] if at >= 0 else 0

    def _drop_through(self, number: int) -> None:
        kept = [orjson.dumps(e, option=orjson.OPT_APPEND_NEWLINE) for e in self.read(number, limit=self._next)]
        if not kept and self.last:
            # The last number must survive a restart.
            marker = {"n": self.last, "time_ms": 0, "table": "", "keys": []}
            kept = [orjson.dumps(marker, option=orjson.OPT_APPEND_NEWLINE)]
        write_atomically(self._path, b"".join(kept))
        os.close(self._fd)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._trimmed = max(self._trimmed, number)
        self._size = self._recover()

    def _recover(self) -> int:
        """Read the file's numbers into the index and cut off a half-written last line; its size."""
        self._index = []
        offset = 0
        if not self._path.exists():
            return 0
        with self._path.open("r+b") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(offset)
                    break
                number = orjson.loads(line)["n"]
                if number % INDEX_EVERY == 0 or not self._index:
                    self._index.append((number, offset))
                self._next = number + 1
                offset += len(line)
        return offset
