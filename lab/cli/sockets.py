"""Calls to the Unix sockets of a lab's parts, for commands that must work while control is away."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lab.core.topology import Topology
from lab.errors import LabUnreachable

if TYPE_CHECKING:
    from lab.cli.project import RunningLab

ANSWER_LIMIT_S = 2.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, limit_s: float) -> None:
        super().__init__("localhost", timeout=limit_s)
        self._path, self._limit_s = path, limit_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._limit_s)
        self.sock.connect(self._path)


def ask_accelerators(lab: RunningLab, query: str) -> Any:
    """What `GET /status/accelerators` and what follows of `query` answers. Raises LabError."""
    if lab.topology.parts:  # in containers the parts are asked through control
        return lab.call("GET", f"/api/accelerators{query}")
    return ask_part(lab.topology, "edge", f"/status/accelerators{query}")


def ask_dns(lab: RunningLab, query: dict[str, str]) -> Any:
    """What the lab's DNS answers to `name`, `type` and `client` of a query, and why. Raises LabError.

    DNS needs no control to answer; in containers only control reaches the part that does.
    """
    try:
        return lab.call("GET", "/api/resolve", query=query, limit_s=ANSWER_LIMIT_S)
    except LabUnreachable:
        if lab.topology.parts:
            raise
        return ask_part(lab.topology, "edge", f"/resolve?{urlencode(query)}")


def ask_part(topology: Topology, part: str, target: str, *, limit_s: float = ANSWER_LIMIT_S) -> Any:
    """The decoded answer of `GET target` on a part's socket. Raises LabUnreachable."""
    connection = _UnixConnection(topology.socket_path(part), limit_s)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise LabUnreachable(f"{part} answered {response.status} to GET {target}")
        return json.loads(data)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise LabUnreachable(f"{part} does not answer ({error})") from error
    finally:
        connection.close()
