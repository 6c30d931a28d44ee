"""One part under the supervisor's eye: its process, its readiness, its deaths and restarts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from lab.supervisor.process import PartCommand, send_signal, spawn
from lab.supervisor.restart import RestartPolicy

State = Literal["starting", "up", "down", "stopped"]
"""`down` died and will be started again; `stopped` was killed on request and stays away until it is started."""

KILL_AFTER_S = 5.0


class SupervisedPart:
    """Keeps one part running. `on_ready(part)` is called at each readiness, `on_death(part, status)` at each death."""

    def __init__(
        self,
        command: PartCommand,
        run_dir: str,
        log_dir: Path,
        *,
        on_ready: Callable[[SupervisedPart], None],
        on_death: Callable[[SupervisedPart, int], None],
    ) -> None:
        self.command = command
        self.state: State = "starting"
        self.restarts = 0
        self.since_ms = _now_ms()
        self.last_exit: int | None = None
        self.ever_ready = False
        self._run_dir, self._log_dir = run_dir, log_dir
        self._on_ready, self._on_death = on_ready, on_death
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._policy = RestartPolicy()
        self._restart: asyncio.TimerHandle | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._output = b""

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """Watch a process that was started already."""
        assert process.stdout is not None
        loop = asyncio.get_running_loop()
        self._process, self._output = process, b""
        self._set_state("starting")
        os.set_blocking(process.stdout.fileno(), False)
        loop.add_reader(process.stdout.fileno(), self._on_output)
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._on_exit)

    def start(self) -> None:
        """Start the part's process, unless it has one."""
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._process is None:
            self.adopt(spawn(self.command, run_dir=self._run_dir, log_dir=self._log_dir))

    def kill(self) -> None:
        """Kill the part and leave it dead until `start`."""
        self._set_state("stopped")
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._process is not None:
            send_signal(self._process, signal.SIGKILL)

    async def stop(self) -> None:
        """End the part for good, by SIGTERM and, if that does not help, SIGKILL."""
        self._set_state("stopped")
        if self._restart is not None:
            self._restart.cancel()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process is not None:
                send_signal(self._process, number)
            if await self.wait_for(lambda: self._process is None, KILL_AFTER_S):
                return

    async def wait_for(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Wait until a condition on this part holds; False if it does not within the time."""
        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return condition()
        return True

    def status(self) -> dict[str, Any]:
        """What `lab status` shows of the process."""
        return {
            "part": self.name,
            "state": self.state,
            "pid": self.pid,
            "restarts": self.restarts,
            "since_ms": self.since_ms,
            "last_exit": self.last_exit,
        }

    def _on_output(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        data = self._process.stdout.read(65_536)
        if data is None:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._process.stdout.fileno())
            return
        *lines, self._output = (self._output + data).split(b"\n")
        if b"ready" in lines and self.state == "starting":
            self._set_state("up")
            self.ever_ready = True
            self._on_ready(self)

    def _on_exit(self) -> None:
        process = self._process
        assert process is not None and process.stdout is not None
        self._on_output()  # what it said last
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        loop.remove_reader(process.stdout.fileno())
        process.stdout.close()
        self.last_exit = process.wait()
        self._process = None
        if self.state == "stopped":
            self._set_state("stopped")
            return
        self._policy = self._policy.after_death(_now_ms() - self.since_ms)
        self._set_state("down")
        self._start_later()
        self._on_death(self, self.last_exit)

    def _start_again(self) -> None:
        self._restart = None
        self.restarts += 1
        try:
            self.start()
        except OSError as error:  # the machine has no process or no descriptor to spare just now
            print(f"{self.name} cannot be started: {error}", file=sys.stderr, flush=True)
            self._start_later()

    def _start_later(self) -> None:
        self._restart = asyncio.get_running_loop().call_later(self._policy.delay_ms / 1000, self._start_again)

    def _set_state(self, state: State) -> None:
        self.state, self.since_ms = state, _now_ms()
        task = asyncio.get_running_loop().create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
