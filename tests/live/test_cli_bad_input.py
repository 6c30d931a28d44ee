"""What the command line says to mistakes, without a lab: one clear message, a non-zero exit, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

BLOCK = "127.46"


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    status: int
    out: str
    err: str


def lab(folder: Path, *arguments: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "lab.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return Done(done.returncode, done.stdout, done.stderr)


def assert_nothing_started(folder: Path) -> None:
    state = folder / ".lab"
    assert not state.exists() or sorted(path.name for path in state.iterdir()) == ["lock", "logs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["up", "--regions", "us-esat-1"],
            "unknown region 'us-esat-1': did you mean us-west-1 or us-east-1 or us-west-2?",
        ),
        (["up", "--regions", "us-east-1,us-east-1"], "region us-east-1 is given twice"),
        (["up", "--regions", ","], "no region given"),
        (["up", "--block", "10.0"], "'10.0' is not a block of loopback addresses"),
        (["up", "--speed", "0"], "speed 0 is out of range"),
        (["up", "--handlers", "nowhere"], "nowhere: `--handlers`"),
        (["status"], "start one with `lab up`"),
        (["down"], "start one with `lab up`"),
        (["logs"], "no lab has run in"),
        (["deploy"], "start one with `lab up`"),
        (["curl", "http://api.lab.test/"], "start one with `lab up`"),
        (["dig", "api.lab.test"], "start one with `lab up`"),
        (["heal"], "start one with `lab up`"),
        (["fault", "list"], "start one with `lab up`"),
        (["fault", "region", "us-east-1"], "--down (refuses connections) or --hang (never answers)"),
        (["fault", "region", "us-east-1", "--hang", "--lose-data"], "--lose-data goes with --down"),
        (["fault", "region", "us-east-1", "--down", "--hang"], "--down or hangs (--hang): give one of them"),
        (["fault", "replication", "us-east-1"], "--pause"),
        (["stauts"], "no command 'stauts': did you mean status?"),
        (["up", "--spede", "3"], "--spede"),
        (["-C", "/nowhere", "up"], "no folder /nowhere"),
    ],
)
def test_a_mistake_is_told_in_one_message(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = lab(tmp_path, *arguments)
    assert done.status in (1, 2)
    assert message in done.err
    assert_nothing_started(tmp_path)


def test_a_mistake_in_lab_toml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('block = "127.46"\nspede = 3\n')
    done = lab(tmp_path, "up")
    assert (done.status, done.err) == (
        2,
        f"lab: {tmp_path}/lab.toml:2: `spede`: unknown key; did you mean speed or seed?\n",
    )


@pytest.mark.parametrize(
    ("kind", "port", "protocol"),
    [
        (socket.SOCK_STREAM, 4566, "TCP"),
        (socket.SOCK_DGRAM, 5300, "UDP"),
    ],
)
def test_an_address_in_use_is_told_with_its_holder_and_what_to_do(
    tmp_path: Path, kind: socket.SocketKind, port: int, protocol: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind((f"{BLOCK}.0.1", port))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        done = lab(tmp_path, "up", "--block", BLOCK)
    assert done.status == 3
    assert f"{BLOCK}.0.1:{port} ({protocol}) is in use by" in done.err
    assert f"(pid {os.getpid()})" in done.err
    assert "lab up --block 127.20" in done.err
    assert_nothing_started(tmp_path)


def test_init_writes_a_file_that_is_valid_and_keeps_one_that_is_there(tmp_path: Path) -> None:
    assert lab(tmp_path, "init").status == 0
    assert lab(tmp_path, "doctor").status == 0
    (tmp_path / "lab.toml").write_text("speed = 2\n")
    refused = lab(tmp_path, "init")
    assert (refused.status, "exists already" in refused.err) == (2, True)
    assert (tmp_path / "lab.toml").read_text() == "speed = 2\n"
    assert lab(tmp_path, "init", "--force").status == 0


def test_a_lab_toml_that_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").mkdir()
    done = lab(tmp_path, "up")
    assert (done.status, "lab.toml: cannot be read: Is a directory" in done.err) == (2, True)


@pytest.mark.parametrize("command", [["up"], ["status"], ["down"], ["logs"]])
def test_a_state_folder_that_cannot_be_one_is_told(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / ".lab").touch()
    done = lab(tmp_path, *command)
    assert (done.status, "fault of the lab" in done.err) == (1, False)
    if command == ["up"]:
        assert f"the lab keeps its state in {tmp_path / '.lab'}, which cannot be used" in done.err


def test_init_tells_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").mkdir()
    done = lab(tmp_path, "init", "--force")
    assert (done.status, "lab.toml cannot be written: Is a directory" in done.err) == (1, True)


def test_a_temporary_folder_too_deep_for_sockets_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("t" * 90)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    done = lab(tmp_path, "up")
    assert (done.status, "too long for Unix sockets: set TMPDIR to a shorter one" in done.err) == (1, True)
    assert_nothing_started(tmp_path)


def test_places_are_listed_without_a_lab(tmp_path: Path) -> None:
    done = lab(tmp_path, "status", "--places", "--json")
    places = {place["name"]: place["subnet"] for place in json.loads(done.out)}
    assert places["dublin"] == "198.18.1.0/24"
    assert len(places) >= 30


def test_the_remains_of_a_dead_lab_are_told_and_cleared(tmp_path: Path) -> None:
    run_dir = tmp_path / "lab-dead"
    run_dir.mkdir()
    state = tmp_path / ".lab"
    state.mkdir()
    instance = {"pid": 4_000_000, "state_dir": str(state), "run_dir": str(run_dir), "block": BLOCK}
    (state / "instance.json").write_text(
        json.dumps({**instance, "regions": ["us-east-1"], "speed": 1, "started_ms": 0})
    )
    assert "died without cleaning up; `lab up` clears that away" in lab(tmp_path, "status").err
    done = lab(tmp_path, "down")
    assert (done.status, run_dir.exists()) == (0, False)
    assert "pid 4000000" in done.out
    assert lab(tmp_path, "down").status == 1
    assert lab(tmp_path, "down", "--quiet").status == 0


def test_help_is_quick_and_names_every_command(tmp_path: Path) -> None:
    done = lab(tmp_path, "--help")
    assert done.status == 0
    for command in ("up", "down", "status", "logs", "deploy", "curl", "dig", "fault", "heal", "drill", "init"):
        assert f"\n  {command} " in done.out
        assert lab(tmp_path, command, "--help").status == 0


def in_namespace(folder: Path, setup: str, command: str) -> Done:
    """A command in a network of its own, whose loopback interface is as `setup` leaves it."""
    line = f"{setup}; exec {sys.executable} -m lab.cli {command}"
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", "/bin/sh", "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if "unshare" in done.stderr or "ip: not found" in done.stderr:
        pytest.skip("this user may not make network namespaces")
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.skipif(shutil.which("unshare") is None or shutil.which("ip") is None, reason="needs unshare and ip")
@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (
            "ip link set lo up; ip route del local 127.0.0.0/8 dev lo table local",
            f"this machine has no address {BLOCK}.0.1: the lab wants a loopback range as Linux has it (127.0.0.0/8); "
            "on macOS run it with Docker",
        ),
        (":", "is the loopback interface up? `sudo ip link set lo up` brings it up"),
    ],
    ids=["only 127.0.0.1, as on macOS", "down"],
)
def test_a_machine_without_the_loopback_range_is_told_what_to_do(tmp_path: Path, setup: str, message: str) -> None:
    done = in_namespace(tmp_path, setup, f"up --block {BLOCK}")
    assert (done.status, message in done.err) == (1, True), done.err
    assert_nothing_started(tmp_path)
    (tmp_path / "lab.toml").write_text(f'block = "{BLOCK}"\n')
    assert message in in_namespace(tmp_path, setup, "doctor").out


def test_too_few_open_files_are_told_before_anything_starts(tmp_path: Path) -> None:
    def limited(command: str) -> subprocess.CompletedProcess[str]:
        line = f"ulimit -n 100; exec {sys.executable} -m lab.cli {command}"
        return subprocess.run(
            ["/bin/sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    done = limited(f"up --block {BLOCK}")
    message = "a process may have 100 files open here, and the lab's need up to 256: raise the hard limit"
    assert (done.returncode, message in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr
    assert_nothing_started(tmp_path)
    assert f"PROBLEM  open files: {message}" in limited("doctor").stdout


def test_a_current_folder_that_has_gone_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["/bin/sh", "-c", f"rmdir {gone}; exec {sys.executable} -m lab.cli status"],
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, "the current folder does not exist any more" in done.stderr) == (2, True), done.stderr
