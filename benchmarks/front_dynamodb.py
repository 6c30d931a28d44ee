"""boto3 `put_item` through a region's front beside the same engine called directly on its Unix socket.

    .venv/bin/python benchmarks/front_dynamodb.py [--calls 3000]

One client, one call at a time, both ways in turns of a hundred calls; the same botocore code except for how it
connects. Exits 1 if the front costs more than the bound.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.awsrequest import AWSHTTPConnection
from figures import Figure, print_figures

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "live"))
from front_lab import front_lab

TURN = 100
BOUND = 1.3
DIRECT_HOST = "127.0.0.1"


def connect_directly(path: str) -> None:
    """Have botocore's connections to DIRECT_HOST go to a Unix socket."""
    usual = AWSHTTPConnection._new_conn

    def connect(self: Any) -> socket.socket:
        if self.host != DIRECT_HOST or self.port != 80:
            return usual(self)
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        return sock

    AWSHTTPConnection._new_conn = connect


def put(client: Any, number: int) -> float:
    """Milliseconds of one put_item."""
    started = time.perf_counter()
    client.put_item(TableName="things", Item={"pk": {"S": str(number % 1000)}, "value": {"S": "x" * 100}})
    return (time.perf_counter() - started) * 1000


def measure(calls: int) -> dict[str, list[float]]:
    """Latencies by way."""
    with front_lab() as lab:
        lab.create_table("things")
        lab.replicate("things")
        connect_directly(lab.topology.socket_path("engine-us-east-1"))
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        ways = {
            "direct": boto3.client("dynamodb", endpoint_url=f"http://{DIRECT_HOST}", **keys),
            "front": lab.boto("dynamodb"),
        }
        seen: dict[str, list[float]] = {way: [] for way in ways}
        for client in ways.values():
            for number in range(TURN):
                put(client, number)
        for turn in range(calls // TURN):
            for way, client in ways.items():
                seen[way].extend(put(client, turn * TURN + n) for n in range(TURN))
        return seen


def main() -> int:
    """Measure and print; 1 if the bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    seen = measure(parser.parse_args().calls)
    p50 = {way: statistics.median(values) for way, values in seen.items()}
    p99 = {way: sorted(values)[len(values) * 99 // 100] for way, values in seen.items()}
    figures = [Figure(f"{way}: p50", p50[way], "ms") for way in seen]
    figures += [Figure(f"{way}: p99", p99[way], "ms") for way in seen]
    figures.append(Figure("front / direct, p50", p50["front"] / p50["direct"], "x", BOUND))
    return print_figures("boto3 put_item, one client", figures)


if __name__ == "__main__":
    sys.exit(main())
