"""Access logs: STATE/logs/load-balancers/REGION/NAME.log, written in batches, one old file kept.

Every load balancer has one in the lab; AWS writes them to S3 where `access_logs.s3.enabled` says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from lab.core.alb_access_log import AccessLogEntry, format_entry

FLUSH_S = 0.5
BATCH_MAX = 64
"""So many lines are written at once: more would hold up requests."""
FILE_BYTES_MAX = 8 * 1024 * 1024


class AccessLogs:
    """The access logs of one region's load balancers."""

    def __init__(self, folder: Path, log: Callable[[str], None]) -> None:
        self._folder, self._log = folder, log
        self._entries: list[tuple[str, AccessLogEntry]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, balancer_name: str, entry: AccessLogEntry) -> None:
        """Note one request; it is on disk within half a second."""
        self._entries.append((balancer_name, entry))
        if len(self._entries) >= BATCH_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what is noted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines: dict[str, list[str]] = {}
        for name, entry in self._entries:
            lines.setdefault(name, []).append(format_entry(entry))
        self._entries.clear()
        for name, texts in lines.items():
            try:
                self._append(self._folder / f"{name}.log", "\n".join(texts) + "\n")
            except OSError as error:
                self._log(f"load balancer {name}: cannot write its access log: {error}")

    def _append(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
            size = file.tell()
        if size > FILE_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
