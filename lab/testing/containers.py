"""Regions in containers for a test suite: started when they are needed, gone when it ends.

    with RegionContainers(engine="localstack") as regions:
        regions.client("dynamodb", "us-east-1").list_tables()
        regions.lab.region("us-east-1").fail()

A Compose project of its own name, network and ports, so that it stands beside a lab that runs already. It needs Docker
with Compose and the lab's images (`make images`, or `docker compose build`).
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import lab as lab_package
from lab.compose.bring_up import compose
from lab.errors import EnvironmentFailure, UserError

if TYPE_CHECKING:
    from lab.testing.lab import Lab

START_LIMIT_S = 240.0
STOP_LIMIT_S = 60.0
FIRST_NETWORK, LAST_NETWORK = 78, 127
"""Second numbers of the backbones that tests take (10.78.0.0/16, ...)."""
FIRST_PORT, LAST_PORT = 20_000, 30_000
PORTS = ("GLOBAL", "CONTROL", "DNS", *(f"{kind}_{n}" for n in (1, 2, 3) for kind in ("AWS", "HTTP")))
PORT_PAIRS = ("ACCELERATOR", *(f"BALANCERS_{n}" for n in (1, 2, 3)))
TESTS_PREFIX = "lab-tests-"
REMOVE = ("--profile", "three", "down", "-v", "--remove-orphans", "--timeout", "3")
PEOPLE = ("client-dublin", "client-virginia", "client-tokyo")


def compose_folder() -> Path:
    """Where the lab's docker-compose.yml is. Raises EnvironmentFailure."""
    folder = Path(os.path.realpath(lab_package.__file__)).parent.parent
    if not (folder / "docker-compose.yml").is_file():
        raise EnvironmentFailure(f"no docker-compose.yml in {folder}: regions in containers need the lab's own folder")
    return folder


class RegionContainers:
    """The regions as a context manager; `start` and `stop` are there for fixtures of another shape.

    `three` adds the third region, `people` the client containers. Raises EnvironmentFailure if it does not come up;
    what it had started is gone then.
    """

    def __init__(
        self, *, engine: str = "localstack", speed: float = 1.0, three: bool = False, people: bool = False
    ) -> None:
        if engine not in ("localstack", "ministack"):
            raise UserError(f"engine: expected localstack or ministack, got {engine!r}")
        self.engine, self.three = engine, three
        self._left_out = () if people else PEOPLE
        self.project = f"{TESTS_PREFIX}{os.getpid()}-{id(self) & 0xFFFF:x}"
        self._folder = compose_folder()
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST", "LAB_TAG") if name in os.environ},
            "LAB_ENGINE": engine,
            "LAB_SPEED": f"{speed:g}",
            "COMPOSE_PROJECT_NAME": self.project,
        }
        self._lab: Lab | None = None

    @property
    def lab(self) -> Lab:
        """Everything else that a test may want: places, faults, convergence."""
        assert self._lab is not None, "the regions have not been started"
        return self._lab

    def client(self, service: str, region: str) -> Any:
        """A boto3 client of a region's endpoint."""
        return self.lab.region(region).client(service)

    def engine_address(self, region: str) -> tuple[str, int]:
        """Host and port of a region's engine itself, past its front: for tests of engines, on Linux hosts.

        Another after a restart. Raises EnvironmentFailure if the container has no address.
        """
        from lab.compose.layout import ENGINE_PORT

        container = self._engine(region)
        networks = container.attrs["NetworkSettings"]["Networks"]
        address = networks.get(f"{self.project}_{region}", {}).get("IPAddress")
        if not address:
            raise EnvironmentFailure(f"the container of {region} is {container.status} and has no address")
        return address, ENGINE_PORT

    def restart_engine(self, region: str) -> None:
        """Kill a region's engine and start it again, empty; it answers some seconds later."""
        container = self._engine(region)
        container.kill()
        container.start()

    def run_in_engine(self, region: str, command: Sequence[str]) -> int:
        """Run a command in the container of a region's engine; its exit status."""
        return int(self._engine(region).exec_run(list(command)).exit_code)

    def run(self, service: str, *arguments: str, limit_s: float = START_LIMIT_S) -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm` of a service, such as `drill`. Raises EnvironmentFailure if it takes too long."""
        return self._compose(["run", "--rm", "--no-deps", "-T", service, *arguments], limit_s)

    def _engine(self, region: str) -> Any:
        from lab.compose.host import ComposeLab

        running = self.lab.running
        assert isinstance(running, ComposeLab)
        return running.project.container(running.region(region))

    def start(self) -> RegionContainers:
        """Start, and return when a request went through every region and an item was replicated each way."""
        from lab.compose.host import ComposeProject, attach_project
        from lab.compose.sdk import docker_client
        from lab.testing.lab import Lab

        client = docker_client()
        self._remove_dead(client)
        self._environment |= free_environment(client)
        profiles = ["--profile", "three"] if self.three else []
        scales = [part for service in self._left_out for part in ("--scale", f"{service}=0")]
        try:
            done = self._compose([*profiles, "up", "--wait", "--no-build", *scales], START_LIMIT_S)
            if done.returncode != 0:
                logs = self._compose(["logs", "--no-color", "--tail", "15"], STOP_LIMIT_S).stdout
                raise EnvironmentFailure(f"the regions did not come up: {done.stderr.strip()[-1500:]}\n{logs[-3000:]}")
            folder = Path(self._state())
            self._lab = Lab(attach_project(ComposeProject(self.project, client), folder))
        except BaseException:
            self.stop()
            raise
        return self

    def _remove_dead(self, client: Any) -> None:
        """Remove what test suites left that were killed on this machine: their process ids are in their names."""
        for project in projects_of_tests(client, self._folder):
            pid = project.removeprefix(TESTS_PREFIX).partition("-")[0]
            if pid.isdecimal() and not _is_alive(int(pid)):
                self._compose(["-p", project, *REMOVE], STOP_LIMIT_S)

    def stop(self) -> None:
        """Remove everything: containers, networks, volumes."""
        import shutil

        if self._lab is not None:
            self._lab.close()
            self._lab = None
        done = self._compose(REMOVE, STOP_LIMIT_S)
        shutil.rmtree(self._state(), ignore_errors=True)
        if done.returncode != 0:
            raise EnvironmentFailure(f"the regions of {self.project} were not all removed: {done.stderr.strip()}")

    def _state(self) -> str:
        import tempfile

        return f"{tempfile.gettempdir()}/{self.project}"

    def _compose(self, arguments: Sequence[str], limit_s: float) -> subprocess.CompletedProcess[str]:
        return compose(self._folder, ["-p", self.project, *arguments], limit_s, self._environment)

    def __enter__(self) -> RegionContainers:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_environment(client: Any) -> dict[str, str]:
    """The variables of docker-compose.yml for a network and ports that nobody has. Raises EnvironmentFailure."""
    ports = _free_ports()
    found = {"LAB_BACKBONE": f"10.{_free_network(client)}"}
    found |= {f"LAB_PORT_{name}": str(next(ports)) for name in PORTS}
    return found | {f"LAB_PORT_{name}": _pair(ports) for name in PORT_PAIRS}


def projects_of_tests(client: Any, folder: Path) -> list[str]:
    """The Compose projects of test suites that were started from a folder, running or not."""
    label = f"com.docker.compose.project.working_dir={folder}"
    names = {c.labels["com.docker.compose.project"] for c in client.containers.list(all=True, filters={"label": label})}
    return sorted(name for name in names if name.startswith(TESTS_PREFIX))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _free_network(client: Any) -> int:
    """The second number of a 10.x.0.0/16 that no Docker network has."""
    taken = set()
    for network in client.networks.list():
        for config in (network.attrs.get("IPAM") or {}).get("Config") or ():
            first, _, rest = str(config.get("Subnet", "")).partition(".")
            if first == "10":
                taken.add(int(rest.partition(".")[0]))
    size = LAST_NETWORK - FIRST_NETWORK + 1
    for n in range(size):
        number = FIRST_NETWORK + (os.getpid() + n) % size
        if number not in taken:
            return number
    raise EnvironmentFailure("every network from 10.78.0.0/16 to 10.127.0.0/16 is taken by Docker networks")


def _pair(ports: Iterator[int]) -> str:
    """Two free ports that follow one another, as "first-last"."""
    first = next(ports)
    for second in ports:
        if second == first + 1:
            return f"{first}-{second}"
        first = second
    raise EnvironmentFailure(f"too few ports from {FIRST_PORT} to {LAST_PORT} are free")


def _free_ports() -> Iterator[int]:
    size = LAST_PORT - FIRST_PORT
    for n in range(size):
        port = FIRST_PORT + (os.getpid() * 31 + n) % size
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
