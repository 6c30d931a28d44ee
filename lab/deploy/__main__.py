"""`python -m lab.deploy TOPOLOGY_PATH PLAN_PATH [--again]`: prepares, waits for a line, deploys, tells it as JSON.

The line on stdin is what says that the lab is up: so the imports of this process overlap with the start of the engines.
The last line on stdout is `{"event": "deployed", ...}` or `{"event": "failed", "message", "status"}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from lab.core import codec
from lab.core.deployment import DeploymentPlan
from lab.core.topology import Topology
from lab.errors import LabError
from lab.supervisor.parent import end_with_parent

_speaking = threading.Lock()


def say(event: dict[str, Any]) -> None:
    """One JSON line on stdout; nobody has to listen."""
    with _speaking, contextlib.suppress(OSError):
        os.write(1, json.dumps(event).encode() + b"\n")


def _end_group(number: int, frame: FrameType | None) -> None:
    """Whoever wanted the deployment is gone: end it with all that it runs, pip and what pip builds included."""
    os.killpg(os.getpgid(0), signal.SIGKILL)  # a group of its own: `lab.cli.starting` starts it as a session


def main() -> int:
    """Deploy once; the exit status."""
    signal.signal(signal.SIGTERM, _end_group)
    end_with_parent(signal.SIGTERM)
    topology_path, plan_path = map(Path, sys.argv[1:3])
    topology = codec.decode(Topology, json.loads(topology_path.read_bytes()))
    plan = codec.decode(DeploymentPlan, json.loads(plan_path.read_bytes()))
    try:
        from lab.deploy.run import Deployment

        deployment = Deployment(topology, plan, say, again="--again" in sys.argv[3:])
        say({"event": "prepared"})
        if not sys.stdin.readline():
            return 1  # whoever wanted the deployment has gone
        result = deployment.run()
    except LabError as error:
        say({"event": "failed", "message": str(error), "status": error.exit_status})
        return error.exit_status
    say({"event": "deployed", **result})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
