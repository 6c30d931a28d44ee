"""Starting an instance: the supervisor and, beside it, the deployment, followed by the events that both tell.

The supervisor is a session of its own, so that Ctrl-C reaches only the command line, which then ends it in order.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from lab.cli.preparing import Prepared
from lab.cli.project import PLAN
from lab.core.topology import Topology
from lab.errors import EnvironmentFailure, LabError
from lab.supervisor.instance import clear_remains, lock_state, remove_run_dir
from lab.supervisor.parent import LOCK_VARIABLE, OWNER_VARIABLE, PARENT_VARIABLE

STOP_LIMIT_S = 10.0
SAME_S = 1.0


class Stopped(BaseException):
    """SIGTERM, SIGHUP or SIGINT came: everything is to end."""


class StartFailed(LabError):
    """The lab did not come up; the message says what did not and shows its last words."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.exit_status = status


class SignalGate:
    """From its making on SIGTERM, SIGHUP and SIGINT raise Stopped; within `held` only at its end.

    What is being made while a signal comes must be known before it can be undone. Signals that follow one within a
    second change nothing: they would interrupt what the first one has begun.
    """

    def __init__(self) -> None:
        self._held = False
        self._came = False
        self._raised_s = -math.inf
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # `nohup lab up &` outlives its terminal; SIGINT, which shells have their jobs ignore, ends it
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        if not self._held:
            self._stop()

    def _stop(self) -> None:
        now_s = time.monotonic()
        if now_s - self._raised_s >= SAME_S:
            self._raised_s = now_s
            raise Stopped

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no signal interrupt the block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._came:
            self._stop()


def ignore_signals() -> None:
    """While everything ends, a second Ctrl-C changes nothing."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def start_deployment(topology: Topology, plan: str, *options: str) -> subprocess.Popen[bytes]:
    """The process that deploys the file `plan` of the state folder; it waits for a line on its stdin.

    It may run pip, so it has the user's environment.

    It leads a session of its own, so that `end_deployment` reaches whatever it runs.
    """
    state_dir = Path(topology.state_dir)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BOTO", "PYTHONHOME"))
    }
    environment[PARENT_VARIABLE] = str(os.getpid())
    with (state_dir / "logs" / "deploy.log").open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "lab.deploy",
                str(state_dir / "topology.json"),
                str(state_dir / plan),
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env=environment,
        )


def end_deployment(process: subprocess.Popen[bytes]) -> None:
    """Kill a deployment with what it runs (pip, and what pip runs), unless its end has been awaited already."""
    if process.returncode is None:  # even if it has died itself: until it is awaited the group is its own
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def events(*processes: subprocess.Popen[bytes]) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any] | None]]:
    """The JSON lines of several processes as they come, and (process, None) when one says nothing more."""
    with selectors.DefaultSelector() as selector:
        buffers: dict[subprocess.Popen[bytes], bytes] = {}
        for process in processes:
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ, process)
            buffers[process] = b""
        while buffers:
            for key, _ in selector.select():
                process = key.data
                data = os.read(key.fd, 65_536)
                *lines, buffers[process] = (buffers[process] + data).split(b"\n")
                for line in lines:
                    yield process, json.loads(line)
                if not data:
                    selector.unregister(key.fileobj)
                    del buffers[process]
                    yield process, None


class Starting:
    """A lab that is being started, or runs in the foreground; `stop` ends all of it."""

    def __init__(self, prepared: Prepared, *, detach: bool) -> None:
        self._topology = topology = prepared.topology
        self._state_dir = Path(topology.state_dir)
        try:
            self._supervisor = self._start_supervisor(prepared.lock, detach=detach)
            try:
                self._deployment = start_deployment(topology, PLAN)
            except OSError:
                self._end_supervisor()
                raise
        except OSError as error:
            remove_run_dir(Path(topology.run_dir))
            raise EnvironmentFailure(f"the lab's processes cannot be started ({error.strerror})") from error
        finally:
            os.close(prepared.lock)

    def _start_supervisor(self, lock: int, *, detach: bool) -> subprocess.Popen[bytes]:
        """The supervisor, which has the lock from its first moment on."""
        topology = self._topology
        environment = {
            name: os.environ[name] for name in ("PATH", "PYTHONPYCACHEPREFIX", OWNER_VARIABLE) if name in os.environ
        }
        if not detach:
            environment[PARENT_VARIABLE] = str(os.getpid())
        with (self._state_dir / "logs" / "supervisor.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "lab.supervisor", str(self._state_dir / "topology.json")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                cwd=topology.run_dir,
                env={**environment, LOCK_VARIABLE: str(lock), "LANG": "C.UTF-8"},
                pass_fds=(lock,),
            )

    @property
    def pid(self) -> int:
        return self._supervisor.pid

    def follow(self) -> Iterator[dict[str, Any]]:
        """The events of start and deployment, until the deployment is done. Raises StartFailed."""
        for process, event in events(self._supervisor, self._deployment):
            if event is None:
                if process is self._supervisor:
                    raise StartFailed(self._last_words("supervisor"), 1)
                end_deployment(self._deployment)
                raise StartFailed(self._last_words("deploy"), 1)
            if event["event"] == "failed":
                raise StartFailed(event["message"], event["status"])
            if event["event"] == "ready":
                assert self._deployment.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    self._deployment.stdin.write(b"go\n")
                    self._deployment.stdin.close()
            yield event
            if event["event"] == "deployed":
                self._deployment.wait()
                return

    def _last_words(self, part: str) -> str:
        from lab.supervisor.process import log_tail

        return f"{part} ended unexpectedly:\n{log_tail(self._state_dir / 'logs', part)}"

    def wait(self) -> int:
        """Wait until the supervisor ends by itself; its exit status."""
        return self._supervisor.wait()

    def leave(self) -> None:
        """Let the lab run on without this process."""
        for process in (self._supervisor, self._deployment):
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def stop(self) -> None:
        """End everything that was started and clear away what it left."""
        end_deployment(self._deployment)
        self._end_supervisor()
        self.leave()
        remove_run_dir(Path(self._topology.run_dir))
        if not self._state_dir.is_dir():
            return
        lock = lock_state(self._state_dir)
        if lock is None:
            return  # another lab has been started here meanwhile, and has cleared it all away
        try:
            clear_remains(self._state_dir)
        finally:
            os.close(lock)

    def _end_supervisor(self) -> None:
        if self._supervisor.poll() is None:
            self._supervisor.terminate()
            try:
                self._supervisor.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
