"""A connection to an address of the lab, as someone in a place makes it, for `lab curl`.

Load balancers and accelerators hear of the place by the PROXY protocol, whose preface comes first, before TLS too. TLS
is theirs alone, with certificates of the lab's own authority, which nobody else is asked to trust.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from lab.cli.project import RunningLab
from lab.cli.sockets import ask_accelerators
from lab.core import proxy_protocol
from lab.core.topology import Place
from lab.errors import LabUnreachable, UserError


def connect(
    lab: RunningLab, place: Place | None, address: str, port: int, limit_s: float
) -> tuple[socket.socket, dict[str, Any] | None]:
    """A connected socket, and where the accelerator takes it and why, if it is an accelerator's address.

    `port` is the port as clients call it. Raises OSError.
    """
    topology = lab.topology
    sock = socket.create_connection(topology.reachable(address, topology.listening_port(port)), timeout=limit_s)
    kind = topology.traffic_at(address)
    if kind is None:
        return sock, None
    here = sock.getsockname()
    client = (place.client_address if place is not None else here[0], here[1])
    try:
        if place is not None:
            sock.sendall(proxy_protocol.format_v1(client, (address, port)))
    except OSError:
        sock.close()
        raise
    return sock, _choice(lab, client, (address, port)) if kind == "accelerator" else None


def _choice(lab: RunningLab, client: tuple[str, int], called: tuple[str, int]) -> dict[str, Any] | None:
    """Where a connection from a client goes: the choice depends on its addresses, so it is this connection's own."""
    query = urlencode({"client": f"{client[0]}:{client[1]}", "called": f"{called[0]}:{called[1]}"})
    try:
        return dict(ask_accelerators(lab, f"/choice?{query}"))
    except LabUnreachable:
        return None


def describe_choice(choice: dict[str, Any]) -> list[str]:
    """Where the accelerator took the connection and why, in lines."""
    endpoint = str(choice["endpoint"]).rpartition(":loadbalancer/app/")[2].partition("/")[0]
    to = f"load balancer {endpoint} in {choice['region']}, by {choice['path']}" if choice["endpoint"] else "dropped"
    lines = [f"endpoint  {to}", f"why       from {choice['place']}, over the edge in {choice['edge']}"]
    return lines + [f"            {reason}" for reason in choice["reasons"]]


def tls_context(lab: RunningLab, url: str, address: str) -> ssl.SSLContext:
    """What trusts the lab's authority and nobody else. Raises UserError where there is no TLS."""
    if lab.topology.traffic_at(address) is None:
        raise UserError(
            f"{url}: {address} has no TLS: in the lab load balancers have it, and accelerators before them; use http://"
        )
    authority = Path(lab.instance.state_dir) / "certificates" / "ca.pem"
    if not authority.exists():
        raise UserError(f"{url}: no load balancer of the lab has an HTTPS listener yet")
    return ssl.create_default_context(cafile=authority)
