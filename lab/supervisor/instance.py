"""One instance on disk: who runs in a state folder, whether it lives, and clearing away what a dead one left.

`instance.json` is written by the supervisor while it holds a lock on `STATE/lock`; a lock that can be had means that
no supervisor lives, whatever the file says. Standard library only: every command of the CLI reads this first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from lab.errors import EnvironmentFailure, LabNotRunning

KEPT = {"logs", "cache", "lock"}
"""What a state folder keeps from one run to the next; all else belongs to a run."""
UNFINISHED = "*/.installing-*"
"""In the cache: what pip had not finished installing when it was ended."""
RUN_DIR_PREFIX = "lab-"
REMOVING_LIMIT_S = 5.0
CLAIM = "state"


@dataclass(frozen=True)
class Instance:
    """A running lab. `pid` is the supervisor's; `plan` and `topology` are files in the state folder."""

    pid: int
    state_dir: str
    run_dir: str
    block: str
    regions: tuple[str, ...]
    speed: float
    started_ms: int

    @property
    def topology_path(self) -> Path:
        return Path(self.state_dir) / "topology.json"


def write_instance(instance: Instance) -> None:
    """Write `instance.json`."""
    path = Path(instance.state_dir) / "instance.json"
    temporary = path.with_name(".instance.json")
    temporary.write_text(json.dumps(asdict(instance), indent=2) + "\n")
    temporary.replace(path)


def read_instance(state_dir: Path) -> Instance | None:
    """What `instance.json` says, or None if there is none (or it is not ours to understand)."""
    try:
        value = json.loads((state_dir / "instance.json").read_text())
        made = Instance(**{field.name: value[field.name] for field in fields(Instance)})
        texts = [made.state_dir, made.run_dir, made.block, *made.regions]
        if not all(isinstance(text, str) for text in texts) or not isinstance(made.pid, int) or made.pid <= 0:
            return None
        return replace(made, regions=tuple(made.regions), speed=float(made.speed), started_ms=int(made.started_ms))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def lock_state(state_dir: Path) -> int | None:
    """Take the state folder for this process; the descriptor to keep, or None if another supervisor has it."""
    descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_of(lock: int, state_dir: Path) -> bool:
    """Whether a lock is of the state folder that is there now: a folder may be removed, moved, or made again."""
    try:
        return os.path.samestat(os.fstat(lock), (state_dir / "lock").stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # it cannot be told now; it was


def is_locked(state_dir: Path) -> bool:
    """Whether a supervisor lives in this state folder."""
    if not (state_dir / "lock").exists():
        return False
    descriptor = lock_state(state_dir)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def running_instance(state_dir: Path) -> Instance | None:
    """The living lab of a state folder, or None."""
    return read_instance(state_dir) if is_locked(state_dir) else None


def require_instance(folder: Path, state_dir: Path) -> Instance:
    """The living lab of a project folder. Raises LabNotRunning."""
    instance = running_instance(state_dir)
    if instance is not None:
        return instance
    if is_locked(state_dir):
        raise LabNotRunning(
            f"a lab is just starting in {folder}: wait for it; or its file {state_dir / 'instance.json'} was damaged, "
            f"and removing the folder {state_dir} ends it"
        )
    if read_instance(state_dir) is not None:
        raise LabNotRunning(f"the lab of {folder} died without cleaning up; `lab up` clears that away and starts anew")
    raise LabNotRunning(f"no lab runs in {folder}: start one with `lab up` (add --detach to get the prompt back)")


def clear_remains(state_dir: Path) -> Instance | None:
    """Remove what a run left, all but logs and cache; call it with the lock held. Returns the dead instance, if any."""
    dead = read_instance(state_dir)
    if dead is not None:
        remove_run_dir(Path(dead.run_dir))
    for path in state_dir.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for scratch in (state_dir / "cache").glob(UNFINISHED):
        shutil.rmtree(scratch, ignore_errors=True)  # pip may die at this moment; the next run clears what is left
    return dead


def leave_nothing(lock: int, state_dir: Path, run_dir: Path) -> None:
    """Remove what a run left, at its end, by whoever holds its lock; a folder that is another's by now is let alone."""
    remove_run_dir(run_dir)
    if is_of(lock, state_dir):
        clear_remains(state_dir)


def remove_run_dir(run_dir: Path) -> None:
    """Remove a run folder; nothing else is ever removed by way of a file's word, so its name and owner must fit."""
    if not run_dir.name.startswith(RUN_DIR_PREFIX) or run_dir.is_symlink():
        return
    deadline = time.monotonic() + REMOVING_LIMIT_S
    with contextlib.suppress(FileNotFoundError):
        while run_dir.stat().st_uid == os.getuid():
            shutil.rmtree(run_dir, ignore_errors=True)
            if time.monotonic() >= deadline or not run_dir.exists():
                return
            time.sleep(0.02)  # a process that was killed a moment ago still made or removed a file in it


def sweep_run_dirs(temporary: Path, state_dir: Path) -> None:
    """Remove the run folders of dead labs that nobody will clear away: of project folders that are gone, and of starts
    in `state_dir` that were killed before they had said so, whose lock the caller has by now.

    A run folder names its state folder in `state`, which `claim_run_dir` wrote; a folder without it is let alone.
    """
    for claim in temporary.glob(f"{RUN_DIR_PREFIX}*/{CLAIM}"):
        with contextlib.suppress(OSError):
            claimed = Path(claim.read_text())
            if claim.stat().st_uid == os.getuid() and (not claimed.exists() or claimed == state_dir.resolve()):
                remove_run_dir(claim.parent)


def claim_run_dir(run_dir: Path, state_dir: Path) -> None:
    """Write into a run folder whose it is."""
    (run_dir / CLAIM).write_text(str(state_dir.resolve()))


def stop_instance(instance: Instance, state_dir: Path, *, within_s: float = 10.0) -> None:
    """End a lab and wait until it has gone; one that does not end in time is killed. Raises EnvironmentFailure.

    `state_dir` is where its state folder is now; it may have been moved since the lab was started.
    """
    for number, limit_s in ((signal.SIGTERM, within_s), (signal.SIGKILL, 3.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(instance.pid, number)
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if not is_locked(state_dir):
                remove_run_dir(Path(instance.run_dir))
                return
            time.sleep(0.02)
    raise EnvironmentFailure(f"the lab's supervisor (pid {instance.pid}) does not end")
