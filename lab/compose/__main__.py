"""`python -m lab.compose PART [REGION]`: what a container of the lab's image runs.

PART is `control`, `replicator`, `resolver`, `front REGION`, `ministack REGION`, `deployment`, `settings`
(says what is wrong with the settings and ends) or `topology` (prints the topology as JSON). The settings are
environment variables (`lab.compose.layout`).
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.compose.layout import RUN_DIR, THIRD_REGION, own_network, topology_of
from lab.compose.own_addresses import become_user, take_network
from lab.core.topology import Topology
from lab.errors import LabError, UserError

THIRD_REGION_HOST = "third-region"
"""A container that is there only with the profile `three`."""


def main(arguments: Sequence[str]) -> int:
    """Run a part; the exit status."""
    try:
        name, region = (*arguments, "", "")[:2]
        if name == "settings":
            topology_of(os.environ)
            return 0
        topology = container_topology(os.environ, name, region)
        if region and region not in topology.region_codes:
            raise UserError(f"{name}: this lab has no region {region!r}, it has {', '.join(topology.region_codes)}")
        if os.geteuid() == 0 and name != "deployment":
            network = own_network(topology, name, region)
            if network is not None:
                take_network(network, 24)
            become_user()
        return _run(name, region, topology)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr, flush=True)
        return error.exit_status


def _run(name: str, region: str, topology: Topology) -> int:
    from lab.live.part import run_part
    from lab.live.topology_file import write_topology

    Path(RUN_DIR).mkdir(parents=True, exist_ok=True)
    path = Path(RUN_DIR) / "topology.json"
    write_topology(path, topology)
    for left in Path(RUN_DIR).glob("*.sock"):
        left.unlink()  # of a run that was killed
    match name:
        case "control":
            from lab.control.app import Control

            return run_part("control", Control, [str(path)], hello=False)
        case "replicator":
            from lab.live.replicator.service import Replicator

            return run_part("replicator", Replicator, [str(path)])
        case "resolver":
            from lab.live.resolver_part import ResolverPart

            return run_part("resolver", ResolverPart, [str(path)])
        case "front":
            from lab.live import front_part

            return front_part.main([str(path), region])
        case "ministack":
            from lab.compose.ministack_container import run_ministack

            return run_ministack(path, topology, region)
        case "deployment":
            from lab.compose.deployment import run_deployment

            return run_deployment(topology)
        case "topology":
            print(path.read_text())
            return 0
        case _:
            raise UserError(
                f"no part {name!r}: expected control, replicator, resolver, front, ministack, deployment or settings"
            )


def container_topology(environment: Mapping[str, str], name: str, region: str) -> Topology:
    """The lab as the container of a part sees it. Raises UserError.

    The third region's engine is on its region's network alone, where nobody tells that there is a third region.
    """
    third = region == THIRD_REGION or has_third_region()
    return topology_of(environment, third=third, own_engine=region if name in ("front", "ministack") else None)


def has_third_region() -> bool:
    """Whether the profile `three` is on, from within a container."""
    try:
        socket.gethostbyname(THIRD_REGION_HOST)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
