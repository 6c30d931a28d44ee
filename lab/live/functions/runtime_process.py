"""One runtime process: its start, the pipe of its output, its end.

What output and end mean is the environment's business. Linux only: the end is seen through a pidfd, so that no thread
waits for a child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lab.core.lambda_log import LineAssembler

START = str(Path(__file__).with_name("start_runtime.py"))
READ_BYTES = 65_536
DRAIN_READS_MAX = 16


class RuntimeProcess:
    """A started process.

    `on_lines` gets whole lines as they come, `on_exit` the return code once, unless `kill` was called.
    """

    def __init__(
        self,
        handler: str,
        *,
        cwd: str,
        environment: dict[str, str],
        on_lines: Callable[[list[str]], None],
        on_exit: Callable[[int], None],
    ) -> None:
        """Start it. Raises OSError (no such working directory, out of processes)."""
        self._loop = asyncio.get_running_loop()
        self._on_lines, self._on_exit = on_lines, on_exit
        self._lines = LineAssembler()
        self._ended = self._loop.create_future()
        self._killed = False
        self._pipe, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._pipe, False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-s", "-P", START, handler, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                cwd=cwd,
                env=environment,
                start_new_session=True,
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(write_end)
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._exited)
        self._loop.add_reader(self._pipe, self._read)

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended and was reaped."""
        return self._ended.done()

    def drain(self) -> None:
        """Take all output that is in the pipe now: what was written before an answer is then in the log before it."""
        reads = 0
        # The bound is for a thread of the handler's that prints without end.
        while self._pipe >= 0 and reads < DRAIN_READS_MAX and self._read() == READ_BYTES:
            reads += 1

    def flush(self) -> None:
        """Take all output, with the start of an unfinished line."""
        self.drain()
        lines = self._lines.flush()
        if lines:
            self._on_lines(lines)

    def memory_kb(self) -> int:
        """The most memory that the process has had in use so far, in KB; 0 if it is gone."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_bytes()
        except OSError:
            return 0
        _, found, rest = status.partition(b"VmHWM:")
        return int(rest.split(None, 1)[0]) if found else 0

    def kill(self) -> None:
        """End the process and its children at once and report nothing more about it."""
        if self._killed:
            return
        self._killed = True
        self._kill_group()
        self.flush()
        self._close_pipe()

    async def ended(self) -> None:
        """Wait until the process is gone."""
        await asyncio.shield(self._ended)

    def _kill_group(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _read(self) -> int:
        """Take one read's worth of output and return how many bytes it was."""
        try:
            data = os.read(self._pipe, READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._close_pipe()
            return 0
        lines = self._lines.feed(data)
        if lines:
            self._on_lines(lines)
        return len(data)

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def _exited(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if not self._killed:
            # Children that outlive the runtime would hold its pipe and its place: the sandbox ends as a whole.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        return_code = self._process.wait()
        if not self._killed:
            self.flush()
            self._close_pipe()
            self._killed = True
            self._on_exit(return_code)
        if not self._ended.done():
            self._ended.set_result(None)
