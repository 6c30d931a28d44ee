"""Requests per second through a load balancer to a function, the environments alone, and MiniStack's load balancer.

    .venv/bin/python benchmarks/alb_path.py [--seconds 4] [--block 127.48]

One process holds the load balancer and the functions, as the edge does; the load generator is another. Driving the same
environments directly, in that process, is the base. Exits 1 if the bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import functions_direct
import orjson
from bare_ministack import bare_ministack
from figures import Figure, print_figures

from lab.core import codec
from lab.core.function import Functions, Permission
from lab.core.load_balancer import (
    Action,
    LoadBalancer,
    LoadBalancerListener,
    LoadBalancers,
    Rule,
    Target,
    TargetGroup,
    TargetGroupTuple,
)
from lab.live.clock import Clock
from lab.live.functions import NoLogSink, RegionFunctions
from lab.live.load_balancer import RegionLoadBalancers

REGION = functions_direct.REGION
PREFIX = f"arn:aws:elasticloadbalancing:{REGION}:000000000000"
GROUP = f"{PREFIX}:targetgroup/silent/1"
HANDLER = (
    "def handler(event, context):\n"
    "    return {'statusCode': 200, 'isBase64Encoded': False, 'headers': {'Content-Type': 'text/html'}, 'body': 'ok'}\n"
)
CONNECTIONS = 8


async def generate(address: str, port: int, path: str, connections: int, seconds: float) -> dict[str, Any]:
    """What the load generator, in a process of its own, saw."""
    script = str(Path(__file__).with_name("load_generator.py"))
    arguments = [address, port, "localhost", "GET", path, connections, seconds]
    process = await asyncio.create_subprocess_exec(sys.executable, script, *map(str, arguments), stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    seen: dict[str, Any] = json.loads(out)
    if set(seen["statuses"]) != {"200"}:
        raise SystemExit(f"{address}:{port}{path} answered {seen['statuses']}")
    return seen


async def through_balancer(block: str, seconds: float) -> tuple[dict[str, Any], dict[str, Any], float]:
    """The load balancer under eight connections and one, and the environments alone, per second."""
    functions_direct.HANDLERS = {"silent": HANDLER}
    with functions_direct.prepared(block) as (topology, store):
        (silent,) = store.get(Functions).functions
        allowed = Permission("alb", "elasticloadbalancing.amazonaws.com")
        documents = Functions((replace(silent, permissions=(allowed,)),))
        store.put("functions", orjson.dumps(codec.encode(documents)))
        rule = Rule("r", 0, (Action("forward", target_groups=(TargetGroupTuple(GROUP),)),))
        balancer = LoadBalancer(
            f"{PREFIX}:loadbalancer/app/silent/1",
            REGION,
            "silent",
            "silent.elb.amazonaws.com",
            f"{block}.1.10",
            0,
            listeners=(LoadBalancerListener("l", "HTTP", 80, (rule,)),),
        )
        target = Target(f"arn:aws:lambda:{REGION}:000000000000:function:silent")
        group = TargetGroup(GROUP, REGION, "silent", "lambda", targets=(target,))
        store.put("load_balancers", orjson.dumps(codec.encode(LoadBalancers((balancer,), (group,)))))
        functions = RegionFunctions(
            topology, REGION, store, Clock(), endpoint_url="http://127.0.0.1:1", logs=NoLogSink(), environments_max=2
        )
        balancers = RegionLoadBalancers(topology, REGION, store, Clock(), functions)
        await functions.start()
        await balancers.start()
        try:
            at = (balancer.address, topology.http_port, "/")
            await generate(*at, CONNECTIONS, 0.5)
            eight = await generate(*at, CONNECTIONS, seconds)
            one = await generate(*at, 1, seconds / 2)
            alone = len(await functions_direct.load(functions, "silent", CONNECTIONS, seconds)) / seconds
        finally:
            await balancers.close()
            await functions.close()
    return eight, one, alone


@contextmanager
def ministack(port: int, folder: Path) -> Iterator[str]:
    """MiniStack alone with the same handler behind its own load balancer; gives the path to call it by."""
    with bare_ministack(port, folder) as peer:
        elb, arn = peer.client("elbv2"), peer.create_function("silent", HANDLER)
        made = elb.create_target_group(Name="silent", TargetType="lambda")
        group = made["TargetGroups"][0]["TargetGroupArn"]
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": arn}])
        balancer = elb.create_load_balancer(Name="silent", Subnets=["subnet-a", "subnet-b"])["LoadBalancers"][0]
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
        )
        yield "/_alb/silent/"


def main() -> int:
    """Measure, print, and say whether the bound was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--block", default="127.48")
    options = parser.parse_args()
    eight, one, alone = asyncio.run(through_balancer(options.block, options.seconds))
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder, ministack(14_567, Path(folder)) as path:
        beside = asyncio.run(generate("127.0.0.1", 14_567, path, CONNECTIONS, options.seconds))
    rate = eight["requests_per_s"]
    return print_figures(
        "a load balancer before a silent function, two environments",
        [
            Figure("through the load balancer", rate, "/s"),
            Figure("p99, eight connections", eight["p99_ms"], "ms"),
            Figure("p50, one connection", one["p50_ms"], "ms"),
            Figure("environments alone", alone, "/s"),
            Figure("MiniStack's load balancer", beside["requests_per_s"], "/s"),
            Figure("through the load balancer / environments alone", rate / alone, "x", 0.5, "at least"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
