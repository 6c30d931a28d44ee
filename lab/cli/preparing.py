"""Before anything starts: one lab a folder, addresses that are free, and the folders that the parts will use."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shlex
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.cli.project import PLAN, read_state
from lab.config.settings import Settings, make_topology
from lab.core import codec
from lab.core.deployment import DeploymentPlan
from lab.core.topology import Topology
from lab.errors import EnvironmentFailure, UserError
from lab.live.open_files import NEEDED, open_files_allowed
from lab.supervisor.instance import (
    RUN_DIR_PREFIX,
    Instance,
    claim_run_dir,
    clear_remains,
    lock_state,
    read_instance,
    remove_run_dir,
    sweep_run_dirs,
)

SOCKET_PATH_MAX = 107
"""The longest path of a Unix socket, in bytes (unix(7))."""
DATABASE_PATH_MAX = 511
"""The longest path that SQLite opens, in bytes."""
REACH_LIMIT_S = 2.0


@dataclass(frozen=True)
class Prepared:
    """An instance that can be started. `dead` is the lab that died here and was cleared away, if one did.

    `lock` is the descriptor that keeps the state folder from others, until whoever starts the lab has passed it on.
    """

    topology: Topology
    dead: Instance | None
    lock: int


def prepare(settings: Settings, plan: DeploymentPlan) -> Prepared:
    """Make the state and run folders of a new instance.

    Raises UserError if a lab runs here, EnvironmentFailure if an address cannot be had or a file not be written.
    """
    if sys.platform != "linux":
        raise EnvironmentFailure(
            f"this machine ({sys.platform}) has no loopback range 127.0.0.0/8 to put regions on: "
            "run the lab in Docker (`docker compose up`), or on Linux or WSL2"
        )
    state_dir = settings.state_dir
    check_open_files()
    _check_path(state_dir)
    check_temporary_folder(Path(tempfile.gettempdir()))
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (state_dir / "logs").mkdir(exist_ok=True)
        lock = lock_state(state_dir)
    except OSError as error:
        raise EnvironmentFailure(
            f"the lab keeps its state in {state_dir}, which cannot be used ({error.strerror}: {error.filename}): "
            "start it in a folder that you may write to (`lab -C FOLDER up`)"
        ) from error
    if lock is None:
        raise UserError(_running(read_instance(state_dir), settings))
    run_dir: Path | None = None
    try:
        dead = clear_remains(state_dir)
        sweep_run_dirs(Path(tempfile.gettempdir()), state_dir)
        check_addresses(make_topology(settings, run_dir=""))
        run_dir = Path(tempfile.mkdtemp(prefix=RUN_DIR_PREFIX))  # mode 0700
        claim_run_dir(run_dir, state_dir)
        (run_dir / "tmp").mkdir()
        topology = make_topology(settings, run_dir=str(run_dir))
        _write_state(settings, topology, plan)
    except BaseException as error:
        if run_dir is not None:
            remove_run_dir(run_dir)
        os.close(lock)
        if isinstance(error, OSError):
            raise EnvironmentFailure(
                f"the lab's files cannot be written ({error.strerror}: {error.filename or state_dir})"
            ) from error
        raise
    return Prepared(topology, dead, lock)


def _write_state(settings: Settings, topology: Topology, plan: DeploymentPlan) -> None:
    state_dir = settings.state_dir
    for log in (state_dir / "logs").glob("*.log*"):
        log.unlink()
    (state_dir / "topology.json").write_text(json.dumps(codec.encode(topology), indent=1))
    write_plan(state_dir, plan)
    (state_dir / "handlers").write_text("" if settings.handlers is None else str(settings.handlers.resolve()))
    with open(os.open(state_dir / "token", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as token:  # noqa: PTH123
        token.write(secrets.token_urlsafe(32) + "\n")


def _check_path(state_dir: Path) -> None:
    """Whether all parts can name and open their files there. Raises UserError."""
    try:
        size_bytes = len(str(state_dir / "replicator.sqlite-journal").encode())
    except UnicodeEncodeError:
        raise UserError(
            f"the name of the folder {str(state_dir.parent)!r} is not UTF-8: rename it, or use another folder"
        ) from None
    if size_bytes > DATABASE_PATH_MAX:
        raise UserError(
            f"the path of the folder {state_dir.parent} is too long: the lab's files there would have paths of more "
            f"than {DATABASE_PATH_MAX} bytes; use a folder with a shorter one"
        )


def check_open_files() -> None:
    """Whether a process may have enough files open. Raises EnvironmentFailure."""
    allowed = open_files_allowed()
    if allowed is not None and allowed < NEEDED:
        raise EnvironmentFailure(
            f"a process may have {allowed} files open here, and the lab's need up to {NEEDED}: raise the hard limit "
            "(`ulimit -Hn`; /etc/security/limits.conf), or start the lab from a shell without it"
        )


def check_temporary_folder(folder: Path) -> None:
    """Whether the run folder, with its Unix sockets, may be made there. Raises EnvironmentFailure."""
    if len(os.fsencode(folder / f"{RUN_DIR_PREFIX}xxxxxxxx" / "engine-ap-northeast-1.sock")) > SOCKET_PATH_MAX:
        raise EnvironmentFailure(
            f"the path of the temporary folder {folder} is too long for Unix sockets: set TMPDIR to a shorter one, "
            "such as /tmp"
        )


def write_plan(state_dir: Path, plan: DeploymentPlan, name: str = PLAN) -> Path:
    """Write what `lab.deploy` carries out to a file of the state folder."""
    path = state_dir / name
    path.write_text(json.dumps(codec.encode(plan), indent=1))
    return path


def read_handlers_option(state_dir: Path) -> Path | None:
    """The folder of handlers that the running lab was started with, if one was named. Raises LabUnreachable."""
    text = read_state(state_dir, "handlers").decode()
    return Path(text) if text else None


def _running(instance: Instance | None, settings: Settings) -> str:
    if instance is None:
        return f"another lab is just starting in {settings.folder}; wait for it, or stop it with `lab down`"
    return (
        f"a lab runs in {settings.folder} already (pid {instance.pid}, block {instance.block}.0.0/16, "
        f"{', '.join(instance.regions)}): `lab status` shows it, `lab down` stops it; "
        "for a second one use another folder and another block (`lab up --block 127.20`)"
    )


def listening(topology: Topology) -> Iterator[tuple[str, int, str]]:
    """Every address that the lab listens on: address, port, "tcp" or "udp"."""
    everywhere = topology.global_address
    yield everywhere, topology.aws_port, "tcp"
    yield everywhere, topology.control_port, "tcp"
    yield everywhere, topology.dns_port, "tcp"
    yield everywhere, topology.dns_port, "udp"
    for region in topology.regions:
        yield region.address, topology.aws_port, "tcp"
        yield region.address, topology.http_port, "tcp"


def check_addresses(topology: Topology) -> None:
    """Bind every address once, to tell now who is in the way. Raises EnvironmentFailure (AddressInUse)."""
    for number, (address, port, protocol) in enumerate(listening(topology)):
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                if protocol == "tcp":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
                if protocol == "tcp":
                    sock.listen(1)
            except OSError as error:
                raise _explain(error, address, port, protocol) from error
            if number == 0:
                _check_reachable(address, port)


def _check_reachable(address: str, port: int) -> None:
    """An address that can be bound may still be out of reach, in a container without its loopback interface."""
    try:
        socket.create_connection((address, port), REACH_LIMIT_S).close()
    except OSError as error:
        raise EnvironmentFailure(
            f"this machine does not reach its own address {address} ({error.strerror or error}): is the loopback "
            "interface up? `sudo ip link set lo up` brings it up"
        ) from error


def _explain(error: OSError, address: str, port: int, protocol: str) -> EnvironmentFailure:
    from lab.live.listening import AddressInUse, explain_bind_error, holder_of

    holder = holder_of(address, port, protocol=protocol) if error.errno == errno.EADDRINUSE else None
    folder = _lab_folder(holder) if holder else None
    if folder is not None:
        return AddressInUse(
            f"{address}:{port} belongs to the lab of {folder} ({holder}): "
            f"stop that one (`lab -C {shlex.quote(folder)} down`), or choose another block of addresses "
            "(`lab up --block 127.20`, `block` in lab.toml)"
        )
    return explain_bind_error(error, address, port, protocol=protocol)


def _lab_folder(holder: str) -> str | None:
    """The project folder of a holder that is a part of a lab: its command line names the topology."""
    pid = holder.rpartition("pid ")[2].rstrip(")")
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    for argument in arguments:
        path = Path(os.fsdecode(argument))
        if path.name == "topology.json":
            return str(path.parent.parent)
    return None
