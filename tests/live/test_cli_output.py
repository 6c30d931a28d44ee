"""What the command line prints, and how it ends when nobody reads it: JSON errors, closed pipes, full disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli.lost import print_lost
from lab.cli.project import RunningLab
from lab.cli.status import read_status
from lab.compose.host import ComposeLab
from lab.core.topology import Topology, regional_addresses
from lab.errors import LabUnreachable
from lab.report import print_status
from lab.supervisor.instance import Instance, lock_state, write_instance

LAB = f"{sys.executable} -m lab.cli"


def run(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line in a shell, where `lab` is this one; the exit status of a pipe is its first failure's."""
    script = f'set -o pipefail; lab() {{ {LAB} "$@"; }}; {line}'
    return subprocess.run(
        ["/bin/bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "exit_status"),
    [
        ("status", "LabNotRunning", 1),
        ("down", "LabNotRunning", 1),
        ("logs", "LabNotRunning", 1),
        ("deploy", "LabNotRunning", 1),
        ("dig api.lab.test", "LabNotRunning", 1),
        ("curl http://api.lab.test/", "LabNotRunning", 1),
        ("heal", "LabNotRunning", 1),
        ("conflicts", "LabNotRunning", 1),
        ("lost", "LabNotRunning", 1),
        ("diff feedback", "LabNotRunning", 1),
        ("accelerator status", "LabNotRunning", 1),
        ("fault list", "LabNotRunning", 1),
        ("fault link us-east-1 us-west-2", "LabNotRunning", 1),
        ("fault region us-east-1", "UserError", 2),
        ("drill no_such_drill", "UserError", 2),
        ("up --regions us-esat-1", "UserError", 2),
        ("up --no-such-option", "UsageError", 2),
        ("no-such-command", "UsageError", 2),
    ],
)
def test_with_json_an_error_is_json_on_stdout_and_a_sentence_on_stderr(
    tmp_path: Path, arguments: str, kind: str, exit_status: int
) -> None:
    done = run(tmp_path, f"lab {arguments} --json")
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["exit_status"], done.returncode) == (kind, exit_status, exit_status)
    assert error["message"] in done.stderr


def test_with_json_a_mistake_in_lab_toml_names_file_line_and_key(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("seed = 1\nspede = 3\n")
    error = json.loads(run(tmp_path, "lab up --json").stdout)["error"]
    where = {"file": str(tmp_path / "lab.toml"), "line": 2, "key": "spede"}
    assert {name: error[name] for name in where} == where


@pytest.mark.parametrize("reader", ["head -1", "true", "exec 0<&-"])
@pytest.mark.parametrize("command", ["status --places", "status --places --json", "--help", "init --stdout", "drill"])
def test_a_reader_that_has_had_enough_is_no_error(tmp_path: Path, command: str, reader: str) -> None:
    done = run(tmp_path, f"lab {command} | {reader}")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_exit_status_is_told_though_nobody_reads(tmp_path: Path) -> None:
    assert run(tmp_path, "lab status --json | true").returncode == 1


def test_following_a_log_ends_with_its_reader(tmp_path: Path) -> None:
    logs = tmp_path / ".lab" / "logs"
    logs.mkdir(parents=True)
    log = logs / "edge.log"
    log.write_text("first\n")
    grows = f"( while echo more >> {log}; do read -t 0.05 <> <(:) || :; done ) & grower=$!"
    done = run(tmp_path, f"{grows}; lab logs -f edge | head -1; status=$?; kill $grower; exit $status")
    assert (done.returncode, done.stdout, done.stderr) == (0, "first\n", "")


def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path, "lab status --places > /dev/full")
    assert (done.returncode, done.stderr) == (1, "lab: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("kind", [RunningLab, ComposeLab])
def test_a_lab_whose_files_have_gone_is_unreachable(tmp_path: Path, kind: type[RunningLab]) -> None:
    topology = Topology("127.10", (), (), str(tmp_path), str(tmp_path))
    gone = kind(Instance(1, str(tmp_path), str(tmp_path), "127.10", (), 1.0, 0), topology)
    for asking in (lambda: gone.call("GET", "/api/status"), gone.plan, lambda: getattr(gone, "project", gone.plan())):
        with pytest.raises(LabUnreachable, match="the lab has just ended"):
            asking()


def test_a_damaged_file_of_a_running_lab_is_named(tmp_path: Path) -> None:
    state_dir = tmp_path / ".lab"
    state_dir.mkdir()
    lock = lock_state(state_dir)
    assert lock is not None
    write_instance(Instance(1, str(state_dir), "", "127.10", ("us-east-1",), 1.0, 0))
    for text in ("garbage", "{}", "[1]"):
        (state_dir / "topology.json").write_text(text)
        done = run(tmp_path, "lab status")
        assert (done.returncode, f"{state_dir / 'topology.json'} was damaged" in done.stderr) == (1, True), done.stderr
    os.close(lock)


def test_a_lab_of_which_no_part_answers_is_not_said_to_be_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topology = Topology("127.10", regional_addresses("127.10", ("us-east-1",)), (), str(tmp_path), str(tmp_path))
    lab = RunningLab(Instance(1, str(tmp_path), str(tmp_path), "127.10", ("us-east-1",), 1.0, 0), topology)
    found = read_status(lab)
    assert (found["ok"], found["regions"][0]["condition"]) == (False, "unknown")
    silent = [problem.partition(" ")[0] for problem in found["unreachable"]]
    assert silent == ["supervisor", "control", "edge", "replicator"]
    print_status(found)
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "us-east-1" in line)
    assert row.count("unknown") == 2 and "up" not in row.replace("│", " ").split()


def test_losses_that_cannot_be_told_are_said_to_be_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "the journal of us-west-2 cannot be read: its front answered with status 500"
    print_lost([], [{"region": "us-west-2", "reason": reason, "since_ms": 1}])
    assert capsys.readouterr().out.splitlines() == [
        "No acknowledged write was lost, as far as is known.",
        f"What us-west-2 lost is not known: {reason}.",
    ]
    print_lost([], [])
    assert capsys.readouterr().out == "No acknowledged write was lost.\n"


@pytest.mark.parametrize("module", ["lab.cli", "click", "lab.cli.up"])
def test_ctrl_c_before_anything_has_begun_prints_no_traceback(tmp_path: Path, module: str) -> None:
    """Whichever import it comes in the midst of."""
    program = f"""
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from lab.command import main
sys.argv = ["lab", "up", "--block", "127.46"]
raise SystemExit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False
    )
    assert (done.returncode in (-signal.SIGINT, 130), done.stderr.strip()) == (True, ""), done.stderr
