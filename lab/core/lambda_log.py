"""A function's log: lines out of the bytes that a runtime writes, and the lines that Lambda itself adds.

https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html. Text format only; the client's own JSON format
passes through.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

MAX_LINE_BYTES = 256 * 1024
"""The most that one CloudWatch Logs event holds; a longer line becomes several."""
RING_LINES = 1_000
TAIL_BYTES = 4_096


class LineAssembler:
    """Makes lines of chunks: one `print` is several small writes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes, without their ends. A traceback's inner `\\r` become line breaks."""
        data = self._rest + data
        *whole, self._rest = data.split(b"\n")
        lines = [line for raw in whole for line in _texts(raw)]
        while len(self._rest) >= MAX_LINE_BYTES:
            lines.append(_text(self._rest[:MAX_LINE_BYTES]))
            self._rest = self._rest[MAX_LINE_BYTES:]
        return lines

    def flush(self) -> list[str]:
        """What was written without an end of line."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _texts(raw: bytes) -> Iterable[str]:
    for start in range(0, len(raw) or 1, MAX_LINE_BYTES):
        yield _text(raw[start : start + MAX_LINE_BYTES])


def _text(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text.rstrip("\r").replace("\r", "\n") if "\r" in text else text


def log_stream_name(year: int, month: int, day: int, rng: random.Random) -> str:
    """The log stream of a new environment, as AWS names it."""
    return f"{year:04}/{month:02}/{day:02}/[$LATEST]{rng.getrandbits(128):032x}"


def start_line(request_id: str) -> str:
    return f"START RequestId: {request_id} Version: $LATEST"


def end_line(request_id: str) -> str:
    return f"END RequestId: {request_id}"


def report_line(
    request_id: str,
    *,
    duration_ms: float,
    memory_mb: int,
    max_memory_used_mb: int,
    init_ms: float | None = None,
    status: str | None = None,
    error_type: str | None = None,
) -> str:
    """The REPORT line. The initialization of an environment is billed with its first invocation."""
    billed_ms = math.ceil(duration_ms + (init_ms or 0.0))
    line = (
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\tBilled Duration: {billed_ms} ms\t"
        f"Memory Size: {memory_mb} MB\tMax Memory Used: {max_memory_used_mb} MB\t"
    )
    if init_ms is not None:
        line += f"Init Duration: {init_ms:.2f} ms\t"
    if status is not None:
        line += f"Status: {status}\t"
    if error_type is not None:
        line += f"Error Type: {error_type}\t"
    return line


def init_report_line(*, init_ms: float, phase: str, status: str, error_type: str | None = None) -> str:
    """The line about an initialization that failed. `phase` is "init", or "invoke" for the second try."""
    line = f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: {phase}\tStatus: {status}"
    return f"{line}\tError Type: {error_type}" if error_type else line


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line in a function's ring. `n` counts from 1 and never repeats; `stream` is the environment's log stream."""

    n: int
    time_ms: int
    stream: str
    message: str


class LogRing:
    """The newest lines of one function."""

    def __init__(self, lines_max: int = RING_LINES) -> None:
        self._lines: deque[tuple[int, int, str, str]] = deque(maxlen=lines_max)
        self._n = 0

    def append(self, time_ms: int, stream: str, message: str) -> None:
        self._n += 1
        self._lines.append((self._n, time_ms, stream, message))

    def after(self, n: int) -> list[LogLine]:
        """The lines with a greater number, oldest first; older ones than the ring holds are gone."""
        return [LogLine(*line) for line in self._lines if line[0] > n]


def tail(lines: Iterable[str]) -> bytes:
    """The last 4 KB of an invocation's lines, as `X-Amz-Log-Result` carries them (before base64)."""
    return "".join(f"{line}\n" for line in lines).encode()[-TAIL_BYTES:]
