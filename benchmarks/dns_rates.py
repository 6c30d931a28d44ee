"""Queries per second, server CPU per query and latency of the lab's DNS server beside PowerDNS and Knot.

Needs Debian's `dnsperf` and `dnsutils`; peers that are not installed are left out. Server and generator have a core
each.
Run: `python benchmarks/dns_rates.py [SECONDS]`.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import dns_peers
from dns_world import ZONE

BLOCK = "127.43"
SERVER_CORE, GENERATOR_CORE = "0", "1"
SUBNET_DUBLIN = "8:000118" + "00" + "c61201"


@dataclass(frozen=True)
class Case:
    name: str
    queries: str
    options: tuple[str, ...] = ()
    once: bool = False


CASES = (
    Case("weighted", f"weighted.{ZONE} A\n"),
    Case("failover", f"failover.{ZONE} A\n"),
    Case("geolocation, client subnet", f"geo.{ZONE} A\n", ("-E", SUBNET_DUBLIN)),
    Case("no such name (100,000 names)", "".join(f"x{n}.{ZONE} A\n" for n in range(100_000))),
    Case("10,000 names, once each", "".join(f"n{n}.{ZONE} A\n" for n in range(10_000)), once=True),
)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def dnsperf(address: str, case: Case, folder: Path, seconds: float, *extra: str) -> str:
    queries = folder / "queries"
    queries.write_text(case.queries)
    length = ("-n", "1") if case.once else ("-l", f"{seconds:g}")
    command = ["taskset", "-c", GENERATOR_CORE, "dnsperf", "-s", address, "-p", "5300", "-d", str(queries)]
    command += ["-c", "4", "-T", "1", *length, *case.options, *extra]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def rate(address: str, pid: int, case: Case, folder: Path, seconds: float) -> tuple[float, float, float]:
    """Queries a second, server CPU in microseconds a query, and the share of lost queries."""
    before = cpu_s(pid)
    out = dnsperf(address, case, folder, seconds, "-q", "100")
    completed = int(re.search(r"Queries completed:\s+(\d+)", out).group(1))  # type: ignore[union-attr]
    lost = int(re.search(r"Queries lost:\s+(\d+)", out).group(1))  # type: ignore[union-attr]
    qps = float(re.search(r"Queries per second:\s+([\d.]+)", out).group(1))  # type: ignore[union-attr]
    return qps, (cpu_s(pid) - before) / max(1, completed) * 1e6, lost / max(1, completed + lost)


def latency(address: str, case: Case, folder: Path, seconds: float) -> tuple[float, float]:
    """p50 and p99 in milliseconds at 2,000 queries a second."""
    out = dnsperf(address, case, folder, seconds, "-Q", "2000", "-v")
    times = sorted(float(line.split()[-1]) * 1000 for line in out.splitlines() if line.startswith("> "))
    return statistics.median(times), times[int(len(times) * 0.99)]


def start(command: list[str], address: str, folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, *command], stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb")
    )
    deadline = time.monotonic() + 20
    while not dns_peers.ready(address):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise SystemExit(f"{command[0]} did not start:\n{(folder / 'log').read_text()}")
        time.sleep(0.1)
    return process


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    for tool in ("dnsperf", "dig", "taskset"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not installed; on Debian: apt-get install dnsperf dnsutils util-linux")
    with tempfile.TemporaryDirectory(prefix="dns-bench-") as name:
        root = Path(name)
        servers: dict[str, tuple[list[str] | None, str]] = {}
        for part in ("lab", "powerdns", "knot"):
            (root / part).mkdir()
        world = str(Path(__file__).with_name("dns_world.py"))
        servers["lab"] = ([sys.executable, world, "10000", "200", BLOCK], f"{BLOCK}.0.1")
        servers["PowerDNS ifportup"] = (
            dns_peers.powerdns(root / "powerdns", f"{BLOCK}.0.2", f"{BLOCK}.1.1"),
            f"{BLOCK}.0.2",
        )
        servers["Knot geoip"] = (dns_peers.knot(root / "knot", f"{BLOCK}.0.3"), f"{BLOCK}.0.3")
        print(f"{'':32}{'queries/s':>12}{'CPU µs':>9}{'lost %':>8}{'p50 ms':>9}{'p99 ms':>9}")
        for server, (command, address) in servers.items():
            if command is None:
                print(f"{server}: not installed")
                continue
            folder = root / server.split()[0].lower()
            process = start(command, address, folder)
            try:
                for case in CASES:
                    qps, cpu, lost = rate(address, process.pid, case, folder, seconds)
                    times = (
                        ("", "") if case.once else tuple(f"{t:.3f}" for t in latency(address, case, folder, seconds))
                    )
                    label = f"{server}: {case.name}"
                    print(
                        f"{label[:40]:40}{qps:>9,.0f}{cpu:>9.1f}{lost * 100:>8.2f}{times[0]:>9}{times[1]:>9}",
                        flush=True,
                    )
                status = Path(f"/proc/{process.pid}/smaps_rollup")
                pss = re.search(r"Pss:\s+(\d+) kB", status.read_text()) if os.access(status, os.R_OK) else None
                print(f"{server}: memory {int(pss.group(1)) / 1024:.0f} MB" if pss else f"{server}: memory unknown")
            finally:
                process.terminate()
                process.wait(10)


if __name__ == "__main__":
    main()
