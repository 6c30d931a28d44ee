"""What `lab up` prepares before it starts anything: the folders, and a lock that passes on to the supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_block import free_block

from lab.cli.preparing import prepare
from lab.cli.starting import Starting
from lab.config.settings import Settings, make_plan
from lab.errors import EnvironmentFailure, UserError
from lab.supervisor.instance import is_locked
from lab.supervisor.parent import LOCK_VARIABLE


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where run folders are made: a short path, for Unix sockets have a limit."""
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


ENDED_AT_ONCE = """
import os, signal, sys
class Signal:
    def find_spec(self, name, path=None, target=None):
        if name == "lab.supervisor.run":  # the engines have been started, and nothing else
            os.kill(os.getpid(), int(sys.argv[2]))
sys.meta_path.insert(0, Signal())
from lab.supervisor.__main__ import main
sys.argv[1] += "/topology.json"
raise SystemExit(main())
"""


def settings_of(folder: Path) -> Settings:
    return Settings(folder, block=free_block())


def test_a_lab_that_is_prepared_has_the_folder_to_itself(tmp_path: Path, temporary: Path) -> None:
    settings = settings_of(tmp_path)
    prepared = prepare(settings, make_plan(settings))
    files = sorted(path.name for path in settings.state_dir.iterdir())
    with pytest.raises(UserError, match="another lab is just starting"):
        prepare(settings, make_plan(settings))
    assert sorted(path.name for path in settings.state_dir.iterdir()) == files
    os.close(prepared.lock)
    assert not is_locked(settings.state_dir)


def test_the_supervisor_has_the_lock_from_its_first_moment_to_its_last(tmp_path: Path, temporary: Path) -> None:
    settings = settings_of(tmp_path)
    lab = Starting(prepare(settings, make_plan(settings)), detach=True)
    try:
        assert is_locked(settings.state_dir)
    finally:
        lab.stop()
    assert not is_locked(settings.state_dir)
    assert {path.name for path in settings.state_dir.iterdir()} == {"lock", "logs"}
    assert not list(temporary.iterdir())


def test_what_a_start_that_was_killed_left_is_cleared_by_the_next(tmp_path: Path, temporary: Path) -> None:
    settings = settings_of(tmp_path)
    os.close(prepare(settings, make_plan(settings)).lock)  # as if killed before it had begun anything else
    prepared = prepare(settings, make_plan(settings))
    assert [str(path) for path in temporary.iterdir()] == [prepared.topology.run_dir]
    os.close(prepared.lock)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_supervisor_that_is_ended_at_once_leaves_nothing(
    tmp_path: Path, temporary: Path, number: signal.Signals
) -> None:
    """As when `lab up` is killed while it starts: nobody else is left to clear away."""
    settings = settings_of(tmp_path)
    prepared = prepare(settings, make_plan(settings))
    process = subprocess.Popen(
        [sys.executable, "-c", ENDED_AT_ONCE, prepared.topology.state_dir, str(int(number))],
        env={LOCK_VARIABLE: str(prepared.lock)},
        pass_fds=(prepared.lock,),
        cwd=Path(__file__).parents[2],
    )
    os.close(prepared.lock)
    assert process.wait(60) == 0
    assert {path.name for path in settings.state_dir.iterdir()} == {"lock", "logs"}
    assert not list(temporary.iterdir())


def test_a_lab_whose_files_cannot_be_written_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    settings = settings_of(tmp_path)
    (settings.state_dir / "logs" / "edge.log").mkdir(parents=True)
    with pytest.raises(EnvironmentFailure, match=r"cannot be written .*edge\.log"):
        prepare(settings, make_plan(settings))
    assert not is_locked(settings.state_dir)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("name", "told"), [(os.fsdecode(b"caf\xe9"), "is not UTF-8: rename it"), ("/".join(["x" * 100] * 5), "is too long")]
)
def test_a_folder_that_the_parts_could_not_use_is_refused(tmp_path: Path, name: str, told: str) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    settings = settings_of(folder)
    with pytest.raises(UserError, match=told):
        prepare(settings, make_plan(settings))
    assert not settings.state_dir.exists()
