"""The accelerator's data path beside HAProxy in TCP mode, before the same HTTP backend, a core each.

    python benchmarks/accelerator_relay.py [--seconds 4] [--rounds 3]

Needs Debian's packages haproxy (proxy and backend), wrk (keep-alive connections) and apache2-utils (`ab`: a connection
for each request). The proxy under test has core 0; backend and load share core 1. Medians of alternating rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import orjson
from figures import Figure, print_figures
from wrk_output import latency_ms, rate_per_s

ADDRESS = "127.48.0.1"
BACKEND, HAPROXY, LAB = 18200, 18201, 18202
STATIC = "127.48.100.2"
OPEN_CONNECTIONS = 5_000

BACKEND_CONFIG = f"""
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend backend
  bind {ADDRESS}:{BACKEND} backlog 4096
  http-request return status 200 content-type text/plain string "ok"
"""
PROXY_CONFIG = f"""
global
  nbthread 1
  maxconn 8000
defaults
  mode tcp
  timeout client 340s
  timeout server 340s
  timeout connect 5s
listen proxy
  bind {ADDRESS}:{HAPROXY} backlog 4096
  server backend {ADDRESS}:{BACKEND}
"""


async def serve(folder: Path) -> None:
    """The lab's side: an accelerator with one endpoint, the backend."""
    from lab.core import codec
    from lab.core.accelerator import (
        Accelerator,
        AcceleratorListener,
        Accelerators,
        Endpoint,
        EndpointGroup,
        PortOverride,
        PortRange,
    )
    from lab.core.topology import Topology, regional_addresses
    from lab.data import geography, places
    from lab.live.accelerator import AcceleratorEdge, EndpointAddress, EndpointSource
    from lab.live.clock import Clock
    from lab.live.documents import DocumentStore

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    topology = Topology("127.48", regional_addresses("127.48", ("us-east-1",)), places(), str(folder), str(folder))
    store = DocumentStore(folder / "documents")
    group = EndpointGroup("arn:g", "us-east-1", (Endpoint("arn:e"),), port_overrides=(PortOverride(LAB, BACKEND),))
    listener = AcceleratorListener("arn:l", (PortRange(LAB, LAB),), groups=(group,))
    made = Accelerator("arn:a", "a", 1, (STATIC, "127.48.100.3"), "a.test", 0, 0, 0, listeners=(listener,))
    store.put("accelerators", orjson.dumps(codec.encode(Accelerators((made,)))))
    source = EndpointSource(
        lambda endpoint: True, lambda endpoint, port: EndpointAddress(ADDRESS, port, False), lambda callback: None
    )
    edge = AcceleratorEdge(topology, store, Clock(), geography(), source, log=lambda line: None)
    await edge.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


@dataclass(frozen=True)
class Figures:
    """One measurement. `rate` requests per second; `cpu_us` is what the proxy spent on each, whatever else ran."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0


def pinned(core: int, *command: str) -> list[str]:
    return ["taskset", "-c", str(core), *command]


def keep_alive(address: str, port: int, connections: int, seconds: int) -> Figures:
    url = f"http://{address}:{port}/"
    out = run(pinned(1, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url))
    return Figures(rate_per_s(out), latency_ms(out, 50), latency_ms(out, 99))


def connection_each(address: str, port: int, connections: int, count: int) -> Figures:
    command = pinned(1, "ab", "-q", "-n", str(count), "-c", str(connections), f"http://{address}:{port}/")
    out = run(command)
    failed = int(re.search(r"Failed requests:\s+(\d+)", out)[1])  # type: ignore[index]
    assert failed == 0, out
    rate = float(re.search(r"Requests per second:\s+([\d.]+)", out)[1])  # type: ignore[index]
    p50, p99 = (float(re.search(rf"{p}%\s+(\d+)", out)[1]) for p in (50, 99))  # type: ignore[index]
    return Figures(rate, p50, p99)


def run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def median(found: list[Figures]) -> Figures:
    return Figures(
        *(statistics.median(getattr(f, name) for f in found) for name in ("rate", "p50_ms", "p99_ms", "cpu_us"))
    )


def with_cpu(pid: int, figures: Callable[[], Figures], count: float | None = None) -> Figures:
    """The figures with the CPU time that a process spent on each request."""
    before, began = cpu_s(pid), time.monotonic()
    found = figures()
    requests = count if count is not None else found.rate * (time.monotonic() - began)
    return replace(found, cpu_us=(cpu_s(pid) - before) / requests * 1e6)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])  # type: ignore[index]


def hold_open(count: int, pid: int) -> tuple[int, int]:
    """Memory of the lab's process before and with so many connections that have each been answered once, in KB."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before, held = pss_kb(pid), []
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    try:
        for _ in range(count):
            sock = socket.create_connection((STATIC, LAB))
            held.append(sock)
            sock.sendall(request)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        return before, pss_kb(pid)
    finally:
        for sock in held:
            sock.close()


def start(command: list[str], port: tuple[str, int], **options: object) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    deadline = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(port, timeout=1).close()
            return process  # type: ignore[no-any-return]
        except OSError:
            assert time.monotonic() < deadline and process.poll() is None, f"{command} did not start"
            time.sleep(0.02)


def measure(seconds: int, rounds: int, haproxy: int, lab_pid: int) -> list[Figure]:
    """Print what was measured of both; the lab's figures beside HAProxy's."""
    peers = {"HAProxy": (ADDRESS, HAPROXY, haproxy), "the lab": (STATIC, LAB, lab_pid)}
    full: dict[str, list[Figures]] = {name: [] for name in peers}
    new: dict[str, list[Figures]] = {name: [] for name in peers}
    count = 2500 * seconds
    for _ in range(rounds):
        for name, (address, port, pid) in peers.items():
            full[name].append(with_cpu(pid, partial(keep_alive, address, port, 32, seconds)))
            new[name].append(with_cpu(pid, partial(connection_each, address, port, 16, count), count))
    print(f"{'':<10} {'keep-alive/s':>13} {'p99 ms':>7} {'CPU us':>7} {'new conn./s':>12} {'p99 ms':>7} {'CPU us':>7}")
    for name in peers:
        k, n = median(full[name]), median(new[name])
        print(
            f"{name:<10} {k.rate:>13.0f} {k.p99_ms:>7.2f} {k.cpu_us:>7.1f} "
            f"{n.rate:>12.0f} {n.p99_ms:>7.0f} {n.cpu_us:>7.1f}"
        )
    mine, theirs = median(full["the lab"]), median(full["HAProxy"])
    fresh, fresh_theirs = median(new["the lab"]), median(new["HAProxy"])
    half = mine.rate / 2
    for connections in (1, 2, 3, 4, 6, 8):
        lab = median([keep_alive(STATIC, LAB, connections, seconds) for _ in range(rounds)])
        if lab.rate >= half:
            break
    direct = median([keep_alive(ADDRESS, BACKEND, connections, seconds) for _ in range(rounds)])
    print(
        f"at {lab.rate:.0f}/s ({connections} connections, about half load): p50 {lab.p50_ms:.3f} ms through the "
        f"accelerator, {direct.p50_ms:.3f} ms without it"
    )
    return [
        Figure("keep-alive requests/s, of HAProxy's", mine.rate / theirs.rate, "times", 0.9, "at least"),
        Figure("keep-alive p99, of HAProxy's", mine.p99_ms / theirs.p99_ms, "times", 1.5),
        Figure("new connections/s, of HAProxy's", fresh.rate / fresh_theirs.rate, "times", 0.7, "at least"),
        Figure("added at p50 at half load", lab.p50_ms - direct.p50_ms, "ms", 0.2),
        Figure("CPU time a keep-alive request, of HAProxy's", mine.cpu_us / theirs.cpu_us, "times"),
        Figure("CPU time a new connection, of HAProxy's", fresh.cpu_us / fresh_theirs.cpu_us, "times"),
    ]


def main() -> int:
    """Measure, print, and say whether the bounds were met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(Path(options.serve)))
        return 0
    missing = [name for name in ("haproxy", "wrk", "ab") if shutil.which(name) is None]
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; apt-get install haproxy wrk apache2-utils")
    processes = []
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        for name, config in (("backend", BACKEND_CONFIG), ("proxy", PROXY_CONFIG)):
            (Path(folder) / f"{name}.cfg").write_text(config)
        try:
            processes.append(
                start(pinned(1, "haproxy", "-q", "-db", "-f", f"{folder}/backend.cfg"), (ADDRESS, BACKEND))
            )
            processes.append(start(pinned(0, "haproxy", "-q", "-db", "-f", f"{folder}/proxy.cfg"), (ADDRESS, HAPROXY)))
            lab = start(
                pinned(0, sys.executable, __file__, "--serve", folder),
                (STATIC, LAB),
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])},
            )
            processes.append(lab)
            figures = measure(options.seconds, options.rounds, processes[1].pid, lab.pid)
            before, after = hold_open(OPEN_CONNECTIONS, lab.pid)
            figures.append(Figure(f"{OPEN_CONNECTIONS} open connections", (after - before) / 1024, "MB", 250))
            load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
            return print_figures(f"The accelerator beside HAProxy (load {load})", figures)
        finally:
            for process in processes:
                process.terminate()
                process.wait(10)


if __name__ == "__main__":
    sys.exit(main())
