"""Queries per second, server CPU per query and latency of the lab's DNS server beside PowerDNS and Knot.

Needs Debian's `dnsperf` and `dnsutils`; peers that are not installed are left out. Server and generator have a core
each. The lab answers from 10,000 records with 200 health checks that probe, and for comparison from 10 with one. The
servers take turns, case by case and round by round; figures are medians of the rounds. While rates are measured, those
that wait are on the generator's core, where a lab goes on probing; while latencies are, they run there only when
nothing else does, for their probes would be measured as the delay of another's answers. (Stopped, they would make all
the probes of that time at once afterwards, and every 30 s from then on.) The bound on latency is for the server whose
200 checks probe meanwhile; what one has with a single check, as PowerDNS, is printed below it. A virtual machine whose
host is busy halts for some milliseconds now and then, which is every server's p99: rounds of latency count when Knot,
the control, stayed below 0.25 ms before and after. What 10,000 records cost a query is measured on its own, in short
runs by turns: the median of pairs that ran one after the other.
Run: `python benchmarks/dns_rates.py [SECONDS]`; exit status 1 if a bound was missed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dns_peers
from dns_world import ZONE
from figures import Figure, print_figures

BLOCK, SMALL_BLOCK = "127.43", "127.44"
LAB, SMALL, POWERDNS, KNOT = "lab", "lab with 10 records", "PowerDNS ifportup", "Knot geoip"
SERVER_CORE, GENERATOR_CORE = "0", "1"
SUBNET_DUBLIN = "8:000118" + "00" + "c61201"


RATE_ROUNDS, QUIET_ROUNDS, LATENCY_ROUNDS_MAX = 3, 7, 40
QUIET_MS_MAX = 0.25
SIZE_PAIRS, SIZE_SECONDS = 15, 0.5
RATE_RATIO_MIN, CPU_RATIO_MAX, P99_MS_MAX, MEMORY_MB_MAX = 1.3, 2.0, 0.3, 150.0
SIZE_RATIO_MAX = 1.1
"""The CPU time of a query with 10,000 records and 200 checks over that with 10 and one; more than this is no noise."""
REST_S = 31.0
"""A little more than the interval of the checks."""


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


@dataclass
class Measured:
    """One case at one server, by rounds. Latencies in milliseconds at 2,000 queries a second."""

    rates: list[float] = field(default_factory=list)
    cpus_us: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    p50s_ms: list[float] = field(default_factory=list)
    p99s_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cpu_us(self) -> float:
        return statistics.median(self.cpus_us)

    def keep_rounds(self, kept: list[int]) -> None:
        """Forget the latencies of all other rounds."""
        self.p50s_ms, self.p99s_ms = ([values[n] for n in kept] for values in (self.p50s_ms, self.p99s_ms))

    @property
    def p99_ms(self) -> float:
        return statistics.median(self.p99s_ms)


def cpu_s(pid: int) -> float:
    """Linux's clock of a process's CPU time, by clock_getcpuclockid(3); /proc has it in steps of 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)


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


class Server:
    """One server that runs from now on, out of the way while others are measured."""

    def __init__(self, name: str, command: list[str], address: str, folder: Path) -> None:
        self.name, self.address, self._folder = name, address, folder
        self.process = start(command, address, folder)
        self.found: dict[str, Measured] = {}
        self._move(GENERATOR_CORE)

    def _move(self, core: str) -> None:
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {int(core)})

    def measure_rate(self, case: Case, seconds: float) -> None:
        found = self.found.setdefault(case.name, Measured())
        with self._running():
            for values, value in zip(
                (found.rates, found.cpus_us, found.lost),
                rate(self.address, self.process.pid, case, self._folder, seconds),
                strict=True,
            ):
                values.append(value)

    def measure_latency(self, case: Case, seconds: float) -> None:
        found = self.found.setdefault(case.name, Measured())
        self.give_way(False)
        with self._running():
            p50_ms, p99_ms = latency(self.address, case, self._folder, seconds)
        self.give_way(True)
        found.p50s_ms.append(p50_ms)
        found.p99s_ms.append(p99_ms)

    def give_way(self, to_all: bool) -> None:
        """Have it run only while nothing else wants to, or as usual again, which takes root."""
        if os.geteuid() == 0:
            for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_IDLE if to_all else os.SCHED_OTHER, os.sched_param(0))

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        self._move(SERVER_CORE)
        yield
        self._move(GENERATOR_CORE)

    def query_us(self, case: Case, seconds: float, at_rest: float) -> float:
        """The CPU time of a query, without what the probes take meanwhile: `at_rest` of a core."""
        with self._running():
            qps, cpu_us, _ = rate(self.address, self.process.pid, case, self._folder, seconds)
        return cpu_us - at_rest * 1e6 / qps

    def memory_mb(self) -> float:
        found = re.search(r"Pss:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/smaps_rollup").read_text())
        assert found is not None
        return int(found.group(1)) / 1024

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def lab_command(records: int, health_checks: int, block: str) -> list[str]:
    world = str(Path(__file__).with_name("dns_world.py"))
    return [sys.executable, world, str(records), str(health_checks), block]


def measure(servers: dict[str, Server], seconds: float) -> None:
    """All cases at all servers, in turns; the small lab only for its latencies."""
    for case in (*POLICIES, ABSENT, ONCE):
        # The ready answers of a name that was asked once are kept: only the first round is one of new names.
        for _ in range(1 if case.once else RATE_ROUNDS):
            for name, server in servers.items():
                if name != SMALL:
                    server.measure_rate(case, seconds)
        if case in POLICIES:
            measure_latencies(servers, case, seconds)
        for name, server in servers.items():
            if case.name in server.found:
                m = server.found[case.name]
                rates = f"{m.rate:>9,.0f}{m.cpu_us:>9.1f}{max(m.lost) * 100:>8.2f}" if m.rates else " " * 26
                times = f"{statistics.median(m.p50s_ms):>9.3f}{m.p99_ms:>9.3f}" if m.p99s_ms else ""
                print(f"{f'{name}: {case.name}'[:44]:44}{rates}{times}", flush=True)


def measure_latencies(servers: dict[str, Server], case: Case, seconds: float) -> None:
    """In turns, each alone: those that wait give way to everything else."""
    for server in servers.values():
        server.give_way(True)
    quiet: list[int] = []
    before_ms = QUIET_MS_MAX if KNOT not in servers else float("inf")
    for number in range(LATENCY_ROUNDS_MAX):
        for server in servers.values():
            server.measure_latency(case, seconds)
        control_ms = servers[KNOT].found[case.name].p99s_ms[-1] if KNOT in servers else QUIET_MS_MAX
        if max(before_ms, control_ms) <= QUIET_MS_MAX:
            quiet.append(number)
            if len(quiet) == QUIET_ROUNDS:
                break
        before_ms = control_ms
    for server in servers.values():
        server.give_way(False)
        if quiet:
            server.found[case.name].keep_rounds(quiet)
    if len(quiet) < QUIET_ROUNDS:
        print(f"{case.name}: only {len(quiet)} of {LATENCY_ROUNDS_MAX} rounds found the machine quiet: Knot's own p99")
        print(
            f"was above {QUIET_MS_MAX} ms in the others" + ("." if quiet else ", and so all of them count."), flush=True
        )


def at_rest(*servers: Server) -> list[float]:
    """The share of a core that each takes without queries: what its probes cost."""
    before = [cpu_s(server.process.pid) for server in servers]
    time.sleep(REST_S)
    return [(cpu_s(server.process.pid) - since) / REST_S for server, since in zip(servers, before, strict=True)]


def size_ratio(large: Server, small: Server, *rests: float) -> float:
    """The CPU time of a query at one server over that at the other, by pairs of short runs."""
    ratios = []
    for pair in range(SIZE_PAIRS):
        pairs = list(zip((large, small), rests, strict=True))
        found = {
            server.name: server.query_us(FAILOVER, SIZE_SECONDS, rest)
            for server, rest in (pairs if pair % 2 else reversed(pairs))
        }
        ratios.append(found[large.name] / found[small.name])
    return statistics.median(ratios)


def figures(servers: dict[str, Server]) -> list[Figure]:
    made = []
    lab = servers[LAB].found
    for case in POLICIES:
        mine = lab[case.name]
        if POWERDNS in servers:
            ratio = mine.rate / servers[POWERDNS].found[case.name].rate
            made.append(Figure(f"{case.name}: queries/s over PowerDNS's", ratio, "times", RATE_RATIO_MIN, "at least"))
        if KNOT in servers:
            ratio = mine.cpu_us / servers[KNOT].found[case.name].cpu_us
            made.append(Figure(f"{case.name}: CPU per query over Knot's", ratio, "times", CPU_RATIO_MAX))
        made.append(
            Figure(f"{case.name}: p99 at 2,000/s while 200 checks probe", mine.p99_ms, "ms", P99_MS_MAX),
        )
        made.append(Figure(f"{case.name}: p99, one check", servers[SMALL].found[case.name].p99_ms, "ms"))
        for peer in (POWERDNS, KNOT):
            if peer in servers:
                made.append(Figure(f"{case.name}: p99, {peer}", servers[peer].found[case.name].p99_ms, "ms"))
    best = max(lab[case.name].rate for case in POLICIES)
    for case, share in ((ABSENT, 0.5), (ONCE, 0.1)):
        made.append(Figure(f"{case.name}: of the best rate", lab[case.name].rate / best, "times", share, "at least"))
    large_rest, small_rest = at_rest(servers[LAB], servers[SMALL])
    size = size_ratio(servers[LAB], servers[SMALL], large_rest, small_rest)
    return [
        *made,
        Figure("a core's share for the probes of 200 checks", large_rest * 100, "%"),
        Figure("CPU per query, 10,000 records and 200 checks over 10 and 1", size, "times", SIZE_RATIO_MAX),
        Figure("memory, 10,000 records and 200 checks", servers[LAB].memory_mb(), "MB", MEMORY_MB_MAX),
    ]


def commands(root: Path) -> dict[str, tuple[list[str] | None, str, Path]]:
    """Command, address and folder of each server; no command for a peer that is not installed."""
    folders = {part: root / part for part in ("lab", "small", "powerdns", "knot")}
    for folder in folders.values():
        folder.mkdir()
    powerdns = dns_peers.powerdns(folders["powerdns"], f"{BLOCK}.0.2", f"{BLOCK}.1.1")
    return {
        LAB: (lab_command(10_000, 200, BLOCK), f"{BLOCK}.0.1", folders["lab"]),
        SMALL: (lab_command(10, 1, SMALL_BLOCK), f"{SMALL_BLOCK}.0.1", folders["small"]),
        POWERDNS: (powerdns, f"{BLOCK}.0.2", folders["powerdns"]),
        KNOT: (dns_peers.knot(folders["knot"], f"{BLOCK}.0.3"), f"{BLOCK}.0.3", folders["knot"]),
    }


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    for tool in ("dnsperf", "dig", "taskset"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not installed; on Debian: apt-get install dnsperf dnsutils util-linux")
    servers: dict[str, Server] = {}
    with tempfile.TemporaryDirectory(prefix="dns-bench-") as name:
        try:
            for server, (command, address, folder) in commands(Path(name)).items():
                if command is None:
                    print(f"{server}: not installed")
                else:
                    servers[server] = Server(server, command, address, folder)
            print(f"{'':44}{'queries/s':>9}{'CPU µs':>9}{'lost %':>8}{'p50 ms':>9}{'p99 ms':>9}")
            measure(servers, seconds)
            made = figures(servers)
        finally:
            for running in servers.values():
                running.close()
    return print_figures(f"Route 53's answers, {seconds:g} s a run (load {os.getloadavg()[0]:.1f})", made)


if __name__ == "__main__":
    sys.exit(main())
