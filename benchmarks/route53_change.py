"""From a change to the DNS answer that shows it, in a zone of 10,000 records with 200 health checks that probe.

Control, edge and replicator run as in a lab; this process calls the APIs as a user does and asks the DNS server until
the answer is the new one: records made, changed and deleted, a routing control switched, a health check reported.
Run: `python benchmarks/route53_change.py [RECORDS]`; exit status 1 if a bound was missed.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import orjson
from botocore.config import Config
from figures import Figure, print_figures

from lab.core.topology import Topology, regional_addresses
from lab.data import places
from lab.live.dns_client import make_query, parse_reply
from lab.live.topology_file import write_topology

BLOCK, ZONE, ROUNDS, BATCH, CHECKS = "127.49", "change.test", 40, 500, 200
ANSWER_MS_MAX = 50.0
MEMORY_MB_MAX = 150.0
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


def record(name: str, value: str, **fields: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": value}], **fields}


class Changes:
    """The calls that are measured, each until the DNS server answers with what it made."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._session = boto3.Session("lab", "lab", region_name="us-east-1")
        self.route53, self._config = self.client("route53"), self.client("route53-recovery-control-config")
        self._cluster = self.client("route53-recovery-cluster")
        self.zone_id = self.route53.create_hosted_zone(Name=ZONE, CallerReference="benchmark")["HostedZone"]["Id"]

    def client(self, service: str) -> Any:
        endpoint = f"http://{self._topology.global_address}:{self._topology.aws_port}"
        return self._session.client(service, endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1}))

    def change(self, action: str, *records: dict[str, Any]) -> None:
        """One ChangeResourceRecordSets call."""
        changes = [{"Action": action, "ResourceRecordSet": record} for record in records]
        self.route53.change_resource_record_sets(HostedZoneId=self.zone_id, ChangeBatch={"Changes": changes})

    def fill(self, records: int) -> None:
        """Plain records, and health checks that probe the data plane."""
        names = [f"n{n}.{ZONE}" for n in range(records)]
        for first in range(0, records, BATCH):
            self.change("CREATE", *(record(name, "10.0.0.1") for name in names[first : first + BATCH]))
        address = self._topology.regions[0].address
        for number in range(CHECKS - 2):  # two more are switched and reported, and an account has 200
            self.health_check(f"c{number}", Type="HTTP", IPAddress=address, Port=80, ResourcePath="/health")

    def health_check(self, reference: str, **config: Any) -> str:
        made = self.route53.create_health_check(CallerReference=reference, HealthCheckConfig=config)
        return str(made["HealthCheck"]["Id"])

    def failover(self, name: str, health_check_id: str) -> None:
        """192.0.2.1 while the check is healthy, else 192.0.2.2."""
        primary = {"SetIdentifier": "p", "Failover": "PRIMARY", "HealthCheckId": health_check_id}
        secondary = record(name, "192.0.2.2", SetIdentifier="s", Failover="SECONDARY")
        self.change("CREATE", record(name, "192.0.2.1", **primary), secondary)

    def routing_control(self) -> str:
        """The ARN of a new routing control."""
        cluster = self._config.create_cluster(ClusterName="c")["Cluster"]["ClusterArn"]
        made = self._config.create_routing_control(ClusterArn=cluster, RoutingControlName="r")
        return str(made["RoutingControl"]["RoutingControlArn"])

    def switch(self, arn: str, state: str) -> None:
        self._cluster.update_routing_control_state(RoutingControlArn=arn, RoutingControlState=state)

    def report(self, health_check_id: str, *, healthy: bool) -> None:
        """What `lab fault health` does."""
        self.token_call("DELETE", "/api/faults")
        fault = {"effect": "health_reported", "health_check_id": health_check_id, "healthy": healthy}
        self.token_call("POST", "/api/faults", fault)

    def token_call(self, method: str, path: str, body: Any = None) -> None:
        token = (Path(self._topology.state_dir) / "token").read_text().strip()
        url = f"http://{self._topology.global_address}:{self._topology.control_port}{path}"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else orjson.dumps(body)
        with urlopen(Request(url, data, headers, method=method), timeout=10):
            pass

    def address(self, name: str) -> str | None:
        """The address that the DNS server tells now."""
        query = make_query(1, name, "A", None)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect((self._topology.dns_address, self._topology.dns_port))
            sock.send(query)
            reply = parse_reply(sock.recv(4096), query)
        return reply.records[0].value if reply is not None and reply.records else None

    def timed_ms(self, call: Callable[[], None], name: str, value: str | None) -> tuple[float, float]:
        """How long a call took, and how long it was until the answer was the new one."""
        assert self.address(name) != value
        started = time.monotonic()
        call()
        called = time.monotonic()
        while self.address(name) != value:
            assert time.monotonic() - started < 10
        return (called - started) * 1000, (time.monotonic() - started) * 1000


def measure(changes: Changes, records: int) -> dict[str, list[tuple[float, float]]]:
    """The times of every kind of change."""
    checked = changes.health_check("reported", Type="HTTP", IPAddress=f"{BLOCK}.1.1", Port=80)
    control = changes.routing_control()
    switched = changes.health_check("switched", Type="RECOVERY_CONTROL", RoutingControlArn=control)
    changes.failover(f"reported.{ZONE}", checked)
    changes.failover(f"switched.{ZONE}", switched)
    times: dict[str, list[tuple[float, float]]] = {}
    for number in range(ROUNDS):
        value = f"192.0.2.{number + 1}"
        old, new = f"n{number * (records // ROUNDS)}.{ZONE}", f"a.new{number}.{ZONE}"
        flipped = "192.0.2.2" if number % 2 else "192.0.2.1"
        switch, report = ("Off", False) if number % 2 else ("On", True)
        if not number:
            changes.report(checked, healthy=False)

        def upsert(old: str = old, value: str = value) -> None:
            changes.change("UPSERT", record(old, value))

        def create(new: str = new, value: str = value) -> None:
            changes.change("CREATE", record(new, value))

        def delete(new: str = new, value: str = value) -> None:
            changes.change("DELETE", record(new, value))

        def flip(state: str = switch) -> None:
            changes.switch(control, state)

        def tell(healthy: bool = report) -> None:
            changes.report(checked, healthy=healthy)

        for word, call, name, wanted in (
            ("UPSERT of a record", upsert, old, value),
            ("CREATE of a name", create, new, value),
            ("DELETE of a name", delete, new, None),
            ("routing control switched", flip, f"switched.{ZONE}", flipped),
            ("health reported", tell, f"reported.{ZONE}", flipped),
        ):
            times.setdefault(word, []).append(changes.timed_ms(call, name, wanted))
    return times


def report(times: dict[str, list[tuple[float, float]]], memory_mb: float, records: int) -> int:
    """Print the figures; the exit status."""
    figures = []
    for word, pairs in times.items():
        calls, answers = ([pair[n] for pair in pairs] for n in (0, 1))
        most = max(answers)
        nine = sorted(answers)[len(answers) * 9 // 10]
        figures += [
            Figure(f"{word}: call returned, median", statistics.median(calls), "ms"),
            Figure(f"{word}: answer served, median", statistics.median(answers), "ms", ANSWER_MS_MAX),
            Figure(f"{word}: answer served, 9 of 10", nine, "ms", ANSWER_MS_MAX),
            Figure(f"{word}: answer served, most", most, "ms"),
        ]
    figures.append(Figure("memory of the whole edge", memory_mb, "MB", MEMORY_MB_MAX))
    load = os.getloadavg()[0]
    return print_figures(f"Change to answer, {records:,} records, {CHECKS} health checks (load {load:.1f})", figures)


def main(records: int) -> int:
    """Start the parts, fill the zone, measure."""
    with tempfile.TemporaryDirectory(prefix="lab-") as name:
        folder = Path(name)
        (folder / "state").mkdir()
        topology = Topology(
            BLOCK, regional_addresses(BLOCK, ("us-east-1", "us-west-2")), places(), str(folder / "state"), name
        )
        write_topology(folder / "topology.json", topology)
        parts = ("lab.control", "lab.live.edge", "lab.live.replicator")
        processes = [start(part, folder / "topology.json") for part in parts]
        try:
            changes = Changes(topology)
            started = time.monotonic()
            changes.fill(records - 8)  # with SOA, NS, two failover pairs and one that comes and goes
            print(f"{records:,} records and {CHECKS} health checks made in {time.monotonic() - started:.1f} s")
            times = measure(changes, records)
            pss = re.search(r"Pss:\s+(\d+)", Path(f"/proc/{processes[1].pid}/smaps_rollup").read_text())
            assert pss is not None
            return report(times, int(pss.group(1)) / 1024, records)
        finally:
            for process in processes:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
