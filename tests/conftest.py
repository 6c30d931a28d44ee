"""Tests with containers need Docker and the lab's images; without, they say that they did not run, and why.

In CI (LAB_REQUIRE_DOCKER=1) they must run.
"""

from __future__ import annotations

import os
import subprocess

import pytest


def why_not() -> str | None:
    """What is missing for tests with containers."""
    try:
        done = subprocess.run(
            ["docker", "image", "inspect", "multi-region-lab/lab:latest"], capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no Docker here: {error}"
    return None if done.returncode == 0 else f"`docker compose build` has not been run: {done.stderr.decode()[:200]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if item.get_closest_marker("docker")]
    reason = why_not() if mine else None
    if reason is None:
        return
    if os.environ.get("LAB_REQUIRE_DOCKER"):
        pytest.exit(f"tests with containers must run here, and cannot: {reason}", returncode=1)
    for item in mine:
        item.add_marker(pytest.mark.skip(reason=reason))
