"""The container that deploys the handlers, proves that it worked, and deploys again when their files change.

`docker compose watch` writes what is saved on the host into the container; `lab deploy` puts a folder `incoming`
into it and waits for the answer (`lab.compose.redeploy`). It is healthy once a request has gone through every region
and an item has been replicated each way.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.compose.layout import HANDLERS_DIR, RUN_DIR
from lab.config.settings import load_settings, make_plan
from lab.core import codec
from lab.core.deployment import DeploymentPlan
from lab.core.topology import Topology
from lab.errors import LabError

FOLDER = Path(HANDLERS_DIR).parent
READY = Path(RUN_DIR) / "deployed"
INCOMING = Path(RUN_DIR) / "incoming"
ANSWERS = Path(RUN_DIR) / "answers"
"""One JSON event a line; the first names the request."""
WAIT_S = 180.0
POLL_S = 0.25
WATCH_S = 1.0
RETRY_MIN_S, RETRY_MAX_S = 2.0, 30.0

Say = Callable[[dict[str, Any]], None]


def run_deployment(topology: Topology) -> int:
    """Deploy, then watch the handlers until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    READY.unlink(missing_ok=True)
    deployed: object = None
    said, retry_s = "", 0.0
    while True:
        answer = _take_incoming()
        files = _stamp()
        if answer is not None or files != deployed:
            problem = _deploy(topology, answer or _say)
            if problem is None:
                deployed, said, retry_s = files, "", 0.0
            else:
                if problem != said:  # tried again and again: said once
                    print(f"deployment: {problem}", file=sys.stderr, flush=True)
                said, retry_s = problem, min(max(2 * retry_s, RETRY_MIN_S), RETRY_MAX_S)
        _wait_for_change(files, retry_s if said else None)


def _wait_for_change(files: object, limit_s: float | None) -> None:
    """Until a file is another, `lab deploy` asks, or the time to try again has come."""
    deadline = None if limit_s is None else time.monotonic() + limit_s
    while deadline is None or time.monotonic() < deadline:
        time.sleep(WATCH_S)
        if _stamp() != files or (INCOMING / "request").exists():
            return


def _take_incoming() -> Say | None:
    """What `lab deploy` brought takes the place of what was here; where its answer goes, None without a request."""
    request = INCOMING / "request"
    if not request.exists():
        return None
    name = request.read_text()
    handlers = Path(HANDLERS_DIR)
    for old in handlers.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for new in (INCOMING / "handlers").iterdir():
        shutil.move(new, handlers / new.name)
    settings = INCOMING / "lab.toml"
    if settings.exists():
        shutil.move(settings, FOLDER / "lab.toml")
    else:
        (FOLDER / "lab.toml").unlink(missing_ok=True)
    shutil.rmtree(INCOMING)
    ANSWERS.write_text(json.dumps({"event": "request", "request": name}) + "\n")

    def answer(event: dict[str, Any]) -> None:
        with ANSWERS.open("a") as file:
            file.write(json.dumps(event) + "\n")
        _say(event)

    return answer


def _deploy(topology: Topology, say: Say) -> str | None:
    """Deploy everything; what went wrong, None if all is well."""
    again = READY.exists()
    try:
        plan = make_plan(replace(load_settings(FOLDER), handlers=Path(HANDLERS_DIR)))
        _publish(topology, plan)
        from lab.deploy.run import Deployment

        _await_engines(topology)
        result = Deployment(topology, plan, say, again=again).run()
    except LabError as error:
        say({"event": "failed", "message": str(error), "status": error.exit_status})
        return str(error)
    READY.write_text(json.dumps(result))
    say({"event": "deployed", **result})
    print("deployment: everything is deployed and answers", flush=True)
    return None


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
    """Changes whenever a handler's file or the settings do."""
    files = [FOLDER / "lab.toml", *Path(HANDLERS_DIR).rglob("*")]
    return sorted(
        (str(path), path.stat().st_mtime_ns) for path in files if path.is_file() and "__pycache__" not in path.parts
    )


def _say(event: dict[str, Any]) -> None:
    if event.get("event") == "step":
        print(f"deployment: {event['step']:<11} {event['detail']}", flush=True)
