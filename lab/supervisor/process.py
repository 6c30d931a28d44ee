"""One child process of the supervisor: how each part is started, with which environment, and where its log goes.

Standard library only, no asyncio: the engines are started with this before anything else is imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.supervisor.parent import PARENT_VARIABLE

LOG_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True)
class PartCommand:
    """What to run: Python with these arguments; `name` as in `lab status`."""

    name: str
    arguments: tuple[str, ...]


def part_commands(topology_path: str, regions: tuple[str, ...]) -> tuple[PartCommand, ...]:
    """All parts of an instance, in the order in which they are started: the slowest first."""
    engines = tuple(PartCommand(f"engine-{r}", ("-m", "lab.engines.ministack", topology_path, r)) for r in regions)
    return (
        *engines,
        PartCommand("control", ("-m", "lab.control", topology_path)),
        PartCommand("edge", ("-m", "lab.live.edge", topology_path)),
        PartCommand("replicator", ("-m", "lab.live.replicator", topology_path)),
    )


def child_environment(run_dir: str) -> dict[str, str]:
    """A part's environment, made from nothing: the host's credentials and settings stay out."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": run_dir,
        "TMPDIR": f"{run_dir}/tmp",
        "LANG": "C.UTF-8",
        PARENT_VARIABLE: str(os.getpid()),
    }
    with contextlib.suppress(KeyError):  # where a read-only installation keeps its bytecode
        environment["PYTHONPYCACHEPREFIX"] = os.environ["PYTHONPYCACHEPREFIX"]
    return environment


def open_log(log_dir: Path, name: str) -> IO[bytes]:
    """The part's log, for appending; one that has grown too long is put aside first."""
    path = log_dir / f"{name}.log"
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def spawn(command: PartCommand, *, run_dir: str, log_dir: Path) -> subprocess.Popen[bytes]:
    """Start a part; its stdout is a pipe that says `ready`, its stderr goes to its log."""
    with open_log(log_dir, command.name) as log:
        return subprocess.Popen(
            [sys.executable, "-P", *command.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=run_dir,
            env=child_environment(run_dir),
        )


def send_signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a child that may have gone."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def log_tail(log_dir: Path, name: str, lines: int = 12) -> str:
    """The last lines of a part's log."""
    try:
        with (log_dir / f"{name}.log").open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 16_384))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
