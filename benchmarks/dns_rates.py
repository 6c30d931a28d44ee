"""Queries per second, server CPU per query and latency of the lab's DNS server beside PowerDNS and Knot.

Needs Debian's `dnsperf` and `dnsutils`; peers that are not installed are left out. Server and generator have a core
each. The lab answers from 10,000 records with 200 health checks that probe, and for comparison from 10 with one;
latencies are medians of several runs.
Run: `python benchmarks/dns_rates.py [SECONDS]`; exit status 1 if a bound was missed.
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
from figures import Figure, print_figures

BLOCK = "127.43"
SERVER_CORE, GENERATOR_CORE = "0", "1"
SUBNET_DUBLIN = "8:000118" + "00" + "c61201"


LATENCY_RUNS, COMPARISONS = 5, 5
RATE_RATIO_MIN, CPU_RATIO_MAX, P99_MS_MAX, MEMORY_MB_MAX = 1.3, 2.0, 0.3, 150.0
SIZE_RATIO_MAX = 1.1
"""The CPU time of a query with 10,000 records and 200 checks over that with 10 and one; more than this is no noise."""


@dataclass(frozen=True)
class Case:
    name: str
    queries: str
    options: tuple[str, ...] = ()
    once: bool = False


WEIGHTED = Case("weighted", f"weighted.{ZONE} A\n")
FAILOVER = Case("failover", f"failover.{ZONE} A\n")
GEOLOCATION = Case("geolocation, client subnet", f"geo.{ZONE} A\n", ("-E", SUBNET_DUBLIN))
ABSENT = Case("no such name (100,000 names)", "".join(f"x{n}.{ZONE} A\n" for n in range(100_000)))
ONCE = Case("10,000 names, once each", "".join(f"n{n}.{ZONE} A\n" for n in range(10_000)), once=True)
POLICIES = (WEIGHTED, FAILOVER, GEOLOCATION)


@dataclass(frozen=True)
class Measured:
    """One case at one server. Latencies in milliseconds at 2,000 queries a second; None where they make no sense."""

    rate: float
    cpu_us: float
    lost: float
    p50_ms: float | None = None
    p99_ms: float | None = None


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
    """p50 and p99 in milliseconds at 2,000 queries a second, each the median of several runs."""
    runs = [one_latency(address, case, folder, seconds) for _ in range(LATENCY_RUNS)]
    return statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)


def one_latency(address: str, case: Case, folder: Path, seconds: float) -> tuple[float, float]:
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


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)


def measured(address: str, pid: int, case: Case, folder: Path, seconds: float, *, latencies: bool) -> Measured:
    qps, cpu, lost = rate(address, pid, case, folder, seconds)
    times = latency(address, case, folder, seconds / 2) if latencies and case in POLICIES else ()
    return Measured(qps, cpu, lost, *times)


def memory_mb(pid: int) -> float:
    found = re.search(r"Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def lab_command(records: int, health_checks: int, block: str) -> list[str]:
    world = str(Path(__file__).with_name("dns_world.py"))
    return [sys.executable, world, str(records), str(health_checks), block]


def cost_of_size(root: Path, seconds: float) -> float:
    """The CPU time of a query from 10,000 records with 200 checks over that from 10 with one: run in turns, medians."""
    sizes = ((10_000, 200, BLOCK), (10, 1, "127.44"))
    processes = [start(lab_command(*size), f"{size[2]}.0.1", root / "lab") for size in sizes]
    try:
        costs: tuple[list[float], list[float]] = ([], [])
        for _ in range(COMPARISONS):
            for n, process in enumerate(processes):
                costs[n].append(rate(f"{sizes[n][2]}.0.1", process.pid, FAILOVER, root / "lab", seconds)[1])
        return statistics.median(costs[0]) / statistics.median(costs[1])
    finally:
        for process in processes:
            stop(process)


def run_server(
    server: str, command: list[str] | None, address: str, folder: Path, seconds: float, *, latencies: bool = True
) -> tuple[dict[str, Measured], float]:
    """All cases at one server, printed as they come, and its memory in MB; nothing for a peer that is not installed."""
    if command is None:
        print(f"{server}: not installed")
        return {}, 0.0
    process = start(command, address, folder)
    found: dict[str, Measured] = {}
    try:
        for case in (*POLICIES, ABSENT, ONCE):
            m = found[case.name] = measured(address, process.pid, case, folder, seconds, latencies=latencies)
            times = "" if m.p50_ms is None else f"{m.p50_ms:>9.3f}{m.p99_ms:>9.3f}"
            label = f"{server}: {case.name}"[:44]
            print(f"{label:44}{m.rate:>9,.0f}{m.cpu_us:>9.1f}{m.lost * 100:>8.2f}{times}", flush=True)
        return found, memory_mb(process.pid)
    finally:
        stop(process)


def figures(lab: dict[str, Measured], powerdns: dict[str, Measured], knot: dict[str, Measured]) -> list[Figure]:
    found = []
    for case in POLICIES:
        mine = lab[case.name]
        if powerdns:
            ratio = mine.rate / powerdns[case.name].rate
            found.append(Figure(f"{case.name}: queries/s over PowerDNS's", ratio, "times", RATE_RATIO_MIN, "at least"))
        if knot:
            ratio = mine.cpu_us / knot[case.name].cpu_us
            found.append(Figure(f"{case.name}: CPU per query over Knot's", ratio, "times", CPU_RATIO_MAX))
        found.append(Figure(f"{case.name}: p99 at 2,000/s", mine.p99_ms or 0.0, "ms", P99_MS_MAX))
        if powerdns:
            found.append(Figure(f"{case.name}: PowerDNS's p99 in this run", powerdns[case.name].p99_ms or 0.0, "ms"))
    best = max(lab[case.name].rate for case in POLICIES)
    for case, share in ((ABSENT, 0.5), (ONCE, 0.1)):
        found.append(Figure(f"{case.name}: of the best rate", lab[case.name].rate / best, "times", share, "at least"))
    return found


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    for tool in ("dnsperf", "dig", "taskset"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not installed; on Debian: apt-get install dnsperf dnsutils util-linux")
    with tempfile.TemporaryDirectory(prefix="dns-bench-") as name:
        root = Path(name)
        for part in ("lab", "powerdns", "knot"):
            (root / part).mkdir()
        print(f"{'':44}{'queries/s':>9}{'CPU µs':>9}{'lost %':>8}{'p50 ms':>9}{'p99 ms':>9}")
        lab, memory = run_server("lab", lab_command(10_000, 200, BLOCK), f"{BLOCK}.0.1", root / "lab", seconds)
        address, target = f"{BLOCK}.0.2", f"{BLOCK}.1.1"
        powerdns, _ = run_server(
            "PowerDNS ifportup",
            dns_peers.powerdns(root / "powerdns", address, target),
            address,
            root / "powerdns",
            seconds,
        )
        address = f"{BLOCK}.0.3"
        command = dns_peers.knot(root / "knot", address)
        knot, _ = run_server("Knot geoip", command, address, root / "knot", seconds, latencies=False)
        made = figures(lab, powerdns, knot)
        size = cost_of_size(root, seconds / 2)
    made += [
        Figure("CPU per query, 10,000 records and 200 checks over 10 and 1", size, "times", SIZE_RATIO_MAX),
        Figure("memory, 10,000 records and 200 checks", memory, "MB", MEMORY_MB_MAX),
    ]
    return print_figures(f"Route 53's answers, {seconds:g} s a run (load {os.getloadavg()[0]:.1f})", made)


if __name__ == "__main__":
    sys.exit(main())
