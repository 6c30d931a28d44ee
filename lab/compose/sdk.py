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


def docker_client() -> Any:
    """A client of the Docker engine. Raises EnvironmentFailure with what is missing."""
    sdk = docker_sdk()
    try:
        return sdk.from_env(timeout=20)
    except sdk.errors.DockerException as error:
        raise EnvironmentFailure(
            f"Docker does not answer ({error}): is it installed and running? `lab doctor` looks"
        ) from error
