"""The lab of a test session: one of its own, in a free block of addresses and a temporary folder, or the running one.

An instance of its own is started with `lab up --detach` and stopped with `lab down`, whatever happened in between; if
this process is killed, the instance ends too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lab.errors import EnvironmentFailure, LabError, UserError
from lab.supervisor.parent import OWNER_VARIABLE
from lab.testing.lab import Lab, attach

if TYPE_CHECKING:
    from lab.testing.containers import RegionContainers

FIRST_BLOCK, LAST_BLOCK = 128, 223
"""Second numbers of the loopback addresses that tests take: away from the ones that people choose."""
ATTEMPTS = 4
START_LIMIT_S = 180.0
STOP_LIMIT_S = 60.0
ADDRESS_IN_USE = 3
PROBED_PORT = 4566
LOCALSTACK_SPEED_MAX, MINISTACK_CONTAINER_SPEED = 3.0, 10.0


@dataclass(frozen=True)
class Session:
    """A lab for tests. `folder` is its project folder if it is the tests' own, else None."""

    lab: Lab
    folder: Path | None = None
    containers: RegionContainers | None = None

    def stop(self) -> None:
        """Give the lab back: healed if it is somebody's, stopped and removed if it is the tests' own."""
        if self.containers is not None:
            self.containers.stop()
            return
        try:
            if self.folder is None:
                self.lab.heal()
        finally:
            self.lab.close()
            if self.folder is not None:
                _stop(self.folder)


def start(
    mode: Literal["own", "attach", "containers"],
    *,
    speed: float | None = None,
    default_speed: float = 30.0,
    engine: str = "ministack",
    regions: str | None = None,
    settings: str = "",
) -> Session:
    """A lab for tests; `settings` is the text of an own one's lab.toml.

    Raises UserError for what cannot be, EnvironmentFailure if it does not start.
    """
    if mode == "attach":
        return _attached(speed, engine)
    if speed is not None and not 0.1 <= speed <= 1000:
        raise UserError(f"--lab-speed {speed:g} is out of range: 1 is AWS's pace, 30 is thirty times as fast")
    if mode == "containers" or engine != "ministack":
        return _contained(engine, container_speed(engine, os.cpu_count() or 1) if speed is None else speed)
    return _own(default_speed if speed is None else speed, regions, settings)


def container_speed(engine: str, processors: int) -> float:
    """How fast a lab in containers can be on a machine.

    LocalStack takes about 80 ms of a processor for each health check and each call of a function: at speed 2, two
    regions with a drill's load want more than one processor.
    """
    return min(float(processors), LOCALSTACK_SPEED_MAX) if engine == "localstack" else MINISTACK_CONTAINER_SPEED


def _attached(speed: float | None, engine: str) -> Session:
    del engine  # the running lab has the engine that it has
    lab = attach()
    if speed is not None and speed != lab.speed:
        lab.close()
        raise UserError(
            f"--lab-speed {speed:g} cannot change the running lab, which runs at {lab.speed:g}; leave it out"
        )
    faults = lab.faults.faults
    if faults:
        lab.close()
        raise UserError(f"the running lab has {len(faults)} faults in force; `lab heal` lifts them")
    return Session(lab)


def _contained(engine: str, speed: float) -> Session:
    """Regions in containers of the tests' own."""
    from lab.testing.containers import RegionContainers

    containers = RegionContainers(engine=engine, speed=speed).start()
    return Session(containers.lab, containers=containers)


def _own(speed: float, regions: str | None, settings: str) -> Session:
    folder = Path(tempfile.mkdtemp(prefix="lab-tests-"))
    refusal = ""
    try:
        if settings:
            (folder / "lab.toml").write_text(settings, encoding="utf-8")
        for block in _free_blocks():
            arguments = ["up", "--detach", "--json", "--block", block, "--speed", f"{speed:g}"]
            done = _lab(folder, *arguments, *(["--regions", regions] if regions else []), limit_s=START_LIMIT_S)
            if done.returncode == 0:
                return Session(attach(folder), folder)
            refusal = done.stderr.strip() or done.stdout.strip()
            if done.returncode != ADDRESS_IN_USE:  # another lab took the block between our look and its start
                break
        raise EnvironmentFailure(f"`lab up` did not start a lab for the tests: {refusal or 'no free block found'}")
    except BaseException:
        _stop(folder)
        raise


def _stop(folder: Path) -> None:
    try:
        done = _lab(folder, "down", "--quiet", limit_s=STOP_LIMIT_S)
        if done.returncode != 0:
            raise LabError(f"the tests' own lab in {folder} did not stop: {done.stderr.strip()}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lab(folder: Path, *arguments: str, limit_s: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab.cli", "-C", str(folder), *arguments]
    try:
        return subprocess.run(
            command,
            env={**os.environ, OWNER_VARIABLE: str(os.getpid())},
            capture_output=True,
            text=True,
            timeout=limit_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailure(f"`lab {arguments[0]}` took more than {limit_s:g} s in {folder}") from error


def _free_blocks() -> Iterator[str]:
    """Blocks whose global endpoint nobody has, beginning at one that other test sessions do not begin at."""
    size = LAST_BLOCK - FIRST_BLOCK + 1
    tried = 0
    for n in range(size):
        block = f"127.{FIRST_BLOCK + (os.getpid() + n) % size}"
        if tried < ATTEMPTS and _is_free(f"{block}.0.1"):
            tried += 1
            yield block


def _is_free(address: str) -> bool:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as sock:
        try:
            sock.bind((address, PROBED_PORT))
        except OSError:
            return False
        return True
