"""`lab up --containers` and its end: Compose, with the machine looked at first and nothing left after a failure.

`docker compose up` alone leaves the containers of a start that failed. Here they are taken down again, after the last
words of those that did not do well.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.compose.attach import STATE_FOLDER
from lab.compose.host import find_project
from lab.compose.layout import topology_of
from lab.doctor import carried_images, examine
from lab.errors import EnvironmentFailure, UserError

BUILD_LIMIT_S = 1800.0
UP_LIMIT_S = 300.0
DOWN_LIMIT_S = 60.0
LOG_LINES = 12
REASONS = (
    (
        r"pull access denied|manifest unknown|not found: manifest|failed to resolve source metadata|no such host|"
        r"i/o timeout|connection refused.*registry|failed to do request",
        "an image cannot be pulled: LOCALSTACK_TAG and PYTHON_TAG name the tags; without a registry load the lab's "
        "images from a machine that has them (docs/compose.md)",
    ),
    (
        r"port is already allocated|address already in use|ports are not available",
        "a port of this machine is taken: `lab doctor` names the port and the variable that moves it",
    ),
    (
        r"service \"settings\" didn't complete",
        "a setting is wrong: `docker compose logs settings` names the variable and what it expects",
    ),
    (r"target stage", "LAB_ENGINE has to be localstack or ministack"),
    (
        r"invalid (hostPort|containerPort|start-port|published)|Invalid (ip|port)",
        "a LAB_PORT_ variable is no port: `lab doctor` names it",
    ),
    (r"Pool overlaps", "another network has these addresses: choose others, LAB_BACKBONE=10.91"),
    (
        r"Cannot connect to the Docker daemon|error during connect",
        "Docker does not answer any more: start it again",
    ),
)


class ContainersUp:
    """One start of the lab in containers from a folder."""

    def __init__(self, folder: Path, *, engine: str | None, speed: float | None, three: bool) -> None:
        self._folder = folder
        self._environment = dict(os.environ)
        if engine is not None:
            self._environment["LAB_ENGINE"] = engine
        if speed is not None:
            self._environment["LAB_SPEED"] = f"{speed:g}"
        self._profiles = ["--profile", "three"] if three else []

    def check(self) -> None:
        """Look before anything starts. Raises UserError, EnvironmentFailure."""
        if not (self._folder / "docker-compose.yml").is_file():
            raise UserError(f"{self._folder} has no docker-compose.yml: call this in the lab's own folder (`lab -C`)")
        topology_of(self._environment)  # refuses settings that every container would refuse
        problems = [f for f in examine(self._folder, self._environment) if f.ok is False]
        if problems:
            told = "\n".join(f"  {problem.what}: {problem.found}" for problem in problems)
            raise EnvironmentFailure(f"the lab cannot run in containers here:\n{told}")
        if find_project(self._folder, remains=True) is not None:
            raise UserError(
                "containers of this folder are there already: `lab status` shows them, `lab down` ends them"
            )

    def start(self) -> None:
        """Build what is missing or has changed, and start. Raises EnvironmentFailure."""
        if not carried_images(self._environment):
            done = compose(self._folder, [*self._profiles, "build", "--quiet"], BUILD_LIMIT_S, self._environment)
            if done.returncode != 0:
                raise EnvironmentFailure(f"the images cannot be built: {explained(done.stderr)}")
        # While Docker has stopped, this tells the other commands that there are containers.
        (self._folder / STATE_FOLDER).mkdir(parents=True, exist_ok=True, mode=0o700)
        done = compose(self._folder, [*self._profiles, "up", "--wait", "--no-build"], UP_LIMIT_S, self._environment)
        if done.returncode != 0:
            raise EnvironmentFailure(f"the containers did not come up: {explained(done.stderr)}{self._last_words()}")

    def undo(self) -> None:
        """Take down whatever is there of it."""
        take_down(self._folder, self._environment)

    def _last_words(self) -> str:
        """The newest log lines of the containers that are not well."""
        try:
            project = find_project(self._folder, remains=True)
        except EnvironmentFailure:
            return ""
        containers = project.containers() if project is not None else {}
        told = []
        for service, container in sorted(containers.items()):
            state = container.attrs["State"]
            health = state.get("Health", {}).get("Status")
            if state["Status"] == "running" and health in (None, "healthy", "starting"):
                continue
            lines = container.logs(tail=LOG_LINES).decode(errors="replace").splitlines()
            words = list(dict.fromkeys(line for line in lines if line.strip()))  # each restart says the same
            if not words and state["Status"] == "created":
                continue  # it never ran
            words = words or ["(it has logged nothing)"]
            condition = health if state["Status"] == "running" else f"{state['Status']} ({state.get('ExitCode')})"
            told.append(f"\n{service} is {condition}:\n" + "\n".join(f"  {line}" for line in words))
        return "".join(told)


def take_down(folder: Path, environment: dict[str, str] | None = None, *, name: str | None = None) -> None:
    """Remove the containers, networks and volumes of a folder's project. Raises EnvironmentFailure."""
    named = [] if name is None else ["-p", name]
    arguments = [*named, "--profile", "three", "--profile", "drill", "down", "-v", "--remove-orphans", "--timeout", "5"]
    done = compose(folder, arguments, DOWN_LIMIT_S, environment or dict(os.environ))
    if done.returncode != 0:
        raise EnvironmentFailure(f"not everything was removed: {explained(done.stderr)}")
    shutil.rmtree(folder / STATE_FOLDER, ignore_errors=True)


def explained(output: str) -> str:
    """What Compose said last, with what to do about it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if re.search(r"(?i)error|fail|unhealthy|exited|denied", line)), "")
    said = said or (lines[-1] if lines else "no reason given")
    for pattern, advice in REASONS:
        if re.search(pattern, output):
            return f"{said}\n{advice}"
    return said


def compose(
    folder: Path, arguments: Sequence[str], limit_s: float, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run Docker Compose on a folder's file. Raises EnvironmentFailure if there is none, or it takes too long."""
    command = ["docker", "compose", "--project-directory", str(folder), *arguments]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=limit_s,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError as error:
        raise EnvironmentFailure("there is no `docker` command: install Docker with Compose") from error
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailure(f"`{' '.join(command)}` took more than {limit_s:g} s") from error
