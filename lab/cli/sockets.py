"""Calls to the Unix sockets of a lab's parts, for commands that must work while control is away."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from lab.core.topology import Topology
from lab.errors import LabUnreachable

ANSWER_LIMIT_S = 2.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, limit_s: float) -> None:
        super().__init__("localhost", timeout=limit_s)
        self._path, self._limit_s = path, limit_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._limit_s)
        self.sock.connect(self._path)


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
