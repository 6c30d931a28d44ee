"""What the lab is made of and where it listens: regions, places, addresses, ports, speed.

Made once from the configuration, written to the instance's folder, read by every part; nothing here changes while a
lab runs.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Literal

from lab.core.geography import Coordinates
from lab.core.replication_lag import ReplicationLag

ACCOUNT_ID = "000000000000"
DOMAIN = "lab.test"


@dataclass(frozen=True)
class Place:
    """Where people are. `subnet` is the client subnet that their DNS queries carry; `continent` is Route 53's code."""

    name: str
    coordinates: Coordinates
    country: str
    continent: str
    subdivision: str | None
    subnet: str

    @property
    def client_address(self) -> str:
        """The address that a client in this place has, the tenth of its subnet."""
        return str(ipaddress.ip_network(self.subnet)[10])


@dataclass(frozen=True)
class Region:
    """One AWS region of the lab; `number` counts from 1 and decides its address."""

    code: str
    number: int
    address: str


@dataclass(frozen=True)
class RoundTrip:
    """A round trip set by hand, in milliseconds; `source` is a region or place, `target` a region."""

    source: str
    target: str
    round_trip_ms: float


@dataclass(frozen=True)
class PartAddress:
    """Where a part (or, as `engine-REGION`, an engine) is reached when it is not a Unix socket in the run folder."""

    part: str
    host: str
    port: int


@dataclass(frozen=True)
class Published:
    """A port of a container, and where the host reaches it."""

    address: str
    port: int
    host_address: str
    host_port: int


RELAYED_BALANCERS = 2
RELAYED_PORT_FIRST = 9010
"""Container ports from here on lead to the addresses beside a container's own: `Topology.relayed_ports`."""

EngineKind = Literal["ministack", "localstack"]


@dataclass(frozen=True)
class ClockSkew:
    """The clock of a region's tables is `skew_ms` ahead, or behind if negative."""

    region: str
    skew_ms: int


@dataclass(frozen=True)
class Topology:
    """One instance of the lab.

    `block` is the first two numbers of its loopback addresses ("127.10"). `speed` divides every wait. `state_dir` and
    `run_dir` are absolute folders: the first holds logs and what outlives a part, the second (mode 0700, a short path)
    the Unix sockets. `seed` is the root of every named random. `replication` is how long replicated writes are on their
    way, `clock_skews` whose clocks are off; `legacy_global_tables` turns on DynamoDB's global tables of version
    2017.11.29. `accelerator_delay_ms` (0 to 30000) is how long an accelerator takes to act on a change of an endpoint's
    health; `accelerator_latency` has it add the latency of the way from a client's place to its edge location and on to
    the region, and load balancers that of the way over the internet.

    The rest is for regions in containers: `parts` says where each part listens (none: all are on this machine, behind
    Unix sockets, and the edge is one part), `dns_host` is the DNS server's address where that is not the global one,
    `listen_host` what parts bind in place of their own address; `published` is how the host reaches the containers'
    ports, and `engine` is what runs the regions.
    """

    block: str
    regions: tuple[Region, ...]
    places: tuple[Place, ...]
    state_dir: str
    run_dir: str
    speed: float = 1.0
    seed: int = 0
    aws_port: int = 4566
    http_port: int = 8080
    https_port: int = 8443
    dns_port: int = 5300
    control_port: int = 8000
    domain: str = DOMAIN
    round_trips: tuple[RoundTrip, ...] = ()
    replication: ReplicationLag = field(default_factory=ReplicationLag)
    clock_skews: tuple[ClockSkew, ...] = ()
    legacy_global_tables: bool = False
    accelerator_delay_ms: int = 30_000
    accelerator_latency: bool = False
    engine: EngineKind = "ministack"
    parts: tuple[PartAddress, ...] = ()
    published: tuple[Published, ...] = ()
    dns_host: str | None = None
    listen_host: str | None = None

    @property
    def global_address(self) -> str:
        """The address of the global endpoint, the DNS server, control and the console."""
        return f"{self.block}.0.1"

    @property
    def dns_address(self) -> str:
        """The address of the DNS server."""
        return self.dns_host or self.global_address

    def front_part(self, region: str) -> str:
        """The part that holds a region's front."""
        return f"front-{region}" if self.parts else "edge"

    @property
    def resolver_part(self) -> str:
        """The part that holds the DNS server and the health checkers."""
        return "resolver" if self.parts else "edge"

    @property
    def edge_parts(self) -> tuple[str, ...]:
        """The part or parts that hold fronts, DNS server and health checkers, each once."""
        fronts = (self.front_part(code) for code in self.region_codes)
        return tuple(dict.fromkeys((*fronts, self.resolver_part)))

    def part_address(self, part: str) -> PartAddress | None:
        """Where a part listens, None for a Unix socket in the run folder."""
        return next((address for address in self.parts if address.part == part), None)

    def bind_address(self, address: str) -> str:
        """What a part binds to be reached at `address`."""
        return self.listen_host or address

    def reachable(self, address: str, port: int) -> tuple[str, int]:
        """Where this machine connects to reach a port of the lab."""
        for entry in self.published:
            if (entry.address, entry.port) == (address, port):
                return entry.host_address, entry.host_port
        return address, port

    def relayed_ports(self, part: str) -> dict[int, tuple[str, int]]:
        """Ports of a part's container that lead to port 80 of addresses beside its own: `{port: (address, port)}`.

        For hosts that reach containers by published ports alone. A region's first two load balancers, of its front, and
        the two static addresses of the first accelerator, of the resolver.
        """
        if part == self.resolver_part:
            addresses = [f"{self.block}.100.{number}" for number in (2, 3)]
        else:
            networks = [r.address.rpartition(".")[0] for r in self.regions if part == self.front_part(r.code)]
            addresses = [f"{network}.{10 + k}" for network in networks for k in range(RELAYED_BALANCERS)]
        return {port: (address, self.http_port) for port, address in enumerate(addresses, start=RELAYED_PORT_FIRST)}

    def url(self, address: str, port: int) -> str:
        """The URL at which this machine reaches a port of the lab."""
        host, number = self.reachable(address, port)
        return f"http://{host}:{number}"

    def names_of(self, address: str) -> tuple[str, ...]:
        """Every name by which an address of the lab may be called: itself, where the host has it, its container's."""
        names = [address, *(entry.host_address for entry in self.published if entry.address == address)]
        if self.parts:
            names.append("127.0.0.1")  # where the host has the containers' ports
            names += ["control"] if address == self.global_address else []
            names += [f"front-{region.code}" for region in self.regions if region.address == address]
        return tuple(names)

    @property
    def region_codes(self) -> tuple[str, ...]:
        return tuple(region.code for region in self.regions)

    def listening_port(self, port: int) -> int:
        """Where a service that is reached on `port` really listens: 80 and 443 are the data plane's ports."""
        return {80: self.http_port, 443: self.https_port}.get(port, port)

    def region(self, code: str) -> Region:
        """The region with this code; KeyError if the lab has none."""
        for region in self.regions:
            if region.code == code:
                return region
        raise KeyError(code)

    def region_at(self, address: str) -> str | None:
        """The region that an address of the lab is in: its front's, or a load balancer's beside it."""
        network = address.rpartition(".")[0]
        return next((region.code for region in self.regions if region.address.rpartition(".")[0] == network), None)

    def traffic_at(self, address: str) -> Literal["load balancer", "accelerator"] | None:
        """What takes connections at an address with the PROXY protocol, if it is a load balancer's or accelerator's."""
        network, _, last = address.rpartition(".")
        if not last.isdecimal():
            return None
        if network == f"{self.block}.100" and int(last) >= 2:
            return "accelerator"
        in_region = any(region.address.rpartition(".")[0] == network for region in self.regions)
        return "load balancer" if in_region and int(last) >= 10 else None

    def place(self, name: str) -> Place:
        """The place with this name; KeyError if there is none."""
        for place in self.places:
            if place.name == name:
                return place
        raise KeyError(name)

    def socket_path(self, part: str) -> str:
        """The Unix socket of a part: `edge`, `replicator`, `control`, `supervisor`, `engine-us-east-1`, ..."""
        return f"{self.run_dir}/{part}.sock"


def regional_addresses(block: str, codes: tuple[str, ...]) -> tuple[Region, ...]:
    """Regions in the order given, region n at BLOCK.n.1."""
    return tuple(Region(code, n, f"{block}.{n}.1") for n, code in enumerate(codes, start=1))
