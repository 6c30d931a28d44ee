"""One region's engine as a process: MiniStack on a Unix socket, alone in a scrubbed environment.

`python -m lab.engines.ministack TOPOLOGY_PATH REGION` prints `ready` once the socket answers. What the engine adds to
MiniStack is in `ministack_app`; who may call it is the front's business. The start-up of this file is on the lab's
critical path: it imports little.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError, UserError

PR_SET_PDEATHSIG = 1
STOP_LIMIT_S = 4
PARENT_VARIABLE = "LAB_PARENT_PID"
ACCOUNT_ID = "000000000000"


def environment(region: str, run_dir: str, state_dir: str) -> dict[str, str]:
    """The engine's whole environment; nothing of the host's is in it, so no credential and no endpoint either."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": f"{run_dir}/{region}",
        "TMPDIR": f"{run_dir}/{region}",
        "LANG": "C.UTF-8",
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "MINISTACK_REGION": region,
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "STATE_DIR": f"{state_dir}/engine-{region}",
        "S3_DATA_DIR": f"{state_dir}/engine-{region}/s3",
        "DOCKER_HOST": f"unix://{run_dir}/{region}/no-docker.sock",
        "LOG_LEVEL": "WARNING",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run one engine until SIGTERM; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        _die_with_parent()
        if len(arguments) != 2:
            raise UserError("engine: expected two arguments, the path of topology.json and a region's code")
        region, run_dir, state_dir, speed = _read(Path(arguments[0]), arguments[1])
    except LabError as error:
        print(f"engine: {error}", file=sys.stderr, flush=True)
        return error.exit_status
    settings = environment(region, run_dir, state_dir)
    for folder in (run_dir, settings["TMPDIR"], settings["STATE_DIR"]):
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.clear()
    os.environ.update(settings)
    os.umask(0o077)
    return asyncio.run(_serve(f"{run_dir}/engine-{region}.sock", speed))


def _read(path: Path, region: str) -> tuple[str, str, str, float]:
    try:
        topology = json.loads(path.read_bytes())
        run_dir, state_dir, speed = topology["run_dir"], topology["state_dir"], float(topology["speed"])
        regions = [entry["code"] for entry in topology["regions"]]
    except OSError as error:
        raise UserError(f"{path}: cannot read the topology: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a topology: {error!r}") from error
    if region not in regions:
        raise UserError(f"the lab has no region {region!r}; it has {', '.join(regions)}")
    return region, run_dir, state_dir, speed


def _die_with_parent() -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is not None and parent != str(os.getppid()):
        raise UserError("the process that started this one is gone")


async def _serve(socket_path: str, speed: float) -> int:
    from lab.engines.asgi_server import serve_unix
    from lab.engines.ministack_app import EngineApp

    # Tables are large and make no cycles: going through them again and again takes a quarter of the engine's time.
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop_soon, stopping)
    await serve_unix(EngineApp(asyncio.get_running_loop(), speed), socket_path, stopping, _announce)
    return 0


def _stop_soon(stopping: asyncio.Event) -> None:
    signal.alarm(STOP_LIMIT_S)
    stopping.set()


def _announce() -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody has to listen
        print("ready", flush=True)


if __name__ == "__main__":
    sys.exit(main())
