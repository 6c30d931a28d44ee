"""The lab's containers from the host: a folder's Compose project, and its addresses as the host reaches them.

Everything is read off the containers themselves, so it holds whoever started them, with whichever variables.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cli.project import RunningLab, read_state
from lab.compose.attach import STATE_FOLDER
from lab.compose.layout import STATE_DIR, topology_of
from lab.compose.sdk import docker_client, docker_sdk
from lab.core import codec
from lab.core.topology import Published, Topology
from lab.errors import EnvironmentFailure, LabUnreachable, UserError
from lab.supervisor.instance import Instance

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
FOLDER = "com.docker.compose.project.working_dir"
BACKBONE_NETWORK = "backbone"
REFILL_LIMIT_S = 90.0
POLL_S = 0.25
TESTS_PREFIX = "lab-tests-"
"""Projects of this name are a test suite's own (`lab.testing.RegionContainers`)."""


@dataclass(frozen=True)
class ComposeProject:
    """A running Compose project of the lab. `client` is a client of the Docker SDK."""

    name: str
    client: Any

    def container(self, service: str) -> Any:
        """A service's container. Raises EnvironmentFailure."""
        found = self.containers().get(service)
        if found is None:
            raise EnvironmentFailure(f"there is no container of {service}: `docker compose up --wait` makes it")
        return found

    def containers(self) -> dict[str, Any]:
        """Every service's container, running or not.

        Those of `docker compose run` are left out, and what ends by itself once it has ended well.
        """
        labels = [f"{PROJECT}={self.name}", "com.docker.compose.oneoff=False"]
        listed = self.client.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        return {container.labels[SERVICE]: container for container in listed if not _has_ended_well(container)}

    def network(self, name: str) -> Any:
        """One of the project's networks."""
        (network,) = self.client.networks.list(
            filters={"label": [f"{PROJECT}={self.name}", f"com.docker.compose.network={name}"]}
        )
        return network


class ComposeLab(RunningLab):
    """A lab in containers, as the command line and tests reach it. It has Docker kill an engine that loses its data."""

    @property
    def folder(self) -> Path:
        """As `RunningLab.folder`."""
        return Path(self.instance.state_dir).parents[1]

    @property
    def processes(self) -> tuple[int, ...]:
        """The containers' first processes; none where Docker has a machine of its own (macOS, Windows)."""
        running = [c for c in self.project.containers().values() if c.status == "running"]
        pids = [(container.attrs["State"]["Pid"], container.id) for container in running]
        return tuple(pid for pid, container_id in pids if _is_process_of(pid, container_id))

    @property
    def project(self) -> ComposeProject:
        """The containers. Raises EnvironmentFailure if Docker does not answer."""
        return ComposeProject(read_state(Path(self.instance.state_dir), "project").decode(), docker_client())

    def call(
        self, method: str, path: str, body: Any = None, *, query: dict[str, str] | None = None, limit_s: float = 10.0
    ) -> Any:
        """As `RunningLab.call`."""
        if method == "DELETE" and path.startswith("/api/faults"):
            self.mend_containers()
        answer = super().call(method, path, body, query=query, limit_s=limit_s)
        if method == "POST" and path == "/api/faults" and isinstance(body, dict) and body.get("lose_data"):
            self.project.container(body["region"]).kill()
        return answer

    def mend_containers(self) -> list[str]:
        """As Compose made them, and the engines filled again."""
        from lab.compose.docker_faults import heal_containers

        runs = self._engine_runs()
        done = heal_containers(self.project)
        if done:
            started = [words.partition(" ")[0] for words in done if not words.endswith(("paused", "disconnected"))]
            self.await_engines({code: runs.get(code) for code in started})
        return done

    def _engine_runs(self) -> dict[str, str | None]:
        """Each engine's run as control knows it; nothing while control does not answer."""
        try:
            engines = super().call("GET", "/api/status")["parts"]["control"]["engines"]
        except LabUnreachable:
            return {}
        return {code: engine["boot"] for code, engine in engines.items()}

    def await_control(self) -> None:
        """Until control answers. Raises LabUnreachable."""
        deadline = time.monotonic() + REFILL_LIMIT_S
        while True:
            try:
                super().call("GET", "/api/faults")
                return
            except LabUnreachable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(POLL_S)

    def await_engines(self, earlier: Mapping[str, str | None] | None = None) -> None:
        """Until control has met and filled every engine; `earlier` are runs that have ended. Raises LabUnreachable."""
        ended = {run for run in (earlier or {}).values() if run is not None}
        deadline = time.monotonic() + REFILL_LIMIT_S
        waiting = "control does not answer"
        while time.monotonic() < deadline:
            try:
                engines = super().call("GET", "/api/status")["parts"]["control"]["engines"]
                missing = [
                    code for code, engine in engines.items() if engine["boot"] is None or engine["boot"] in ended
                ]
                if not missing:
                    return
                waiting = f"{', '.join(missing)} not ready: {[engines[code]['problem'] for code in missing]}"
            except LabUnreachable as error:
                waiting = str(error)
            time.sleep(POLL_S)
        raise LabUnreachable(f"the regions are not back after {REFILL_LIMIT_S:g} s: {waiting}")


def _has_ended_well(container: Any) -> bool:
    restarts = container.attrs["HostConfig"]["RestartPolicy"]["Name"] not in ("", "no")
    state = container.attrs["State"]
    return bool(not restarts and state["Status"] == "exited" and state["ExitCode"] == 0)


def _is_process_of(pid: int, container_id: str) -> bool:
    try:
        return container_id in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def find_project(folder: Path, *, remains: bool = False) -> ComposeProject | None:
    """The Compose project whose file is in a folder, if it has a control, or with `remains` any container.

    Raises EnvironmentFailure.
    """
    client = docker_client()
    labels = [f"{FOLDER}={folder}", "com.docker.compose.oneoff=False"]
    found = client.containers.list(
        all=True, filters={"label": labels if remains else [*labels, f"{SERVICE}=control"]}, ignore_removed=True
    )
    names = sorted({container.labels[PROJECT] for container in found})
    names = [name for name in names if not name.startswith(TESTS_PREFIX)]
    return ComposeProject(names[0], client) if names else None


def attach(folder: Path) -> ComposeLab | None:
    """The lab whose containers were started from a folder; None if there is none. Raises EnvironmentFailure.

    The folder of `Lab.folder` of a test suite's regions has their project's name in place of a docker-compose.yml.
    """
    project = _project_of(folder)
    return None if project is None else attach_project(project, folder)


def revive(folder: Path) -> list[str]:
    """Have control of a folder's lab run and answer; what was done, in words. Raises EnvironmentFailure."""
    from lab.compose.docker_faults import resume

    try:
        project = _project_of(folder)
    except EnvironmentFailure:
        return []  # whoever needs Docker says so
    was = resume(project.container("control")) if project is not None else None
    if project is None or was is None:
        return []
    attach_project(project, folder).await_control()
    return [f"control was {was}"]


def _project_of(folder: Path) -> ComposeProject | None:
    return find_project(folder) if (folder / "docker-compose.yml").is_file() else _named_project(folder)


def _named_project(folder: Path) -> ComposeProject | None:
    project = ComposeProject(read_state(folder / STATE_FOLDER, "project").decode(), docker_client())
    return project if "control" in project.containers() else None


def attach_project(project: ComposeProject, folder: Path) -> ComposeLab:
    """The lab of a project. What the host needs of its state is copied into `folder`. Raises EnvironmentFailure."""
    containers = project.containers()
    control = project.container("control")
    if control.status != "running":
        raise EnvironmentFailure(
            f"the container of control is {control.status}: `lab heal` has it run again, `lab logs control` may say why"
        )
    topology = _topology(containers)
    state = folder / STATE_FOLDER
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("token", "plan.json"):
        (state / name).write_bytes(_read(control, f"{STATE_DIR}/{name}"))
    (state / "token").chmod(0o600)
    authority = read_file(control, f"{STATE_DIR}/certificates/ca.pem")
    if authority is not None:  # made with the first HTTPS listener
        (state / "certificates").mkdir(exist_ok=True)
        (state / "certificates" / "ca.pem").write_bytes(authority)
    (state / "project").write_text(project.name)
    (state / "topology.json").write_text(json.dumps(codec.encode(topology), indent=1))
    instance = Instance(0, str(state), "", topology.block, topology.region_codes, topology.speed, _started_ms(control))
    return ComposeLab(instance, topology)


def _topology(containers: dict[str, Any]) -> Topology:
    from dataclasses import replace

    control = containers["control"]
    environment = dict(entry.split("=", 1) for entry in control.attrs["Config"]["Env"])
    topology = topology_of(environment, third="third-region" in containers)
    published = []
    addresses = {f"front-{region.code}": region.address for region in topology.regions}
    addresses |= {"control": topology.global_address, "resolver": topology.dns_address}
    for service, address in addresses.items():
        container = containers.get(service)
        relayed = topology.relayed_ports(service)
        for port, bindings in (container.attrs["HostConfig"]["PortBindings"] or {}).items() if container else ():
            number = int(port.partition("/")[0])
            for binding in bindings:
                where = relayed.get(number, (address, number))
                published.append(Published(*where, binding["HostIp"] or "127.0.0.1", int(binding["HostPort"])))
    return replace(topology, state_dir="", run_dir="", published=tuple(dict.fromkeys(published)))


def _read(container: Any, path: str) -> bytes:
    data = read_file(container, path)
    if data is None:
        raise UserError(
            "the lab in containers has not been deployed yet: wait for `docker compose up --wait`, "
            "or see `docker compose logs deployment`"
        )
    return data


def read_file(container: Any, path: str) -> bytes | None:
    """A file of a container; None if there is none."""
    try:
        stream, _ = container.get_archive(path)
    except docker_sdk().errors.NotFound:
        return None
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        file = archive.extractfile(archive.getmembers()[0])
        assert file is not None
        return file.read()


def _started_ms(container: Any) -> int:
    from datetime import datetime

    started = container.attrs["State"]["StartedAt"][:19]
    return int(datetime.fromisoformat(f"{started}+00:00").timestamp() * 1000)
