"""Configurations of the peers that the DNS benchmark runs beside the lab: PowerDNS with Lua records, Knot with geoip.

From Debian's packages `pdns-server` and `knot`, `knot-module-geoip`; each is started on a loopback address of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from dns_world import HTTP_PORT, ZONE

SOA = "ns1.bench.test. host.bench.test. 1 7200 900 1209600 900"


def powerdns(folder: Path, address: str, target: str) -> list[str] | None:
    """The command of PowerDNS with `ifportup` records and a shared Lua state; None if it is not installed."""
    program = shutil.which("pdns_server")
    if program is None:
        return None
    up = f"ifportup({HTTP_PORT}, {{{{'{target}'}}, {{'192.0.2.2'}}}})"
    weighted = "pickwrandom({{3, '192.0.2.1'}, {1, '192.0.2.2'}})"
    zone = [
        f"$ORIGIN {ZONE}.",
        f"@ 900 IN SOA {SOA}",
        "@ 900 IN NS ns1",
        "ns1 900 IN A 192.0.2.9",
        f'failover 60 IN LUA A "{up}"',
        f'weighted 60 IN LUA A "{weighted}"',
        f'geo 60 IN LUA A "{up}"',
        *(f"n{n} 60 IN A 10.0.{n // 250}.{n % 250}" for n in range(10_000)),
    ]
    (folder / "zone").write_text("\n".join(zone) + "\n")
    (folder / "named.conf").write_text(f'zone "{ZONE}" {{ type master; file "{folder}/zone"; }};\n')
    options = {
        "launch": "bind",
        "bind-config": f"{folder}/named.conf",
        "local-address": address,
        "local-port": "5300",
        "socket-dir": str(folder),
        "config-dir": str(folder),
        "enable-lua-records": "shared",
        "edns-subnet-processing": "yes",
        "receiver-threads": "1",
        "distributor-threads": "1",
        "guardian": "no",
        "daemon": "no",
        "disable-syslog": "yes",
        "write-pid": "no",
        "loglevel": "3",
        "security-poll-suffix": "",
    }
    return [program, *(f"--{key}={value}" for key, value in options.items())]


def knot(folder: Path, address: str) -> list[str] | None:
    """The command of Knot DNS with the geoip module; None if it is not installed."""
    program = shutil.which("knotd")
    if program is None:
        return None
    (folder / "weighted.yml").write_text(
        f"weighted.{ZONE}:\n  - weight: 3\n    A: 192.0.2.1\n  - weight: 1\n    A: 192.0.2.2\n"
    )
    (folder / "subnet.yml").write_text(
        f"geo.{ZONE}:\n  - net: 198.18.1.0/24\n    A: 192.0.2.2\n  - net: 198.18.10.0/24\n    A: 192.0.2.1\n"
    )
    zone = [f"$ORIGIN {ZONE}.", f"@ 900 IN SOA {SOA}", "@ 900 IN NS ns1", "ns1 900 IN A 192.0.2.9"]
    zone += [f"{name} 60 IN A 192.0.2.1" for name in ("failover", "weighted", "geo")]
    zone += [f"n{n} 60 IN A 10.0.{n // 250}.{n % 250}" for n in range(10_000)]
    (folder / "bench.zone").write_text("\n".join(zone) + "\n")
    (folder / "knot.conf").write_text(
        f"""server:
  rundir: "{folder}"
  listen: {address}@5300
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  edns-client-subnet: on
database:
  storage: "{folder}"
mod-geoip:
  - id: weighted
    config-file: "{folder}/weighted.yml"
    ttl: 60
    mode: weighted
  - id: subnet
    config-file: "{folder}/subnet.yml"
    ttl: 60
    mode: subnet
zone:
  - domain: {ZONE}
    file: "{folder}/bench.zone"
    module: [mod-geoip/weighted, mod-geoip/subnet]
"""
    )
    return [program, "-c", str(folder / "knot.conf")]


def ready(address: str) -> bool:
    """Whether a server answers for the zone."""
    command = ["dig", f"@{address}", "-p", "5300", "+time=1", "+tries=1", "+short", ZONE, "SOA"]
    return bool(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().startswith("ns"))
