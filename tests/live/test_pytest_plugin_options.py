"""The pytest plugin where no lab runs: what it costs a project that does not use it, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

USES_LAB = "def test_something(lab):\n    assert lab.topology.regions\n"


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    pytester.makepyfile(USES_LAB)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)


def test_importing_the_plugin_imports_nothing_else_of_the_lab() -> None:
    code = (
        "import sys, lab.pytest_plugin\n"
        "loaded = [name for name in sys.modules if name.split('.')[0] in ('lab', 'boto3', 'moto') and name != 'lab']\n"
        "assert loaded == ['lab.pytest_plugin'], loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=180)


def test_a_project_that_does_not_use_the_lab_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\n\ndef test_it():\n    assert 'lab.testing' not in sys.modules\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_attaching_where_no_lab_runs_says_how_to_start_one(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--lab=attach")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no lab for the tests: no lab runs in *: start one with `lab up`*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("option", ["--engine=localstack", "--lab=containers"])
def test_an_engine_in_containers_without_docker_says_what_is_missing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")  # the discard port: nobody answers
    result = run(pytester, option)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no lab for the tests: Docker does not answer*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("speed", ["0", "-1", "1e9"])
def test_a_speed_out_of_range_is_refused(pytester: pytest.Pytester, speed: str) -> None:
    result = run(pytester, f"--lab-speed={speed}")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*--lab-speed * is out of range*"])


def test_an_unknown_mode_is_refused_with_the_known_ones(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--lab=mine")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--lab: invalid choice: 'mine'*"])


def test_the_options_are_explained_in_the_help(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--help")
    result.stdout.fnmatch_lines(
        ["multi-region lab:", "*--lab={own,attach,containers}*", "*--lab-speed=N*", "*--engine=*"]
    )


def test_the_scenarios_are_collected() -> None:
    scenarios = Path(__file__).parents[2] / "scenarios"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(scenarios)],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    for name in ("test_region_outage.py", "test_region_hang.py", "test_split_brain.py", "test_by_hand.py"):
        assert name in done.stdout
