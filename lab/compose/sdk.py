"""The Docker SDK, imported when it is needed: who never uses containers need not have it."""

from __future__ import annotations

import importlib
from typing import Any

from lab.errors import EnvironmentFailure


def docker_sdk() -> Any:
    """The package `docker`. Raises EnvironmentFailure if it is not installed."""
    try:
        sdk = importlib.import_module("docker")
        sdk.from_env  # noqa: B018 - a folder called docker is no package
    except (ImportError, AttributeError) as error:
        raise EnvironmentFailure(
            "the Python package `docker` is missing: `make install` installs it, "
            "or pip install 'multi-region-lab[containers]'"
        ) from error
    return sdk


def docker_failure(error: BaseException) -> EnvironmentFailure | None:
    """What Docker refused in the middle of a command, or that it is gone; None for an error of something else."""
    match type(error).__module__.partition(".")[0]:
        case "docker":
            from lab.compose.bring_up import explained

            return EnvironmentFailure(
                f"Docker refused it: {explained(getattr(error, 'explanation', '') or str(error))}"
            )
        case "requests" | "urllib3":
            return EnvironmentFailure(f"Docker does not answer any more ({error}): is it running? `lab doctor` looks")
        case _:
            return None


def docker_client() -> Any:
    """A client of the Docker engine. Raises EnvironmentFailure with what is missing."""
    sdk = docker_sdk()
    try:
        return sdk.from_env(timeout=20)
    except sdk.errors.DockerException as error:
        raise EnvironmentFailure(
            f"Docker does not answer ({error}): is it installed and running? `lab doctor` looks"
        ) from error
