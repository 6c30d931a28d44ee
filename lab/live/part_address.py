"""How one part of the lab reaches another: a Unix socket in the run folder or, between containers, TCP and a token.

The token is a file in the state folder that only the lab's own containers see; others who reach the port are refused.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

import orjson

from lab.core.topology import Topology
from lab.live.http_client import TOKEN_HEADER, Address, TcpAddress, UnixAddress
from lab.live.http_message import Request, Response, json_response
from lab.live.http_server import Handler

TOKEN_FILE = "part-token"


def part_address(topology: Topology, part: str) -> Address:
    """Where a part is called: `edge`, `control`, `front-us-east-1`, `engine-us-east-1`, ..."""
    address = topology.part_address(part)
    if address is None:
        return UnixAddress(topology.socket_path(part))
    return TcpAddress(address.host, address.port, token=part_token(topology))


def part_token(topology: Topology) -> str:
    """The token of this instance's parts; the first one to ask makes it."""
    path = Path(topology.state_dir) / TOKEN_FILE
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    own = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))
    try:
        os.link(own, path)  # fails if another container was faster: one token stands
    except FileExistsError:
        pass
    finally:
        own.unlink()
    return path.read_text().strip()


def with_token(handler: Handler, token: str) -> Handler:
    """A handler that answers only requests with the token, and `GET /health` to everyone."""

    async def answer(request: Request) -> Response | None:
        given = request.header(TOKEN_HEADER) or ""
        if request.path != "/health" and not hmac.compare_digest(given.encode(), token.encode()):
            return json_response(403, orjson.dumps({"error": "only the lab's own parts may call this port"}))
        return await handler(request)

    return answer
