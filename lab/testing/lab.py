"""A running lab as tests and drills hold it: places, regions, faults, convergence, waiting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lab.cli.project import Project, RunningLab
from lab.core import codec
from lab.core.deployment import DeploymentPlan
from lab.core.faults import Fault, FaultSet
from lab.core.history import LostWrite
from lab.core.stub_resolver import Habits
from lab.core.topology import Topology
from lab.errors import LabError, UserError
from lab.testing import waiting
from lab.testing.loop_thread import LoopThread
from lab.testing.place import PlaceClient, PlaceConnection
from lab.testing.region import RegionHandle, make_client

T = TypeVar("T")
FAULT_LIMIT_S = 20.0
HEAL_LIMIT_S = 40.0
"""Healing a region that lost its data starts its engine again."""
CALL_TIMEOUT_S = 5.0
CONVERGED_S = 30.0
EVENTUALLY_S = 180.0
"""Detection (three checks, ten seconds apart, of a region that may hang) and a minute's TTL, with room."""


class Lab:
    """A running lab. Close it when done; closing does not stop the lab."""

    def __init__(self, running: RunningLab) -> None:
        self._running = running
        self._thread = LoopThread()
        self._places: dict[tuple[str, Habits], PlaceClient] = {}
        self._connections: list[PlaceConnection] = []
        self._regions = {code: RegionHandle(self, code) for code in running.topology.region_codes}

    @property
    def running(self) -> RunningLab:
        """The lab as the command line reaches it."""
        return self._running

    @property
    def topology(self) -> Topology:
        return self._running.topology

    @property
    def folder(self) -> Path:
        """The project's folder: what `lab -C` takes."""
        return self._running.folder

    @property
    def speed(self) -> float:
        return self.topology.speed

    @property
    def plan(self) -> DeploymentPlan:
        """What is deployed."""
        return self._running.plan()

    @property
    def regions(self) -> tuple[RegionHandle, ...]:
        """All regions, in their order."""
        return tuple(self._regions.values())

    def region(self, code: str) -> RegionHandle:
        """One region. Raises UserError if the lab has none of this code."""
        return self._regions[self._running.region(code)]

    def place(self, name: str, *, habits: Habits = Habits()) -> PlaceClient:  # noqa: B008 - frozen
        """The client in a place whose resolver has these habits, always the same: it remembers. Raises UserError."""
        self._running.place(name)
        if (name, habits) not in self._places:
            connection = PlaceConnection(self.topology, name, habits)
            self._connections.append(connection)
            self._places[name, habits] = PlaceClient(connection, self._thread, self._explain, timeout_s=CALL_TIMEOUT_S)
        return self._places[name, habits]

    def client(self, service: str) -> Any:
        """A boto3 client of the global endpoint: route53, globalaccelerator, iam, sts."""
        address = self.topology.url(self.topology.global_address, self.topology.aws_port)
        return make_client(service, "us-east-1", address)

    def eventually(self, condition: Callable[[], T], *, within_s: float = EVENTUALLY_S) -> T:
        """Ask until the condition is true; return its value. `within_s` is lab seconds. Raises `waiting.NotYet`."""
        return waiting.eventually(condition, within_s=within_s, speed=self.speed)

    def healthy(self, *, within_s: float = EVENTUALLY_S) -> None:
        """Wait until every health check is healthy: of what an earlier test broke they know for a while longer.

        `within_s` is lab seconds. Raises `waiting.NotYet`, which names those that are not.
        """

        def all_healthy() -> bool:
            sick = [check for check, found in self.health_checks().items() if found["status"] != "healthy"]
            assert not sick, f"unhealthy: {', '.join(sick)}"
            return True

        self.eventually(all_healthy, within_s=within_s)

    # Faults

    @property
    def faults(self) -> FaultSet:
        """The faults in force."""
        return FaultSet(
            tuple(codec.decode(Fault, fault) for fault in self._running.call("GET", "/api/faults")["faults"])
        )

    def add_fault(self, fault: dict[str, Any]) -> None:
        """Put a fault in force: the fields of `lab.core.faults.Fault` without its id and time."""
        self._running.call("POST", "/api/faults", fault, limit_s=FAULT_LIMIT_S)

    def lift_fault(self, fault_id: str) -> None:
        """Lift one fault."""
        self._running.call("DELETE", f"/api/faults/{fault_id}", limit_s=HEAL_LIMIT_S)

    def cut(self, source: str, target: str, *, both: bool = True) -> None:
        """Cut the link between two regions: both live on, nothing is replicated between them."""
        ends = (self._running.region(source), self._running.region(target))
        if ends[0] == ends[1]:
            raise UserError(f"a link has two ends; {source} is given twice")
        for a, b in (ends, ends[::-1]) if both else (ends,):
            self.add_fault({"effect": "cut", "region": a, "target": b, "label": f"link {a} to {b} cut"})

    def heal(self) -> None:
        """Lift every fault."""
        self._running.call("DELETE", "/api/faults", limit_s=HEAL_LIMIT_S)

    # What the lab knows

    def converged(self, table: str | None = None, *, within_s: float = CONVERGED_S) -> None:
        """Wait until nothing is left to replicate, of one table or of all. Raises LabError with what is left.

        `within_s` is real seconds: replicating is work, not waiting.
        """
        limit_ms = round(within_s * 1000)
        body = {"table": table, "timeout_ms": limit_ms}
        answer = self._running.call("POST", "/api/converged", body, limit_s=within_s + FAULT_LIMIT_S)
        if not answer.get("converged"):
            raise LabError(f"replication did not finish within {within_s:g} s; left: {answer.get('left')}")

    def lost(self, *, after: int = 0) -> tuple[LostWrite, ...]:
        """The acknowledged writes that died with a region, as the lab reports them; `after` is a `number`."""
        found: list[LostWrite] = []
        while True:
            page = self._running.call("GET", "/api/lost", query={"after": str(after)})["lost"]
            if not page:
                return tuple(found)
            found.extend(map(_lost_write, page))
            after = found[-1].number

    def losses_unknown(self) -> dict[str, str]:
        """Regions of which the lab cannot say now what was lost with them, and why."""
        unknown = self._running.call("GET", "/api/lost")["unknown"]
        return {str(entry["region"]): str(entry["reason"]) for entry in unknown}

    def conflicts(self, *, after: int = 0) -> tuple[dict[str, Any], ...]:
        """The conflicts that the lab has recorded: key, both writes, the winner; `after` is an `n`."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._running.call("GET", "/api/conflicts", query={"after": str(after)})["conflicts"]
            if not page:
                return tuple(found)
            found.extend(page)
            after = found[-1]["n"]

    def health_checks(self) -> dict[str, Any]:
        """Every health check's status, by id, with what each checker says."""
        return dict(self._running.call("GET", "/api/health-checks"))

    def status(self) -> dict[str, Any]:
        """Everything that `lab status` shows."""
        return dict(self._running.call("GET", "/api/status"))

    def _explain(self, name: str, place: str) -> dict[str, Any] | None:
        try:
            answer = self._running.call(
                "GET", "/api/resolve", query={"name": name, "type": "A", "client": self.topology.place(place).subnet}
            )
        except LabError:  # the call went well without control, which only explains it
            return None
        record = answer.get("record")
        return None if record is None else {**record, "reason": answer.get("reason", [])}

    def close(self) -> None:
        """Close the connections that this object holds."""
        for connection in self._connections:
            self._thread.run(connection.close())
        self._connections.clear()
        self._places.clear()
        self._thread.close()


def _lost_write(value: dict[str, Any]) -> LostWrite:
    return LostWrite(
        str(value["table"]),
        key_text(value["key"]),
        int(value["time_ms"]),
        str(value["region"]),
        int(value["n"]),
        str(value.get("reason", "")),
    )


def key_text(key: Any) -> str:
    """The partition key's value out of a key in DynamoDB's JSON, as text."""
    if isinstance(key, str):
        return key
    typed = next(iter(key.values()))
    return str(next(iter(typed.values())) if isinstance(typed, dict) else typed)


def attach(folder: Path | None = None) -> Lab:
    """The lab that runs in a folder, or in the current one or above. Raises LabNotRunning."""
    return Lab(Project.find(folder).running())
