"""One blocking call to a part over TCP, for what runs in a container and is no part itself."""

from __future__ import annotations

import http.client
import json
from typing import Any

from lab.core.topology import Topology
from lab.errors import LabUnreachable
from lab.live.http_client import TOKEN_HEADER
from lab.live.part_address import part_token

LIMIT_S = 5.0


def call_part(topology: Topology, part: str, method: str, target: str) -> Any:
    """The decoded answer. Raises LabUnreachable."""
    address = topology.part_address(part)
    assert address is not None
    connection = http.client.HTTPConnection(address.host, address.port, timeout=LIMIT_S)
    try:
        connection.request(method, target, headers={TOKEN_HEADER: part_token(topology)})
        response = connection.getresponse()
        data = response.read()
        if response.status >= 300:
            raise LabUnreachable(f"{part} answered {response.status} to {method} {target}")
        return json.loads(data) if data else None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise LabUnreachable(f"{part} does not answer at {address.host}:{address.port} ({error})") from error
    finally:
        connection.close()
