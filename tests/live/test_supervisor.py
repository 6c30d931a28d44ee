"""The supervisor with real processes that stand for parts: readiness, deaths, restarts, the end of everything."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from lab.core import codec
from lab.core.topology import Topology, regional_addresses
from lab.errors import LabNotRunning
from lab.supervisor.instance import (
    claim_run_dir,
    clear_remains,
    is_locked,
    lock_state,
    read_instance,
    remove_run_dir,
    require_instance,
    running_instance,
    stop_instance,
    sweep_run_dirs,
)
from lab.supervisor.restart import DELAY_MS_MAX, GOOD_RUN_MS, RestartPolicy

WELL = "import sys, signal; signal.signal(15, lambda *a: sys.exit(0)); print('ready', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True)\nwhile True: signal.pause()"
BROKEN = "import sys; sys.exit('no teapot at 127.0.0.1:9')"
SUPERVISOR = """
import json, sys
from pathlib import Path
from lab.supervisor.process import PartCommand, spawn
from lab.supervisor.run import run
path = Path(sys.argv[1])
topology = json.loads(path.read_bytes())
commands = tuple(PartCommand(name, ("-c", code)) for name, code in json.loads(sys.argv[2]).items())
log_dir = Path(topology["state_dir"]) / "logs"
sys.exit(run(path, commands, {c.name: spawn(c, run_dir=topology["run_dir"], log_dir=log_dir) for c in commands}))
"""
DEADLINE_S = 60.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Running:
    """A supervisor under test."""

    process: subprocess.Popen[bytes]
    topology: Topology

    @property
    def state_dir(self) -> Path:
        return Path(self.topology.state_dir)

    def event(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        value: dict[str, Any] = json.loads(self.process.stdout.readline())
        return value

    def ready(self) -> None:
        while self.event()["event"] != "ready":
            pass

    def call(self, method: str, path: str) -> tuple[int, Any]:
        with contextlib.closing(_UnixConnection(self.topology.socket_path("supervisor"))) as connection:
            connection.request(method, path)
            response = connection.getresponse()
            data = response.read()
            return response.status, json.loads(data) if data else None

    def parts(self) -> dict[str, dict[str, Any]]:
        return {part["part"]: part for part in self.call("GET", "/status")[1]["parts"]}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], Running]]:
    made: list[Running] = []
    state_dir = tmp_path / ".lab"

    def make(parts: dict[str, str]) -> Running:
        run_dir = tempfile.mkdtemp(prefix="lab-")
        (state_dir / "logs").mkdir(parents=True, exist_ok=True)
        (Path(run_dir) / "tmp").mkdir()
        topology = Topology("127.46", regional_addresses("127.46", ("us-east-1",)), (), str(state_dir), run_dir)
        path = state_dir / "topology.json"
        path.write_text(json.dumps(codec.encode(topology)))
        command = [sys.executable, "-c", SUPERVISOR, str(path), json.dumps(parts)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        made.append(Running(process, topology))
        return made[-1]

    yield make
    for running in made:
        with contextlib.suppress(ProcessLookupError):
            running.process.terminate()
        running.process.wait(DEADLINE_S)
        assert running.process.stdout is not None
        running.process.stdout.close()
        remove_run_dir(Path(running.topology.run_dir))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


Start = Callable[[dict[str, str]], Running]


def test_every_part_is_announced_when_it_is_ready_and_then_all(start: Start) -> None:
    lab = start({"one": WELL, "two": WELL})
    parts = {lab.event()["part"], lab.event()["part"]}
    assert (parts, lab.event()) == ({"one", "two"}, {"event": "ready"})


def test_sigterm_ends_all_parts_and_leaves_only_logs(start: Start) -> None:
    lab = start({"one": WELL, "two": WELL})
    lab.ready()
    pids = [part["pid"] for part in lab.parts().values()]
    lab.process.terminate()
    assert lab.process.wait(DEADLINE_S) == 0
    assert not any(alive(pid) for pid in pids)
    assert not Path(lab.topology.run_dir).exists()
    assert sorted(path.name for path in lab.state_dir.iterdir()) == ["lock", "logs"]


def test_a_part_that_ignores_sigterm_is_killed(start: Start) -> None:
    lab = start({"one": STUBBORN})
    lab.ready()
    pid = lab.parts()["one"]["pid"]
    lab.process.terminate()
    assert lab.process.wait(DEADLINE_S) == 0
    assert not alive(pid)


def test_a_part_that_does_not_start_ends_the_lab_with_its_last_words(start: Start) -> None:
    lab = start({"one": WELL, "two": BROKEN})
    event = lab.event()
    while event["event"] == "part":
        event = lab.event()
    assert event["event"] == "failed"
    assert event["message"] == "two did not start (status 1)\nno teapot at 127.0.0.1:9"
    assert lab.process.wait(DEADLINE_S) == 1


def test_a_part_that_dies_is_started_again(start: Start) -> None:
    lab = start({"one": WELL})
    lab.ready()
    pid = lab.parts()["one"]["pid"]
    os.kill(pid, signal.SIGKILL)

    def is_up_again() -> bool:
        part = lab.parts()["one"]
        return part["state"] == "up" and part["pid"] not in (None, pid)

    eventually(is_up_again, "never up again")
    assert (lab.parts()["one"]["restarts"], lab.parts()["one"]["last_exit"]) == (1, -signal.SIGKILL)


def test_a_part_that_was_killed_on_request_stays_away_until_it_is_started(start: Start) -> None:
    lab = start({"engine-us-east-1": WELL, "edge": WELL})
    lab.ready()
    assert lab.call("POST", "/engines/us-east-1/kill")[0] == 204
    assert (lab.parts()["engine-us-east-1"]["state"], lab.parts()["edge"]["state"]) == ("stopped", "up")
    assert lab.call("POST", "/engines/us-east-1/start")[0] == 204
    assert lab.parts()["engine-us-east-1"]["state"] == "up"
    assert lab.call("POST", "/parts/edge/kill")[0] == 204
    assert lab.parts()["edge"]["state"] == "stopped"


def test_an_unknown_part_is_refused_with_those_that_there_are(start: Start) -> None:
    lab = start({"edge": WELL})
    lab.ready()
    status, body = lab.call("POST", "/parts/egde/kill")
    assert (status, body) == (404, {"error": "no part 'egde': expected one of edge"})


def test_status_tells_the_memory_of_every_process(start: Start) -> None:
    lab = start({"one": WELL})
    lab.ready()
    status = lab.call("GET", "/status")[1]
    assert {part["part"] for part in status["parts"]} == {"supervisor", "one"}
    assert status["pss_kb"] == sum(part["pss_kb"] for part in status["parts"]) > 0


def test_a_part_sees_nothing_of_the_hosts_environment(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the host's")
    lab = start({"one": f"import os; open('environment', 'w').write(repr(sorted(os.environ)))\n{WELL}"})
    lab.ready()
    found = (Path(lab.topology.run_dir) / "environment").read_text()
    assert found == repr(["HOME", "LAB_PARENT_PID", "LANG", "PATH", "TMPDIR"])


def test_a_supervisor_that_is_killed_leaves_remains_that_can_be_cleared(start: Start) -> None:
    lab = start({"one": WELL})
    lab.ready()
    pid = lab.parts()["one"]["pid"]
    lab.process.kill()
    lab.process.wait()
    os.kill(pid, signal.SIGKILL)  # real parts end with their parent by themselves
    assert (is_locked(lab.state_dir), running_instance(lab.state_dir)) == (False, None)
    lock = lock_state(lab.state_dir)
    assert lock is not None
    dead = clear_remains(lab.state_dir)
    os.close(lock)
    assert dead is not None and dead.pid == lab.process.pid
    assert not Path(lab.topology.run_dir).exists()
    assert read_instance(lab.state_dir) is None


def test_a_lab_is_stopped_by_what_its_instance_file_says(start: Start) -> None:
    lab = start({"one": WELL})
    lab.ready()
    instance = running_instance(lab.state_dir)
    assert instance is not None and instance.regions == ("us-east-1",)
    stop_instance(instance, lab.state_dir)
    assert lab.process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("fate", ["removed", "moved", "made again"])
def test_a_lab_whose_state_folder_is_removed_or_moved_ends(start: Start, tmp_path: Path, fate: str) -> None:
    lab = start({"one": WELL})
    lab.ready()
    pid = lab.parts()["one"]["pid"]
    lab.state_dir.rename(tmp_path / "elsewhere")
    if fate == "made again":
        lab.state_dir.mkdir()
        lock = lock_state(lab.state_dir)
        assert lock is not None
        (lab.state_dir / "topology.json").write_text("another lab's")
    elif fate == "removed":
        shutil.rmtree(tmp_path / "elsewhere")
    assert lab.process.wait(DEADLINE_S) == 0
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(lab.topology.run_dir).exists()
    if fate == "made again":
        os.close(lock)
        assert (lab.state_dir / "topology.json").read_text() == "another lab's"


def test_a_lab_whose_folder_was_moved_is_stopped_where_it_is_now(start: Start, tmp_path: Path) -> None:
    lab = start({"one": WELL})
    lab.ready()
    lab.state_dir.rename(tmp_path / "elsewhere")
    instance = running_instance(tmp_path / "elsewhere")
    assert instance is not None
    stop_instance(instance, tmp_path / "elsewhere")
    assert not is_locked(tmp_path / "elsewhere")
    assert lab.process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    "text",
    [
        '{"pid": 1',
        "[]",
        "{}",
        '{"pid": "x", "state_dir": 5, "run_dir": 7, "block": 1, "regions": "ab", "speed": 1, "started_ms": 1}',
        '{"pid": 0, "state_dir": "", "run_dir": "", "block": "", "regions": [], "speed": 1, "started_ms": 1}',
        '{"pid": 1, "state_dir": "", "run_dir": "", "block": "", "regions": 3, "speed": 1, "started_ms": 1}',
        '{"pid": 1, "state_dir": "", "run_dir": "", "block": "", "regions": [], "speed": "q", "started_ms": null}',
    ],
)
def test_an_instance_file_that_was_damaged_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "instance.json").write_text(text)
    assert read_instance(tmp_path) is None
    lock = lock_state(tmp_path)
    assert lock is not None
    with pytest.raises(LabNotRunning, match=r"just starting .* or its file .* was damaged"):
        require_instance(tmp_path, tmp_path)
    assert clear_remains(tmp_path) is None
    os.close(lock)
    with pytest.raises(LabNotRunning, match="no lab runs in"):
        require_instance(tmp_path, tmp_path)


def test_a_run_folder_of_another_name_is_never_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    remove_run_dir(precious)
    assert precious.exists()


def test_a_run_folder_is_removed_though_a_dying_process_still_writes_into_it(tmp_path: Path) -> None:
    run_dir = tmp_path / "lab-busy"
    (run_dir / "functions").mkdir(parents=True)
    end = time.monotonic() + 0.3

    def write() -> None:
        number = 0
        while time.monotonic() < end:
            number += 1
            with contextlib.suppress(FileNotFoundError):
                (run_dir / "functions" / f"file-{number}").touch()

    writer = threading.Thread(target=write)
    writer.start()
    while time.monotonic() < end:
        remove_run_dir(run_dir)
        assert not run_dir.exists()
        (run_dir / "functions").mkdir(parents=True)
    writer.join()
    remove_run_dir(run_dir)
    assert not run_dir.exists()


def test_the_run_folder_of_a_lab_whose_project_is_gone_is_swept_and_others_are_not(tmp_path: Path) -> None:
    gone, lives, strange = (tmp_path / f"lab-{name}" for name in ("gone", "lives", "strange"))
    for folder in (gone, lives, strange):
        folder.mkdir()
    claim_run_dir(gone, tmp_path / "removed" / ".lab")
    claim_run_dir(lives, tmp_path)
    sweep_run_dirs(tmp_path, tmp_path / "another" / ".lab")
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["lab-lives", "lab-strange"]


def test_a_part_that_dies_again_and_again_is_started_ever_later_until_it_runs_well() -> None:
    policy, delays = RestartPolicy(), []
    for _ in range(10):
        policy = policy.after_death(ran_ms=50)
        delays.append(policy.delay_ms)
    assert delays[:4] == [100, 200, 400, 800]
    assert delays[-1] == DELAY_MS_MAX
    assert policy.after_death(ran_ms=GOOD_RUN_MS).delay_ms == 100
