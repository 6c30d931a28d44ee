"""What `lab doctor` says of machines that lack something, with the answers of their `docker` command."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.doctor import Finding, carried_images, examine

GOOD = {
    "docker version": (0, "27.0.1\n"),
    "docker compose": (0, "2.29.0\n"),
    "docker info": (0, str(16 * 2**30)),
    "docker ps": (0, ""),
    "docker image": (0, "sha256:1\n"),
}


def examined(tmp_path: Path, answers: dict[str, tuple[int, str]], **environment: str) -> dict[str, Finding]:
    """Findings by name, on a machine with a `docker` command that answers so."""
    command = tmp_path / "docker"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    given = {**GOOD, **answers}

    def run(line: list[str]) -> tuple[int, str]:
        return given[" ".join(line[:2])]

    found = examine(tmp_path, {"PATH": str(tmp_path), **environment}, run)
    return {finding.what: finding for finding in found}


def test_a_machine_that_has_all_of_it_has_no_problem(tmp_path: Path) -> None:
    found = examined(tmp_path, {"docker ps": (0, "abc\n")})
    assert all(finding.ok is not False for finding in found.values())
    assert "AWS account" in found["licence"].found


def test_docker_that_is_absent_is_told(tmp_path: Path) -> None:
    (finding,) = examine(tmp_path, {"PATH": str(tmp_path)})
    assert finding.ok is False and "not installed" in finding.found


def test_docker_that_does_not_run_is_told(tmp_path: Path) -> None:
    found = examined(tmp_path, {"docker version": (1, "Cannot connect to the Docker daemon")})
    assert found["Docker"].ok is False and "start it" in found["Docker"].found


@pytest.mark.parametrize(
    ("command", "answer", "what"),
    [
        ("docker version", (0, "19.03.8\n"), "Docker"),
        ("docker compose", (0, "2.5.0\n"), "Compose"),
        ("docker compose", (1, "docker: 'compose' is not a docker command"), "Compose"),
        ("docker info", (0, str(2**30)), "memory"),
    ],
)
def test_what_is_too_old_or_too_little_is_told(
    tmp_path: Path, command: str, answer: tuple[int, str], what: str
) -> None:
    assert examined(tmp_path, {command: answer})[what].ok is False


def test_a_port_in_use_is_named_with_the_variable_that_moves_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        found = examined(tmp_path, {}, LAB_PORT_CONTROL=str(port))
    assert found["ports"].ok is False
    assert f"127.0.0.1:{port}" in found["ports"].found and "LAB_PORT_CONTROL=" in found["ports"].found


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LAB_PORT_DNS", "dns"), ("LAB_PORT_AWS_1", "70000"), ("LAB_PORT_BALANCERS_1", "8110"), ("LAB_PORT_DNS", "1-2")],
)
def test_what_is_no_port_is_named(tmp_path: Path, variable: str, value: str) -> None:
    found = examined(tmp_path, {}, **{variable: value})["ports"]
    assert found.ok is False and variable in found.found and repr(value) in found.found


def test_of_two_ports_the_one_in_use_is_named_and_both_are_moved(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        found = examined(tmp_path, {}, LAB_PORT_ACCELERATOR=f"{port}-{port + 1}")["ports"]
    assert found.ok is False and f"127.0.0.1:{port}" in found.found
    assert re.search(r"LAB_PORT_ACCELERATOR=\d+-\d+ ", found.found)


def test_images_that_were_carried_here_are_not_built_again() -> None:
    def only(*here: str) -> Callable[[list[str]], tuple[int, str]]:
        return lambda line: (0, "") if any(name in line[-1] for name in here) else (1, "no such image")

    assert carried_images({}, only("multi-region-lab/"))
    assert not carried_images({}, only("multi-region-lab/", "python", "localstack"))
    assert not carried_images({}, only("multi-region-lab/lab", "multi-region-lab/client"))
    assert not carried_images({"LAB_ENGINE": "ministack"}, only("multi-region-lab/", "python"))


def test_ministack_regions_need_no_licence(tmp_path: Path) -> None:
    assert "licence" not in examined(tmp_path, {"docker ps": (0, "abc\n")}, LAB_ENGINE="ministack")
