"""From a boto3 UPSERT to the DNS answer that shows it, in a zone of 10,000 records: control, its files, push, resolver.

A real control and a real edge run; this process calls the API as a user does and asks the DNS server until the answer
is the new one. Run: `python benchmarks/route53_change.py [RECORDS]`.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from lab.core.topology import Topology, regional_addresses
from lab.data import places
from lab.live.dns_client import make_query, parse_reply
from lab.live.topology_file import write_topology

BLOCK, ZONE, ROUNDS, BATCH = "127.49", "change.test", 40, 500
ROOT = Path(__file__).parents[1]


def start(module: str, topology_path: Path) -> subprocess.Popen[bytes]:
    """A part, ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(topology_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        sys.exit(f"{module} did not start")
    return process


def change(route53: Any, zone_id: str, action: str, records: list[tuple[str, str]]) -> None:
    """One ChangeResourceRecordSets call."""
    changes = [
        {
            "Action": action,
            "ResourceRecordSet": {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": value}]},
        }
        for name, value in records
    ]
    route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": changes})


def address_of(name: str, server: tuple[str, int]) -> str | None:
    """The address that the DNS server tells now."""
    query = make_query(1, name, "A", None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(server)
        sock.send(query)
        reply = parse_reply(sock.recv(4096), query)
    return reply.records[0].value if reply is not None and reply.records else None


def measure(route53: Any, zone_id: str, server: tuple[str, int], records: int) -> None:
    """Print how long the call took, and how long it was until the answer was the new one."""
    calls, answers = [], []
    for number in range(ROUNDS):
        name, value = f"n{number * (records // ROUNDS)}.{ZONE}", f"192.0.2.{number + 1}"
        started = time.monotonic()
        change(route53, zone_id, "UPSERT", [(name, value)])
        calls.append((time.monotonic() - started) * 1000)
        while address_of(name, server) != value:
            assert time.monotonic() - started < 10
        answers.append((time.monotonic() - started) * 1000)
    for word, times in (("call returned", calls), ("answer served", answers)):
        ordered = sorted(times)
        most, nine = ordered[-1], ordered[len(ordered) * 9 // 10]
        print(f"{word}: median {statistics.median(ordered):.1f} ms, 9 of 10 within {nine:.1f} ms, most {most:.1f} ms")


def main(records: int) -> None:
    """Start the parts, fill the zone, measure."""
    with tempfile.TemporaryDirectory(prefix="lab-") as name:
        folder = Path(name)
        (folder / "state").mkdir()
        topology = Topology(
            BLOCK, regional_addresses(BLOCK, ("us-east-1", "us-west-2")), places(), str(folder / "state"), name
        )
        write_topology(folder / "topology.json", topology)
        processes = [start("lab.control", folder / "topology.json"), start("lab.live.edge", folder / "topology.json")]
        try:
            route53 = boto3.Session("lab", "lab", region_name="us-east-1").client(
                "route53",
                endpoint_url=f"http://{topology.global_address}:{topology.aws_port}",
                config=Config(retries={"total_max_attempts": 1}),
            )
            zone_id = route53.create_hosted_zone(Name=ZONE, CallerReference="benchmark")["HostedZone"]["Id"]
            wanted = [(f"n{n}.{ZONE}", f"10.0.{n // 250}.{n % 250}") for n in range(records - 2)]
            started = time.monotonic()
            for first in range(0, len(wanted), BATCH):
                change(route53, zone_id, "CREATE", wanted[first : first + BATCH])
            print(f"{records:,} records made in {time.monotonic() - started:.1f} s")
            measure(route53, zone_id, (topology.dns_address, topology.dns_port), records)
        finally:
            for process in processes:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
