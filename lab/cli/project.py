"""The project that a command is about: its folder, its state, its running lab, and calls to that lab's control."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from lab.config.settings import STATE_FOLDER, project_folder, suggestion
from lab.core import codec
from lab.core.deployment import DeploymentPlan
from lab.core.topology import Place, Topology
from lab.errors import LabError, LabUnreachable, UserError
from lab.supervisor.instance import Instance, require_instance, running_instance

PLAN = "plan.json"
"""The file of the state folder that says what is deployed."""
CALL_LIMIT_S = 10.0
ERROR_TEXT_MAX = 300
T = TypeVar("T")


@dataclass(frozen=True)
class Project:
    """A project folder; `Project.find` looks for it from the current folder upwards."""

    folder: Path

    @classmethod
    def find(cls, folder: Path | None = None) -> Project:
        """The project of a folder, or the one that the current folder is in."""
        try:
            return cls(folder.resolve()) if folder is not None else cls(project_folder(Path.cwd()))
        except FileNotFoundError as error:
            raise UserError("the current folder does not exist any more: change to another (`cd`)") from error

    @property
    def state_dir(self) -> Path:
        return self.folder / STATE_FOLDER

    def instance(self) -> Instance:
        """The running lab. Raises LabNotRunning."""
        return require_instance(self.folder, self.state_dir)

    def running(self) -> RunningLab:
        """The running lab with what it is made of: this machine's, or the one in containers. Raises LabNotRunning."""
        if running_instance(self.state_dir) is None:
            from lab.compose.attach import find_lab

            contained = find_lab(self.folder)
            if contained is not None:
                return contained
        instance = self.instance()
        return RunningLab(instance, _decoded(Topology, Path(instance.state_dir), "topology.json"))


def read_state(state_dir: Path, name: str) -> bytes:
    """A file of a lab that was running a moment ago. Raises LabUnreachable if it went with its lab."""
    try:
        return (state_dir / name).read_bytes()
    except OSError as error:
        raise LabUnreachable(
            f"the lab's file {state_dir / name} cannot be read ({error.strerror}): the lab has just ended, or its "
            "files were removed (`lab down` ends what is left of it); `lab up` starts it anew"
        ) from error


def _decoded(cls: type[T], state_dir: Path, name: str) -> T:
    """A value that is kept in a file of a running lab. Raises LabUnreachable."""
    try:
        return codec.decode(cls, json.loads(read_state(state_dir, name)))
    except ValueError as error:
        raise LabUnreachable(
            f"the lab's file {state_dir / name} was damaged ({error}): `lab down` ends the lab, `lab up` starts another"
        ) from error


@dataclass(frozen=True)
class RunningLab:
    """A running lab, as the command line reaches it."""

    instance: Instance
    topology: Topology

    @property
    def folder(self) -> Path:
        """The project's folder: what `lab -C` takes."""
        return Path(self.instance.state_dir).parent

    @property
    def keeps_data(self) -> str | None:
        """Why a fault cannot lose a region's data from here; None where it can."""
        return None

    @property
    def processes(self) -> tuple[int, ...]:
        """The processes of this machine that all others of the lab come from; none if it runs elsewhere."""
        return (self.instance.pid,) if self.instance.pid else ()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        limit_s: float = CALL_LIMIT_S,
    ) -> Any:
        """Call control's token API; the decoded answer. Raises UserError for a 4xx, LabUnreachable, LabError."""
        address, port = self.topology.reachable(self.topology.global_address, self.topology.control_port)
        connection = http.client.HTTPConnection(address, port, timeout=limit_s)
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        try:
            target = f"{path}?{urlencode(query)}" if query else path
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise LabUnreachable(
                f"control does not answer at {address}:{port} ({error}); `lab logs control` may say why"
            ) from error
        finally:
            connection.close()
        value = _json(data)
        if response.status >= 400:
            text = value.get("error") if isinstance(value, dict) else None
            said = data.decode(errors="replace").strip()[:ERROR_TEXT_MAX]
            kind = UserError if response.status < 500 else LabError
            raise kind(str(text or f"{method} {path} answered {response.status}: {said or 'nothing'}"))
        return value

    def mend_containers(self) -> list[str]:
        """Put right what happened to the lab's containers, in words; a lab without containers has nothing to mend."""
        return []

    def plan(self) -> DeploymentPlan:
        """What was deployed last."""
        return _decoded(DeploymentPlan, Path(self.instance.state_dir), PLAN)

    def place(self, name: str) -> Place:
        """A place by name. Raises UserError."""
        try:
            return self.topology.place(name)
        except KeyError:
            known = [place.name for place in self.topology.places]
            raise UserError(
                f"unknown place {name!r}: {suggestion(name, known)}; `lab status --places` lists all"
            ) from None

    def region(self, code: str) -> str:
        """A region's code, if the lab has it. Raises UserError."""
        if code not in self.topology.region_codes:
            raise UserError(f"this lab has no region {code!r}: {suggestion(code, self.topology.region_codes)}")
        return code

    def _token(self) -> str:
        return read_state(Path(self.instance.state_dir), "token").decode().strip()


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None
