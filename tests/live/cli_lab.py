"""A lab of its own for tests of the command line: a folder, a free block, the command as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopback_block import free_block
from waiting import eventually

START_LIMIT_S = 180.0
ADDRESS_IN_USE = 3


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    status: int
    out: str
    err: str


@dataclass
class CliLab:
    """One project folder. `temporary` is where its processes make their temporary files."""

    folder: Path
    temporary: Path
    block: str = field(default_factory=free_block)

    @property
    def state_dir(self) -> Path:
        return self.folder / ".lab"

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.temporary)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "lab.cli", *arguments]

    def run(self, *arguments: str, limit_s: float = START_LIMIT_S) -> Done:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=limit_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.status == 0, f"lab {' '.join(arguments)}: {done.out}{done.err}"
        return json.loads(done.out)

    def up(self, *options: str) -> Any:
        """`lab up --detach --json`; a block that somebody took meanwhile is given up for another."""
        for _ in range(5):
            done = self.run("up", "--detach", "--json", "--block", self.block, *options)
            if done.status != ADDRESS_IN_USE:
                break
            self.block = free_block()
        assert done.status == 0, f"lab up: {done.out}{done.err}"
        return json.loads(done.out)

    def foreground(self, *options: str) -> subprocess.Popen[str]:
        """`lab up` as in a terminal."""
        return self.begin(*self.command("up", "--block", self.block, *options))

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """A command in the lab's folder, in a process group of its own."""
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def pids(self) -> list[int]:
        """Every process of this lab: parts name the topology, all have the run folder or the state folder in use."""
        marks = (str(self.state_dir).encode(), str(self.temporary).encode())
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if any(mark in words for mark in marks) and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        return found

    def listening(self) -> list[str]:
        """The block's addresses on which somebody listens or receives."""
        prefix = bytes(int(part) for part in reversed(f"{self.block}.0.0".split("."))).hex().upper()[4:]
        rows = [
            line.split() for kind in ("tcp", "udp") for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]
        ]
        return [row[1] for row in rows if row[1].split(":")[0].endswith(prefix) and row[3] in ("0A", "07")]

    def assert_nothing_left(self) -> None:
        """No process, no port, no temporary file, no state but logs."""
        eventually(lambda: not self.pids(), lambda: f"processes are left: {self.pids()}")
        self.assert_silent()
        left = sorted(str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*"))
        assert not left, f"temporary files are left: {left}"
        assert {path.name for path in self.state_dir.iterdir()} <= {"logs", "lock", "cache"}

    def assert_silent(self) -> None:
        """Nobody listens any more; a dying process has lost its command line a moment before its sockets."""
        eventually(lambda: not self.listening(), lambda: f"somebody listens: {self.listening()}")

    def end(self) -> None:
        """Stop whatever runs here, however the test ended."""
        self.run("down", "--quiet")
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)


def make_lab(folder: Path) -> CliLab:
    """A lab in a folder. Temporary files go to a short path: Unix sockets have a limit."""
    return CliLab(folder, Path(tempfile.mkdtemp(prefix="t-", dir="/tmp")))
