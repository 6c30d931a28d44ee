"""The calls about DNS and health checks of docs/architecture.md, for the part that has the server and the checkers."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import orjson

from lab.live.dns import DnsServer
from lab.live.http_message import Request, Response, json_response
from lab.live.probes import Probers


def answer_resolver_call(request: Request, dns: DnsServer, probers: Probers) -> Response | None:
    """Answer `GET /status/health-checks[/ID]` and `GET /resolve`; None for any other call."""
    match request.path.strip("/").split("/"):
        case ["status", "health-checks"]:
            return _json(200, probers.status())
        case ["status", "health-checks", health_check_id]:
            status = probers.status()
            if health_check_id not in status:
                return _json(404, {"error": f"no health check {health_check_id}"})
            return _json(200, {health_check_id: status[health_check_id]})
        case ["resolve"]:
            try:
                return _json(200, dns.explain(dict(parse_qsl(request.query))))
            except ValueError as error:
                return _json(400, {"error": str(error)})
        case _:
            return None


def _json(status: int, value: Any) -> Response:
    return json_response(status, orjson.dumps(value))
