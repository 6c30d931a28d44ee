"""Starting and ending a real lab in every way: Ctrl-C, signals, kills, a failed start; nothing is ever left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_lab import START_LIMIT_S, CliLab, make_lab
from waiting import eventually


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[CliLab]:
    made = make_lab(tmp_path)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(made.temporary, ignore_errors=True)


def wait_for_table(process: subprocess.Popen[str]) -> str:
    """Read stdout until the lab is ready."""
    assert process.stdout is not None
    text = ""
    while "Press Ctrl-C to stop" not in text:
        line = process.stdout.readline()
        assert line, f"lab up ended: {text}{process.stderr.read() if process.stderr else ''}"
        text += line
    return text


def close(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=START_LIMIT_S)
    return out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_signals_stop_everything_and_leave_nothing(lab: CliLab, number: signal.Signals) -> None:
    process = lab.foreground()
    table = wait_for_table(process)
    assert f"http://{lab.block}.1.1:4566" in table
    os.killpg(process.pid, number)  # as the terminal does
    _, err = close(process)
    assert process.returncode == 0
    assert "Traceback" not in err
    lab.assert_nothing_left()


def test_a_start_goes_on_though_nobody_reads_its_progress(lab: CliLab) -> None:
    command = " ".join(lab.command("up", "--detach", "--block", lab.block))
    environment = {**os.environ, "TMPDIR": str(lab.temporary)}
    script = ["/bin/bash", "-c", f"set -o pipefail; {command} 2>&1 | head -1"]
    done = subprocess.run(script, cwd=lab.folder, env=environment, timeout=START_LIMIT_S, check=False)
    assert done.returncode == 0
    assert lab.json("status")["ok"] is True


def test_a_storm_of_signals_ends_it_in_order(lab: CliLab) -> None:
    process = lab.foreground()
    wait_for_table(process)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGHUP) * 25:
        process.send_signal(number)
    _, err = close(process)
    assert (process.returncode, "Traceback" in err) == (0, False), err
    lab.assert_nothing_left()


@pytest.mark.parametrize("progress", ["supervisor.log", "instance.json"])
def test_ctrl_c_while_it_starts_leaves_nothing(lab: CliLab, progress: str) -> None:
    process = lab.foreground()
    eventually(lambda: list(lab.state_dir.rglob(progress)), f"no {progress}")
    os.killpg(process.pid, signal.SIGINT)
    _, err = close(process)
    assert "Traceback" not in err
    lab.assert_nothing_left()


def test_a_command_line_that_is_killed_takes_the_lab_with_it(lab: CliLab) -> None:
    process = lab.foreground()
    wait_for_table(process)
    process.kill()
    close(process)
    lab.assert_nothing_left()


def test_a_supervisor_that_is_killed_takes_all_parts_with_it_and_the_next_up_cleans(lab: CliLab) -> None:
    pid = lab.up()["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not lab.pids(), lambda: f"left: {lab.pids()}")
    lab.assert_silent()
    assert "died without cleaning up" in lab.run("status").err
    process = lab.foreground()
    wait_for_table(process)
    process.terminate()
    _, err = close(process)
    assert f"cleared away what a lab that died (pid {pid}) had left" in err
    lab.assert_nothing_left()


def test_down_stops_a_lab_in_the_foreground_too(lab: CliLab) -> None:
    process = lab.foreground()
    wait_for_table(process)
    assert lab.run("down").status == 0
    _, err = close(process)
    assert process.returncode == 0
    assert "the lab was stopped" in err
    lab.assert_nothing_left()


def test_parts_that_are_killed_come_back_and_the_lab_works_on(lab: CliLab) -> None:
    lab.up()
    for name in ("edge", "replicator", "control", "engine-us-west-2"):
        before = {part["part"]: part for part in lab.json("status")["parts"]}[name]
        os.kill(before["pid"], signal.SIGKILL)
        eventually(lambda name=name, before=before: _is_new(lab, name, before["pid"]), f"{name} did not come back")  # type: ignore[misc]
    eventually(lambda: _feedback_everywhere(lab), "the lab does not work any more")


def _is_new(lab: CliLab, name: str, pid: int) -> bool:
    done = lab.run("status", "--json")
    parts = {part["part"]: part for part in json.loads(done.out)["parts"]} if done.out else {}
    return name in parts and parts[name]["state"] == "up" and parts[name]["pid"] != pid


def _feedback_everywhere(lab: CliLab) -> bool:
    written = lab.run("curl", "--json", "--from", "dublin", "-X", "POST", "http://api.lab.test/feedback")
    answer = json.loads(written.out)
    if answer.get("status") != 201:
        return False
    item = json.loads(answer["body"])["feedback_id"]
    read = json.loads(lab.run("curl", "--json", "--from", "tokyo", f"http://api.lab.test/feedback/{item}").out)
    return bool(read.get("status") == 200 and read["region"] == "us-west-2")


def test_a_handler_that_does_not_import_fails_the_start_and_leaves_nothing(lab: CliLab) -> None:
    folder = lab.folder / "mine" / "feedback"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("import no_such_library\n")
    done = lab.run("up", "--block", lab.block, "--handlers", "mine")
    assert done.status == 2
    assert "ModuleNotFoundError: No module named 'no_such_library'" in done.err
    assert "lab/" not in done.err.replace(str(lab.folder), "")
    lab.assert_nothing_left()


def _slow_requirements(lab: CliLab) -> Path:
    """A handler's folder whose requirements pip never finishes building; the file that says that it has begun."""
    folder = lab.folder / "mine" / "feedback"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("def handler(event, context):\n    return {'statusCode': 200}\n")
    slow = lab.folder / "slow"
    slow.mkdir()
    begun = lab.folder / "begun"
    (slow / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "building"\nbackend-path = ["."]\n'
    )
    (slow / "building.py").write_text(
        f"import pathlib, signal\npathlib.Path({str(begun)!r}).touch()\nsignal.pause()\n",
    )
    (folder / "requirements.txt").write_text(f"{slow}\n")
    return begun


def test_ctrl_c_while_pip_installs_ends_pip_too(lab: CliLab) -> None:
    begun = _slow_requirements(lab)
    process = lab.foreground("--handlers", "mine")
    eventually(begun.exists, "pip did not build the package")
    os.killpg(process.pid, signal.SIGINT)
    close(process)
    lab.assert_nothing_left()
    assert list(lab.state_dir.glob("cache/requirements/.*")) == []


@pytest.mark.parametrize("victim", ["lab.cli", "lab.deploy"])
def test_a_kill_while_pip_installs_ends_pip_too(lab: CliLab, victim: str) -> None:
    """Neither the command line nor the deployment can say good-bye to pip: the kernel tells, or the other one."""
    begun = _slow_requirements(lab)
    process = lab.foreground("--handlers", "mine")
    eventually(begun.exists, "pip did not build the package")
    pids = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in lab.pids()}
    (killed,) = (pid for pid, words in pids.items() if victim.encode() in words)
    os.kill(killed, signal.SIGKILL)
    _, err = close(process)
    assert "Traceback" not in err
    lab.assert_nothing_left()


def up_ignoring(lab: CliLab, number: str) -> subprocess.Popen[str]:
    """`lab up` as a shell starts it that has it ignore a signal, `INT` or `HUP`."""
    up = lab.command("up", "--block", lab.block)
    return lab.begin("/bin/sh", "-c", f'trap "" {number}; exec "$@"', "sh", *up)


def test_a_job_in_the_background_ends_at_sigint_and_at_down(lab: CliLab) -> None:
    """A shell has its background jobs ignore SIGINT; `nohup` has them ignore SIGHUP, and means it."""
    for end in ("sigint", "down"):
        process = up_ignoring(lab, "INT")
        wait_for_table(process)
        if end == "sigint":
            process.send_signal(signal.SIGINT)
        else:
            assert lab.run("down").status == 0
        close(process)
        assert process.returncode == 0
        lab.assert_nothing_left()


def test_a_job_that_nohup_started_outlives_its_terminal(lab: CliLab) -> None:
    process = up_ignoring(lab, "HUP")
    wait_for_table(process)
    os.killpg(process.pid, signal.SIGHUP)
    assert lab.json("status")["ok"] is True
    process.terminate()
    close(process)
    lab.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["starting", "running"])
def test_a_drill_that_is_ended_takes_its_own_lab_with_it(lab: CliLab, number: signal.Signals, moment: str) -> None:
    """While its lab starts, and while the drill runs."""
    process = lab.begin(*lab.command("drill", "region_outage", "--speed", "6"))
    if moment == "starting":
        eventually(
            lambda: list(lab.temporary.glob("lab-tests-*/.lab/instance.json")), "the drill starts no lab", START_LIMIT_S
        )
    else:
        eventually(lambda: _sends_load(lab), "the drill sends no load", START_LIMIT_S)
    process.send_signal(number)
    _, err = close(process)
    assert (process.returncode, "Traceback" in err) == (130, False), err
    eventually(lambda: not lab.pids(), lambda: f"processes are left: {lab.pids()}")
    assert list(lab.temporary.iterdir()) == []


def test_a_lab_of_tests_that_are_killed_ends_too(lab: CliLab) -> None:
    program = (
        "import signal\nfrom lab.testing import session\n"
        "session.start('own')\nprint('started', flush=True)\nsignal.pause()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(lab.temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    assert len(lab.pids()) > 5
    process.kill()
    close(process)
    eventually(lambda: not lab.pids(), lambda: f"processes are left: {lab.pids()}")
    assert not list(lab.temporary.glob("lab-tests-*/.lab/instance.json"))


def _sends_load(lab: CliLab) -> bool:
    """Whether writes of a drill have been acknowledged: more than the one of each region that `lab up` makes."""
    journals = list(lab.temporary.glob("lab-tests-*/.lab/journal/*.jsonl"))
    return sum(len(journal.read_bytes().splitlines()) for journal in journals) > 10


def test_a_handler_that_does_not_import_is_not_deployed_over_one_that_works(lab: CliLab) -> None:
    folder = lab.folder / "mine" / "feedback"
    folder.mkdir(parents=True)
    shipped = Path(__file__).parents[2] / "handlers" / "feedback" / "app.py"
    (folder / "app.py").write_text(shipped.read_text())
    lab.up("--handlers", "mine")
    (folder / "app.py").write_text("import no_such_library\n")
    done = lab.run("deploy")
    assert done.status == 2
    assert "ModuleNotFoundError: No module named 'no_such_library'" in done.err
    assert lab.json("curl", "--from", "dublin", "http://api.lab.test/health")["status"] == 200


def test_three_regions_anywhere_are_started_and_replicate(lab: CliLab) -> None:
    up = lab.up("--regions", "us-east-1,eu-west-1,ap-northeast-1")
    assert [region["region"] for region in up["regions"]] == ["us-east-1", "eu-west-1", "ap-northeast-1"]
    assert len(up["replicated"]) == 6
    assert lab.json("dig", "api.lab.test", "--from", "tokyo")["record"]["set_identifier"] == "ap-northeast-1"
    lab.run("down")
    lab.assert_nothing_left()


def test_one_region_is_enough_to_start(lab: CliLab) -> None:
    up = lab.up("--regions", "eu-central-1")
    assert (len(up["regions"]), up["replicated"]) == (1, [])
