"""The record of what happened to the lab, one JSON line each, only ever appended to.

Events are `lab.core.history.Event`s with a number; drills and `GET /api/history` read them. What they mean is judged
elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from lab.core import codec
from lab.core.history import Event

EVENTS_KEPT = 20_000
"""How many events are held for readers. The file has more and is cut to these at a start, once it is twice as long."""


class HistoryLog:
    """The history of one instance, in a file that outlives control."""

    def __init__(self, path: Path, log: Callable[[str], None]) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._next = 1
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_bytes().splitlines() if path.exists() else []
        for line in lines:
            try:
                entry = orjson.loads(line)
                self._events.append(entry)
                self._next = entry["n"] + 1
            except (orjson.JSONDecodeError, TypeError, KeyError):
                log(f"{path}: dropping a line that is no event (control was killed while it wrote): {line[:80]!r}")
        if len(lines) > 2 * EVENTS_KEPT:
            path.write_bytes(b"".join(orjson.dumps(entry) + b"\n" for entry in self._events))
        elif lines and not path.read_bytes().endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")
        self._file = path.open("ab", buffering=0)
        self._log = log

    def append(self, event: Event) -> int:
        """Record an event; its number."""
        number = self._next
        self._next += 1
        entry = {"n": number, **codec.encode(event)}
        self._events.append(entry)
        try:
            self._file.write(orjson.dumps(entry) + b"\n")
        except OSError as error:  # what happened goes on happening; readers have the event all the same
            self._log(f"{self._file.name}: an event is not kept: {error.strerror}")
        return number

    def after(self, number: int) -> list[dict[str, Any]]:
        """The events that are held with a higher number, oldest first."""
        return [entry for entry in self._events if entry["n"] > number]

    def close(self) -> None:
        self._file.close()
