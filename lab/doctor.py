"""What a machine offers the lab in containers: Docker, Compose, memory, ports, images, and DynamoDB Local's licence.

`lab doctor` prints it beside what the lab on one machine needs. Each finding says what to do; nothing is changed.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

DOCKER_MIN = (20, 10)
COMPOSE_MIN = (2, 20)
MEMORY_MB_MIN = {"localstack": 4096, "ministack": 2048}
PORTS = {
    "LAB_PORT_GLOBAL": "4566",
    "LAB_PORT_AWS_1": "4567",
    "LAB_PORT_AWS_2": "4568",
    "LAB_PORT_CONTROL": "8000",
    "LAB_PORT_HTTP_1": "8081",
    "LAB_PORT_HTTP_2": "8082",
    "LAB_PORT_DNS": "5300",
    "LAB_PORT_ACCELERATOR": "8102-8103",
    "LAB_PORT_BALANCERS_1": "8110-8111",
    "LAB_PORT_BALANCERS_2": "8120-8121",
}
"""A port, or the first and last of two."""
LIMIT_S = 10.0
REGISTRY_LIMIT_S = 3.0
LICENCE = (
    "LocalStack's DynamoDB is Amazon's DynamoDB Local, whose licence allows it only to holders of an AWS account "
    "(https://aws.amazon.com/dynamodb-local-license-agreement/); without one set LAB_ENGINE=ministack"
)

Run = Callable[[list[str]], tuple[int, str]]


@dataclass(frozen=True)
class Finding:
    """`ok` None is neither good nor bad: something to know."""

    what: str
    ok: bool | None
    found: str


def examine(folder: Path, environment: Mapping[str, str], run: Run | None = None) -> list[Finding]:
    """All findings about containers for the lab in `folder`. `run` runs a command: (status, output)."""
    run = run or _run
    if shutil.which("docker", path=environment.get("PATH")) is None:
        return [
            Finding("Docker", False, "not installed; https://docs.docker.com/get-docker/ (needed for containers only)")
        ]
    docker = _docker(run)
    findings = [docker]
    if not docker.ok:
        return findings
    engine = environment.get("LAB_ENGINE") or "localstack"
    findings += [_compose(run), _memory(run, engine)]
    if not _is_up(run, folder):
        findings += _ports(environment)
    findings += _images(run, environment, engine)
    if engine == "localstack":
        findings.append(Finding("licence", None, LICENCE))
    return findings


def _docker(run: Run) -> Finding:
    status, output = run(["docker", "version", "--format", "{{.Server.Version}}"])
    if status != 0:
        reason = output.strip().splitlines()[-1] if output.strip() else "no answer"
        return Finding("Docker", False, f"installed, but its engine does not answer: start it ({reason})")
    version = _version(output)
    if version < DOCKER_MIN:
        return Finding("Docker", False, f"{output.strip()} is too old: 20.10 or newer is needed")
    return Finding("Docker", True, output.strip())


def _compose(run: Run) -> Finding:
    status, output = run(["docker", "compose", "version", "--short"])
    if status != 0:
        old = shutil.which("docker-compose") is not None
        there = "only Compose v1 (docker-compose), which is no longer maintained" if old else "not installed"
        return Finding("Compose", False, f"{there}: install the plugin, https://docs.docker.com/compose/install/")
    if _version(output) < COMPOSE_MIN:
        return Finding("Compose", False, f"{output.strip()} is too old: 2.20 or newer is needed")
    return Finding("Compose", True, output.strip())


def _memory(run: Run, engine: str) -> Finding:
    status, output = run(["docker", "info", "--format", "{{.MemTotal}}"])
    if status != 0 or not output.strip().isdigit():
        return Finding("memory", None, "Docker does not tell how much it has")
    found, wanted = int(output) // 2**20, MEMORY_MB_MIN.get(engine, 4096)
    if found < wanted:
        where = "Docker Desktop's settings, Resources" if found < _machine_mb() * 0.9 else "a larger machine"
        return Finding("memory", False, f"Docker has {found} MB, two regions on {engine} want {wanted}: {where}")
    return Finding("memory", True, f"Docker has {found} MB")


def _machine_mb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20


def _ports(environment: Mapping[str, str]) -> list[Finding]:
    wrong, taken = [], []
    for variable, default in PORTS.items():
        given = environment.get(variable) or default
        ports = _port_range(given, default.count("-") + 1)
        if ports is None:
            wrong.append(
                f"{variable}: expected {'two ports such as' if '-' in default else 'a port such as'} {default}"
            )
            wrong[-1] += f", got {given!r}"
            continue
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM) if variable == "LAB_PORT_DNS" else (socket.SOCK_STREAM,)
        in_use = [port for port in ports if any(not _is_free(port, kind) for kind in kinds)]
        if in_use:
            other = "-".join(str(port % 50_000 + 10_000) for port in sorted({ports[0], ports[-1]}))
            where = ", ".join(f"127.0.0.1:{port}" for port in in_use)
            taken.append(f"{where} (choose another: {variable}={other} docker compose up)")
    if wrong:
        return [Finding("ports", False, "; ".join(wrong))]
    if taken:
        return [Finding("ports", False, f"in use: {'; '.join(taken)}")]
    return [Finding("ports", True, "free")]


def _port_range(text: str, size: int) -> range | None:
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        return None
    ports = range(int(first), int(last or first) + 1)
    return ports if len(ports) == size and ports[0] >= 1 and ports[-1] <= 65_535 else None


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as sock:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_up(run: Run, folder: Path) -> bool:
    label = f"label=com.docker.compose.project.working_dir={folder}"
    status, output = run(["docker", "ps", "--filter", label, "--format", '{{.Label "com.docker.compose.project"}}'])
    # A test suite's own regions have ports of their own.
    return status == 0 and any(not name.startswith("lab-tests-") for name in output.split())


def _images(run: Run, environment: Mapping[str, str], engine: str) -> list[Finding]:
    """The lab's images, or what they are built on, or a registry to pull that from."""
    if not _missing(run, _own_images(environment, engine)):
        return [Finding("images", True, "the lab's are built")]
    missing = _missing(run, _base_images(environment, engine))
    if not missing:
        return [Finding("images", True, "not built yet; `docker compose up` builds them from images that are here")]
    if _registry_answers():
        return [Finding("images", True, f"not built yet; {', '.join(missing)} will be pulled")]
    return [
        Finding(
            "images",
            False,
            f"{', '.join(missing)} not here, and no registry can be reached: load them from a machine that has them "
            "(`make images` there, `docker load` here; docs/compose.md)",
        )
    ]


def carried_images(environment: Mapping[str, str], run: Run | None = None) -> bool:
    """Whether the lab's images are here without what they are built on: they were made on another machine."""
    run = run or _run
    engine = environment.get("LAB_ENGINE") or "localstack"
    return not _missing(run, _own_images(environment, engine)) and bool(
        _missing(run, _base_images(environment, engine))
    )


def _own_images(environment: Mapping[str, str], engine: str) -> list[str]:
    tag = environment.get("LAB_TAG") or "latest"
    return [f"multi-region-lab/{name}:{tag}" for name in ("lab", f"region-{engine}", "client")]


def _base_images(environment: Mapping[str, str], engine: str) -> list[str]:
    found = [f"python:{environment.get('PYTHON_TAG') or '3.13-slim'}"]
    if engine == "localstack":
        found.append(f"localstack/localstack:{environment.get('LOCALSTACK_TAG') or '4.14.0'}")
    return found


def _missing(run: Run, images: list[str]) -> list[str]:
    return [image for image in images if run(["docker", "image", "inspect", "--format", "{{.Id}}", image])[0] != 0]


def _registry_answers() -> bool:
    try:
        with socket.create_connection(("registry-1.docker.io", 443), timeout=REGISTRY_LIMIT_S):
            return True
    except OSError:
        return False


def _version(text: str) -> tuple[int, ...]:
    numbers = re.findall(r"\d+", text.strip().lstrip("v"))
    return tuple(int(number) for number in numbers[:2])


def _run(command: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr or done.stdout
