"""The lab in containers, two regions on LocalStack: start, memory, image, a warm call, replication lag.

Needs Docker and the lab's images (`docker compose build`). `python benchmarks/compose_figures.py [--engine ministack]`.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from lab.compose.sdk import docker_client
from lab.testing import RegionContainers
from lab.testing.region import make_client

CALLS = 300
WRITES = 200
EAST, WEST = "us-east-1", "us-west-2"
RUNTIME = "start_runtime.py"


def row(what: str, value: float, unit: str, goal: float | None) -> None:
    """One line of the result."""
    judged = "" if goal is None else f"  (at most {goal:g} {unit}: {'ok' if value <= goal else 'MISSED'})"
    print(f"{what:<58} {value:9.1f} {unit}{judged}", flush=True)


def memory_mb(container: Any) -> float:
    """A container's memory without the cache of files, and without function environments."""
    stats = container.stats(stream=False)["memory_stats"]
    used = stats["usage"] - stats["stats"].get("inactive_file", stats["stats"].get("total_inactive_file", 0))
    top = container.top(ps_args="-eo pid,args")
    environments = sum(pss_kb(int(pid)) for pid, line in top["Processes"] if RUNTIME in line)
    return used / 2**20 - environments / 1024


def pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def lag(regions: RegionContainers) -> None:
    """Writes in the first region, ten a second, and the lag that the replicator saw."""
    dynamodb = regions.client("dynamodb", EAST)
    for n in range(WRITES):
        dynamodb.put_item(TableName="feedback", Item={"feedback_id": {"S": f"lag-{n}"}})
        time.sleep(0.1)
    regions.lab.converged("feedback")
    pairs = regions.lab.status()["parts"]["replicator"]["pairs"]
    pair = next(p for p in pairs if (p["source"], p["target"]) == (EAST, WEST))
    row(f"replication lag p50, {WRITES} writes, 10/s", pair["lag_p50_ms"], "ms", 150)
    row("replication lag p99", pair["lag_p99_ms"], "ms", None)


def warm_call(client: Any, executor: str) -> float:
    """The median of a warm call of a silent function in a LocalStack container of its own, in milliseconds."""
    container = client.containers.run(
        "multi-region-lab/region-localstack:latest",
        detach=True,
        environment={"LAMBDA_RUNTIME_EXECUTOR": executor, "AWS_DEFAULT_REGION": EAST},
    )
    try:
        container.reload()
        address = next(iter(container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
        functions = make_client("lambda", EAST, f"http://{address}:4566")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as package:
            package.writestr("app.py", "def handler(event, context):\n    return None\n")
        deadline = time.monotonic() + 60
        while True:
            try:
                functions.create_function(
                    FunctionName="silent",
                    Runtime="python3.13",
                    Role="arn:aws:iam::000000000000:role/bench",
                    Handler="app.handler",
                    Code={"ZipFile": buffer.getvalue()},
                )
                break
            except (EndpointConnectionError, ConnectionClosedError, ReadTimeoutError):  # it is still starting
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.25)
        functions.get_waiter("function_active_v2").wait(FunctionName="silent")
        samples = []
        for _ in range(CALLS):
            began = time.perf_counter()
            functions.invoke(FunctionName="silent", Payload=b"{}")["Payload"].read()
            samples.append((time.perf_counter() - began) * 1000)
        return statistics.median(samples[CALLS // 6 :])
    finally:
        container.remove(force=True, v=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("localstack", "ministack"), default="localstack")
    parser.add_argument("--no-drill", action="store_true", help="leave out the outage drill before memory is measured")
    options = parser.parse_args()
    client = docker_client()
    base = client.images.get("python:3.13-slim").attrs["Size"]
    row(
        "image of the lab above its base",
        (client.images.get("multi-region-lab/lab:latest").attrs["Size"] - base) / 1e6,
        "MB",
        250,
    )
    began = time.monotonic()
    with RegionContainers(engine=options.engine, speed=1 if options.no_drill else 2, people=True) as regions:
        row("docker compose up --wait, two regions", time.monotonic() - began, "s", 40)
        lag(regions)
        if not options.no_drill:
            from lab.drills import run_drill

            report = run_drill("region_outage", regions.lab)
            print(f"region_outage: {report.verdict}")
        from lab.compose.host import ComposeProject

        containers = ComposeProject(regions.project, client).containers()
        for code in (EAST, WEST):
            row(f"memory of {code}, function environments aside", memory_mb(containers[code]), "MB", 850)
        own = [c for name, c in containers.items() if name not in (EAST, WEST) and not name.startswith("client-")]
        row("memory of the lab's own services together", sum(memory_mb(c) for c in own), "MB", 400)
    if options.engine == "localstack":
        idle, real = warm_call(client, "lab-idle"), warm_call(client, "lab")
        row("a warm call, beyond an executor that does nothing", real - idle, "ms", 3)
        row("  of", real, "ms", None)


main()
