"""Starts of the lab in containers that cannot succeed: soon told, with the reason, and nothing is left running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.compose.bring_up import compose, take_down
from lab.compose.sdk import docker_client
from lab.testing.containers import free_environment

pytestmark = pytest.mark.docker
REPOSITORY = Path(__file__).parents[2]
BUILT_FROM = ("docker", "handlers", "lab", "scenarios")
LIMIT_S = 150.0


@dataclass
class Start:
    """A folder like a fresh clone, with a project name, network and ports of its own."""

    folder: Path
    environment: dict[str, str]

    def override(self, text: str) -> None:
        (self.folder / "docker-compose.override.yml").write_text(text)

    def compose(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return compose(self.folder, arguments, LIMIT_S, {**self.environment, **settings})

    def lab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lab.cli", "-C", str(self.folder), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, env=self.environment, check=False
        )

    def running(self) -> list[str]:
        """The services of which a container runs."""
        return self.compose("ps", "--services", "--status", "running").stdout.split()

    def left(self) -> list[str]:
        """Whatever is there of the project: containers, networks, volumes."""
        client = docker_client()
        label = {"label": f"com.docker.compose.project={self.environment['COMPOSE_PROJECT_NAME']}"}
        found = [c.name for c in client.containers.list(all=True, filters=label)]
        found += [network.name for network in client.networks.list(filters=label)]
        return found + [volume.name for volume in client.volumes.list(filters=label)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in BUILT_FROM:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("docker-compose.yml", "pyproject.toml", "requirements.lock", ".dockerignore"):
        shutil.copy2(REPOSITORY / name, folder / name)
    name = f"lab-start-{os.getpid()}"
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "DOCKER_HOST", "LAB_TAG") if key in os.environ}
    found = Start(folder, {**environment, **free_environment(docker_client()), "COMPOSE_PROJECT_NAME": name})
    try:
        yield found
    finally:
        take_down(folder, found.environment)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LAB_SPEED", "fast"), ("LAB_REGIONS", "us-east-1,mars-north-1"), ("LAB_BACKBONE", "10.77.1")],
)
def test_a_wrong_setting_is_named_before_anything_else_starts(start: Start, variable: str, value: str) -> None:
    done = start.compose("up", "--wait", "--no-build", **{variable: value})
    assert done.returncode != 0
    assert start.running() == []
    told = done.stderr + start.compose("logs", "settings").stdout
    assert variable in told or value in told, told


def test_a_region_that_never_gets_healthy_is_named_with_its_last_words_and_nothing_is_left(start: Start) -> None:
    start.override(
        """
services:
  us-west-2:
    entrypoint: [sh, -c, "echo waiting for a disk that is not there; exec sleep infinity"]
    healthcheck: {interval: 1s, retries: 2, start_period: 1s}
"""
    )
    done = start.lab("up", "--containers")
    assert done.returncode == 1, done.stderr
    assert "us-west-2-1 is unhealthy" in done.stderr and "waiting for a disk that is not there" in done.stderr
    assert "Traceback" not in done.stderr
    assert start.left() == []


def test_an_override_with_a_region_that_the_lab_does_not_know_is_told_so(start: Start) -> None:
    start.override(
        """
services:
  front-mars-north-1:
    extends: {service: front-us-east-1, file: docker-compose.yml}
    command: [front, mars-north-1]
    environment: {LAB_PART: front-mars-north-1}
    networks: !override {backbone: {}}
    ports: !override []
"""
    )
    done = start.lab("up", "--containers")
    assert done.returncode == 1, done.stderr
    assert "front-mars-north-1" in done.stderr
    assert "this lab has no region 'mars-north-1', it has us-east-1, us-west-2" in done.stderr
    assert start.left() == []
