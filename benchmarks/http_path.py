"""Requests per second from a socket to a handler and back: the lab's front, the environments alone, and MiniStack.

    .venv/bin/python benchmarks/http_path.py [--seconds 1] [--block 127.60]

In one run and with one load generator (wrk, or ours where it is not installed; 8 keep-alive connections, or one): HTTP
through front, API Gateway's data plane and functions of a lab and, in turns with it, the same environments driven
directly through the Runtime API, in process; MiniStack's own REST API and Lambda. Exits 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import functions_direct
from bare_ministack import BareMiniStack, bare_ministack
from figures import Figure, print_figures
from wrk_output import latency_ms, rate_per_s

from lab.core.function import DEFAULT_MAX_ENVIRONMENTS

HERE = Path(__file__).parent
REGION = "us-east-1"
ALONE_BLOCK = "127.61"
CONNECTIONS = 8
TURNS = 5
WARM_S = 1
COMPARED = ("silent", "printing")
"""Handlers that the environments alone are measured with too."""
HANDLERS = {
    "silent": "def handler(event, context):\n    return {'statusCode': 200, 'body': 'ok'}\n",
    "printing": "def handler(event, context):\n    print('a line')\n    return {'statusCode': 200, 'body': 'ok'}\n",
    "table": (
        "import boto3\n"
        "client = boto3.client('dynamodb')\n"
        "def handler(event, context):\n"
        "    key = {'id': {'S': context.aws_request_id}}\n"
        "    client.put_item(TableName='things', Item={**key, 'value': {'S': 'x'}})\n"
        "    client.get_item(TableName='things', Key=key)\n"
        "    return {'statusCode': 200, 'body': 'ok'}\n"
    ),
}
LAB_TOML = 'regions = ["us-east-1", "us-west-2"]\nhandlers = "handlers"\n' + "".join(
    f'[[functions]]\nname = "{name}"\nfolder = "{name}"\nhandler = "app.handler"\nroutes = ["GET /{name}"]\n'
    "timeout_s = 10\n"
    for name in HANDLERS
)


def load(address: str, port: int, host: str, path: str, connections: int, seconds: int) -> dict[str, float]:
    """Requests per second, p50 and p99 in milliseconds. Any status but 200 ends the benchmark.

    The generator shares the cores with what it measures: wrk takes a quarter of what ours in Python does.
    """
    if shutil.which("wrk") is None:
        return _load_in_python(address, port, host, path, connections, seconds)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Host: {host}"]
    out = subprocess.run(
        [*command, f"http://{address}:{port}{path}"], capture_output=True, text=True, check=True, timeout=90
    ).stdout
    return {"requests_per_s": rate_per_s(out), "p50_ms": latency_ms(out, 50), "p99_ms": latency_ms(out, 99)}


def _load_in_python(address: str, port: int, host: str, path: str, connections: int, seconds: int) -> dict[str, float]:
    command = [HERE / "load_generator.py", address, port, host, "GET", path, connections, seconds]
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=True, timeout=90)
    seen: dict[str, Any] = json.loads(done.stdout)
    if set(seen["statuses"]) != {"200"}:
        raise SystemExit(f"{host}{path} answered {seen['statuses']}")
    return {name: float(seen[name]) for name in ("requests_per_s", "p50_ms", "p99_ms")}


@contextmanager
def lab(block: str, folder: Path) -> Iterator[str]:
    """A lab of the handlers above; gives the address of its first region's front."""
    for name, source in HANDLERS.items():
        (folder / "handlers" / name).mkdir(parents=True)
        (folder / "handlers" / name / "app.py").write_text(source)
    (folder / "lab.toml").write_text(LAB_TOML + '[[tables]]\nname = "things"\nkey = { id = "S" }\n')
    executable = Path(sys.executable).with_name("lab")
    subprocess.run([executable, "up", "--detach", "--block", block], cwd=folder, check=True, capture_output=True)
    try:
        yield f"{block}.1.1"
    finally:
        subprocess.run([executable, "down"], cwd=folder, check=True, capture_output=True)


@contextmanager
def ministack(port: int, folder: Path) -> Iterator[dict[str, str]]:
    """MiniStack alone with the same handlers; gives the path of each one's REST API."""
    with bare_ministack(port, folder) as peer:
        peer.client("dynamodb").create_table(
            TableName="things",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield {name: rest_path(peer, name) for name in HANDLERS}


def rest_path(peer: BareMiniStack, name: str) -> str:
    """Deploy one handler behind a REST API of MiniStack; the path to call it by."""
    arn = peer.create_function(name, HANDLERS[name])
    gateway = peer.client("apigateway")
    api = gateway.create_rest_api(name=name)["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    resource = gateway.create_resource(restApiId=api, parentId=root, pathPart=name)["id"]
    method = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
    gateway.put_method(**method, authorizationType="NONE")
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"
    gateway.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    gateway.create_deployment(restApiId=api, stageName="prod")
    return f"/restapis/{api}/prod/_user_request_/{name}"


async def compare(address: str, turn_s: int) -> dict[str, list[tuple[float, float]]]:
    """Rates through the front and of the environments alone, by handler, in turns, with as many callers as connections.

    The machine's moods last longer than a turn, so they act on both.
    """
    rates: dict[str, list[tuple[float, float]]] = {}
    functions_direct.HANDLERS = {name: HANDLERS[name] for name in COMPARED}
    with functions_direct.prepared(ALONE_BLOCK) as (topology, store):
        async with functions_direct.running(topology, store, DEFAULT_MAX_ENVIRONMENTS) as functions:
            for handler in COMPARED:
                await asyncio.to_thread(load, address, 8080, "api.lab.test", f"/{handler}", CONNECTIONS, WARM_S)
                await functions_direct.load(functions, handler, CONNECTIONS, WARM_S)
                for _ in range(TURNS):
                    seen = await asyncio.to_thread(
                        load, address, 8080, "api.lab.test", f"/{handler}", CONNECTIONS, turn_s
                    )
                    alone = await functions_direct.load(functions, handler, CONNECTIONS, turn_s)
                    rates.setdefault(handler, []).append((seen["requests_per_s"], len(alone) / turn_s))
    return rates


def main() -> int:
    """Measure all three, print, and say whether the bounds were met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=1, help="of each measurement; five turns a comparison")
    parser.add_argument("--block", default="127.60")
    options = parser.parse_args()
    figures: list[Figure] = []
    through: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name, lab(options.block, Path(name)) as address:
        rates = asyncio.run(compare(address, options.seconds))
        for handler in HANDLERS:
            one = load(address, 8080, "api.lab.test", f"/{handler}", 1, 2 * options.seconds)
            if handler in rates:
                through[handler] = statistics.median(seen for seen, _ in rates[handler])
                alone = statistics.median(alone for _, alone in rates[handler])
                figures.append(Figure(f"{handler}: environments alone", alone, "/s"))
            else:
                seen = load(address, 8080, "api.lab.test", f"/{handler}", CONNECTIONS, 3 * options.seconds)
                through[handler] = seen["requests_per_s"]
            figures += [
                Figure(f"{handler}: through the front", through[handler], "/s"),
                Figure(f"{handler}: one connection, p50", one["p50_ms"], "ms"),
                Figure(f"{handler}: one connection, p99", one["p99_ms"], "ms"),
            ]
    beside: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name, ministack(14_566, Path(name)) as paths:
        for handler, path in paths.items():
            load("127.0.0.1", 14_566, "127.0.0.1", path, CONNECTIONS, WARM_S)
            seen = load("127.0.0.1", 14_566, "127.0.0.1", path, CONNECTIONS, 3 * options.seconds)
            beside[handler] = seen["requests_per_s"]
            figures.append(Figure(f"{handler}: MiniStack", beside[handler], "/s"))
    ratio = statistics.median(seen / alone for seen, alone in rates["silent"])
    figures.append(Figure("silent: through the front / environments alone", ratio, "x", 0.6, "at least"))
    for handler, bound in (("silent", 20.0), ("printing", 3.0), ("table", None)):
        times = through[handler] / beside[handler]
        figures.append(Figure(f"{handler}: lab / MiniStack", times, "x", bound, "at least"))
    return print_figures(
        f"{CONNECTIONS} connections unless said otherwise, {TURNS} turns of {options.seconds} s a side", figures
    )


if __name__ == "__main__":
    sys.exit(main())
