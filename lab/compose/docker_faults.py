"""Faults by Docker's own means, from the host: a region's containers stopped, killed, paused, or cut off the network.

What each looks like from outside, and on AWS:

    stop, kill   nobody answers, and the engine's memory is gone: a region lost with its data
    pause        connections open and nothing comes back: a region whose services hang
    disconnect   packets to the front go nowhere, the engine lives on: a region whose network is partitioned off

Nothing is written down: `heal_containers` looks at the containers and puts right what is not as Compose made it, so it
also heals what a crashed drill or a docker command left.
"""

from __future__ import annotations

from typing import Any, Literal

from lab.compose.host import BACKBONE_NETWORK, ComposeProject
from lab.errors import UserError

ContainerFault = Literal["stop", "kill", "pause", "disconnect"]
CONTAINER_FAULTS: tuple[ContainerFault, ...] = ("stop", "kill", "pause", "disconnect")
STOP_TIMEOUT_S = 3
FRONT = "front-"
PARTS = ("control", "replicator", "resolver")


def break_region(project: ComposeProject, region: str, fault: ContainerFault) -> None:
    """Have a fault happen to a region's containers: its engine and its front. Raises UserError, EnvironmentFailure."""
    front, engine = project.container(f"front-{region}"), project.container(region)
    match fault:
        case "disconnect":
            joined = [name for name in (BACKBONE_NETWORK, region) if _is_on(project, name, front)]
            if not joined:
                raise UserError(f"{region} is disconnected already: `lab heal` connects it")
            for name in joined:  # from one alone, Docker would publish the host's ports through the other
                project.network(name).disconnect(front, force=True)
        case "pause":
            for container in (front, engine):
                if container.status == "paused":
                    raise UserError(f"{region} is paused already: `lab heal` resumes it")
            for container in (front, engine):
                container.pause()
        case "stop" | "kill":
            for container in (front, engine):
                if container.status == "running":
                    container.stop(timeout=STOP_TIMEOUT_S) if fault == "stop" else container.kill()


def heal_containers(project: ComposeProject) -> list[str]:
    """Resume, connect and start what is not as Compose made it; what was done, in words."""
    done = []
    containers = project.containers()
    for service, container in containers.items():
        was = resume(container)
        if was is not None:
            done.append(f"{service} was {was}")
    for service, container in containers.items():
        address = _address_of(service, container, containers)
        if address is None:
            continue
        missing = missing_networks(project.name, service, container)
        for name in missing:
            own = address if name == BACKBONE_NETWORK else None
            project.network(name).connect(container, ipv4_address=own, aliases=[service])
        if missing:
            done.append(f"{service} was disconnected")
    return done


def resume(container: Any) -> str | None:
    """Have a container run that is paused or has ended; what it was, None if there was nothing to do."""
    was: str = container.status
    if was == "paused":
        container.unpause()
    elif was in ("exited", "created", "dead"):
        container.start()
    else:
        return None
    return was


def missing_networks(project: str, service: str, container: Any) -> list[str]:
    """The networks that a part is on as Compose made it, and is not on now; none for what is no part."""
    if service not in PARTS and not service.startswith(FRONT):
        return []
    container.reload()
    joined = container.attrs["NetworkSettings"]["Networks"]
    meant = [BACKBONE_NETWORK, *([service.removeprefix(FRONT)] if service.startswith(FRONT) else [])]
    return [name for name in meant if f"{project}_{name}" not in joined]


def _is_on(project: ComposeProject, name: str, container: Any) -> bool:
    container.reload()
    return project.network(name).name in container.attrs["NetworkSettings"]["Networks"]


def _address_of(service: str, container: Any, containers: dict[str, Any]) -> str | None:
    """The address that docker-compose.yml gives a part; None for what is no part of the lab."""
    if service not in PARTS and not service.startswith(FRONT):
        return None
    from lab.compose.layout import topology_of

    environment = dict(entry.split("=", 1) for entry in container.attrs["Config"]["Env"])
    address = topology_of(environment, third="third-region" in containers).part_address(service)
    return None if address is None else address.host
