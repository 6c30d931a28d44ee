"""Where everything is under Compose: addresses in the backbone network, ports, and the topology made of them.

docker-compose.yml says the same in its own words; tests/compose compares the two.

    BACKBONE.0.1    control, and the AWS endpoint of the global services
    BACKBONE.0.3    the replicator
    BACKBONE.0.53   the resolver
    BACKBONE.n.1    the front of region n, counted from 1
    BACKBONE.n.10   load balancers of region n, counted from 10: addresses that its front's container has beside its own
    BACKBONE.100.2  static addresses of accelerators, counted from 2: the resolver's container has them
    BACKBONE.k.10   the client in place k, whose subnet is BACKBONE.k.0/24
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from lab.core.topology import EngineKind, PartAddress, Place, Topology, regional_addresses
from lab.data import geography, places
from lab.errors import UserError

REGIONS = ("us-east-1", "us-west-2")
THIRD_REGION = "eu-central-1"
CLIENTS = {"dublin": 101, "virginia": 102, "tokyo": 103}
"""The places that have a container, with the third number of their addresses."""
BACKBONE = "10.77"
STATE_DIR = "/lab/state"
HANDLERS_DIR = "/lab/handlers"
RUN_DIR = "/run/lab"
PART_PORT = 7000
RELAY_PORT = PART_PORT + 1
ENGINE_PORT = 4566
ENGINES: tuple[EngineKind, ...] = ("localstack", "ministack")


def topology_of(environment: Mapping[str, str], *, third: bool = False, own_engine: str | None = None) -> Topology:
    """The topology that the variables LAB_ENGINE, LAB_REGIONS, LAB_BACKBONE and LAB_SPEED mean. Raises UserError.

    `third` adds the profile's region; `own_engine` is the region whose engine the asking container reaches directly.
    """
    given = environment.get("LAB_REGIONS", "")
    codes = tuple(code for code in given.replace(",", " ").split() if code) or REGIONS
    for code in codes:
        if code not in (*REGIONS, THIRD_REGION):
            known = ", ".join((*REGIONS, THIRD_REGION))
            raise UserError(
                f"LAB_REGIONS: docker-compose.yml has no region {code!r}, it has {known}: add its services "
                "(a region, its front and its network, as for the others) and its name to lab/compose/layout.py"
                if code in geography().regions
                else f"LAB_REGIONS: {code!r} is no AWS region of the lab's data; docker-compose.yml has {known}"
            )
    if third and THIRD_REGION not in codes:
        codes += (THIRD_REGION,)
    engine = environment.get("LAB_ENGINE") or ENGINES[0]
    if engine not in ENGINES:
        raise UserError(f"LAB_ENGINE: expected one of {', '.join(ENGINES)}, got {engine!r}")
    block = environment.get("LAB_BACKBONE") or BACKBONE
    if not re.fullmatch(r"\d{1,3}\.\d{1,3}", block) or any(int(number) > 255 for number in block.split(".")):
        raise UserError(f"LAB_BACKBONE: expected the first two numbers of a network such as {BACKBONE}, got {block!r}")
    speed = _speed(environment.get("LAB_SPEED") or "1")
    regions = regional_addresses(block, codes)
    parts = [
        PartAddress("control", f"{block}.0.1", PART_PORT),
        PartAddress("replicator", f"{block}.0.3", PART_PORT),
        PartAddress("resolver", f"{block}.0.53", PART_PORT),
        *(PartAddress(f"front-{region.code}", region.address, PART_PORT) for region in regions),
        *(
            PartAddress(f"engine-{region.code}", region.code, ENGINE_PORT)
            if region.code == own_engine
            else PartAddress(f"engine-{region.code}", region.address, RELAY_PORT)
            for region in regions
        ),
    ]
    return Topology(
        block=block,
        regions=regions,
        places=tuple(_at_container(place, block) for place in places()),
        state_dir=STATE_DIR,
        run_dir=RUN_DIR,
        speed=speed,
        aws_port=4566,
        http_port=80,
        dns_port=53,
        engine=engine,
        parts=tuple(parts),
        dns_host=f"{block}.0.53",
        listen_host="0.0.0.0",
    )


def own_network(topology: Topology, part: str, region: str) -> str | None:
    """The /24 whose addresses are a container's beside its own: a front's load balancers, the accelerators."""
    if part == "front":
        return topology.region(region).address.rpartition(".")[0] + ".0"
    return f"{topology.block}.100.0" if part == "resolver" else None


def _at_container(place: Place, block: str) -> Place:
    number = CLIENTS.get(place.name)
    return place if number is None else replace(place, subnet=f"{block}.{number}.0/24")


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= 1000:
        raise UserError(f"LAB_SPEED: expected a number from 0.1 to 1000, got {text!r}")
    return speed
