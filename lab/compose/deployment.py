"""The container that deploys the handlers, proves that it worked, and deploys again when their files change.

`docker compose watch` copies what is edited on the host into its folder; `lab deploy` on the host asks for the same.
It is healthy once a request has gone through every region and an item has been replicated each way.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lab.compose.layout import RUN_DIR
from lab.config.settings import load_settings, make_plan
from lab.core import codec
from lab.core.deployment import DeploymentPlan
from lab.core.topology import Topology
from lab.errors import LabError

FOLDER = Path("/lab")
READY = Path(RUN_DIR) / "deployed"
WAIT_S = 180.0
POLL_S = 0.25
WATCH_S = 1.0
RETRY_S = 2.0


def run_deployment(topology: Topology) -> int:
    """Deploy, then watch the handlers until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    READY.unlink(missing_ok=True)
    seen: object = None
    while True:
        now = _stamp()
        if now != seen:
            seen = now if _deploy(topology, again=seen is not None) else None
        time.sleep(WATCH_S if seen is not None else RETRY_S)


def _deploy(topology: Topology, *, again: bool) -> bool:
    try:
        plan = make_plan(load_settings(FOLDER))
        _publish(topology, plan)
        from lab.deploy.run import Deployment

        _await_engines(topology)
        deployment = Deployment(topology, plan, _say if not again else _quiet)
        result = deployment.run()
    except LabError as error:
        print(f"deployment: {error}", file=sys.stderr, flush=True)
        return False
    READY.write_text(json.dumps(result))
    print("deployment: everything is deployed and answers", flush=True)
    return True


def _publish(topology: Topology, plan: DeploymentPlan) -> None:
    """Say what is deployed, for drills and for the host."""
    path = Path(topology.state_dir) / "plan.json"
    path.write_text(json.dumps(codec.encode(plan), indent=1))


def _await_engines(topology: Topology) -> None:
    """Until control has met every region's engine. Raises LabError."""
    from lab.compose.part_call import call_part
    from lab.errors import LabUnreachable

    deadline, missing = time.monotonic() + WAIT_S, "control does not answer"
    while time.monotonic() < deadline:
        try:
            engines = call_part(topology, "control", "GET", "/status")["engines"]
            waiting = [
                f"{code} ({state['problem'] or 'no answer yet'})"
                for code, state in engines.items()
                if not state["boot"]
            ]
            if not waiting:
                for part in (*topology.edge_parts, "replicator"):
                    call_part(topology, part, "GET", "/health")
                return
            missing = f"waiting for the engines of {', '.join(waiting)}"
        except LabUnreachable as error:
            missing = str(error)
        time.sleep(POLL_S)
    raise LabUnreachable(f"not after {WAIT_S:g} s: {missing}")


def _stamp() -> object:
    """Changes whenever a handler's file does."""
    root = FOLDER / "handlers"
    return sorted(
        (str(path), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def _say(event: dict[str, Any]) -> None:
    if event.get("event") == "step":
        print(f"deployment: {event['step']:<11} {event['detail']}", flush=True)


def _quiet(event: dict[str, Any]) -> None:
    del event
