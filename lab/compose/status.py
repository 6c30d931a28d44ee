"""`lab status` of a lab in containers: the parts' own words through control, and the containers' states from Docker."""

from __future__ import annotations

from typing import Any

from lab.cli.project import RunningLab
from lab.core.topology import Topology
from lab.errors import EnvironmentFailure, LabError, LabUnreachable


class ContainerAnswers:
    """What `lab status` asks the parts' sockets on one machine."""

    def __init__(self, lab: RunningLab) -> None:
        self._lab = lab
        self._status: dict[str, Any] | None = None

    def ask(self, topology: Topology, part: str, target: str) -> Any:
        """The decoded answer of `GET target` on a part. Raises LabError."""
        del topology
        match part, target:
            case "supervisor", _:
                return {"parts": self._containers(), "others": [], "pss_kb": None}
            case "replicator", "/status":
                found = self._control_status()["parts"]["replicator"]
                if "error" in found:
                    raise LabUnreachable(f"replicator {found['error']}")
                return found
            case _, "/status/health-checks":
                return self._lab.call("GET", "/api/health-checks")
            case _:
                return self._lab.call("GET", f"/api{target}")

    def _control_status(self) -> dict[str, Any]:
        if self._status is None:
            self._status = dict(self._lab.call("GET", "/api/status"))
        return self._status

    def _containers(self) -> list[dict[str, Any]]:
        """The containers as the supervisor tells of its processes."""
        from lab.compose.host import ComposeLab

        if not isinstance(self._lab, ComposeLab):  # no Docker here
            return []
        try:
            containers = self._lab.project.containers()
        except EnvironmentFailure:
            raise
        except Exception as error:  # the SDK's own errors are many; the user is told in one line
            raise LabError(f"Docker does not answer: {error}") from error
        name = self._lab.project.name
        return [_part(name, service, container) for service, container in sorted(containers.items())]


def _part(project: str, service: str, container: Any) -> dict[str, Any]:
    from lab.compose.docker_faults import missing_networks

    state = container.attrs["State"]
    health = state.get("Health", {}).get("Status")
    condition = state["Status"]
    if condition == "running" and missing_networks(project, service, container):
        condition = "disconnected"
    elif condition == "running":
        condition = "up" if health in (None, "healthy") else health
    return {
        "part": service,
        "state": condition,
        "pid": state.get("Pid") or None,
        "restarts": container.attrs.get("RestartCount", 0),
        "since_ms": 0,
        "last_exit": state.get("ExitCode") if state["Status"] == "exited" else None,
    }
