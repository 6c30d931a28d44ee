"""Control's HTTP API on its TCP port, for the command line, tests and the console: faults, history, status.

Every call wants the token of the file STATE/token; requests that a web page could have forged are refused before
anything else (docs/architecture.md). What the calls do is the other modules'.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson

from lab.control.faults import Faults
from lab.control.history_log import HistoryLog
from lab.core import codec
from lab.core.forgery import forged, host_rule
from lab.core.topology import Topology
from lab.core.whole_number import whole_number
from lab.errors import EnvironmentFailure, UserError
from lab.live.http_client import CallFailed, HttpClient
from lab.live.http_message import Request, Response, json_response

PASSED_ON_LIMIT_S = 8.0
"""Less than the command line waits for control, so that it hears which part does not answer."""
DIFF_LIMIT_S = 115.0
"""A comparison reads every item of every replica."""
CONVERGED_LIMIT_MS = 600_000


def read_or_make_token(path: Path) -> str:
    """The token of this instance; a new one, readable by this user alone, if there is none."""
    try:
        token = path.read_text().strip()
        if token:
            return token
    except FileNotFoundError:
        pass
    token = secrets.token_urlsafe(32)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(token + "\n")
    return token


class TokenApi:
    """Answers the calls. `status` makes the answer of `GET /api/status`.

    `behind` tells of a document which parts have not taken it yet, and why: a change of faults says so (`not_taken`).
    """

    def __init__(
        self,
        topology: Topology,
        token: str,
        *,
        faults: Faults,
        history: HistoryLog,
        resolver: HttpClient,
        fronts: Mapping[str, HttpClient],
        replicator: HttpClient,
        status: Callable[[], Awaitable[dict[str, Any]]],
        behind: Callable[[str], dict[str, str]],
    ) -> None:
        self._token, self._topology = token, topology
        self._rule = host_rule(topology.names_of(topology.global_address))
        self._faults, self._history = faults, history
        self._resolver, self._fronts, self._replicator, self._status = resolver, fronts, replicator, status
        self._behind = behind

    async def answer(self, request: Request) -> Response:
        """Answer one request; every refusal is JSON with `error`."""
        refused = forged(request.method, request.headers, self._rule)
        if refused is not None:
            return _error(refused.status, refused.message)
        scheme, _, given = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            response = _error(401, "expected `Authorization: Bearer TOKEN` with the token of the lab's file `token`")
            response.headers.append(("WWW-Authenticate", "Bearer"))
            return response
        try:
            return await self._perform(request)
        except UserError as error:
            return _error(400, str(error))
        except EnvironmentFailure as error:
            return _error(503, str(error))

    async def _perform(self, request: Request) -> Response:
        resolver = self._topology.resolver_part
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["api", "status"]:
                return _ok(await self._status())
            case "GET", ["api", "faults"]:
                return _ok({"faults": codec.encode(self._faults.document().faults)})
            case "POST", ["api", "faults"]:
                return self._changed(codec.encode(await self._faults.begin(_json(request))))
            case "DELETE", ["api", "faults"]:
                return self._changed({"lifted": await self._faults.lift(None)})
            case "DELETE", ["api", "faults", fault_id]:
                lifted = await self._faults.lift(fault_id)
                return (
                    self._changed({"lifted": lifted}) if lifted else _error(404, f"no fault {fault_id!r} is in force")
                )
            case "GET", ["api", "history"]:
                return _ok({"events": self._history.after(_after(request))})
            case "GET", ["api", "resolve"]:
                return await self._pass_on(self._resolver, resolver, f"/resolve?{request.query}")
            case "GET", ["api", "health-checks", *rest]:
                return await self._pass_on(self._resolver, resolver, "/".join(["/status/health-checks", *rest]))
            case "GET", ["api", "accelerators", *rest]:
                target = "/".join(["/status/accelerators", *rest])
                return await self._pass_on(self._resolver, resolver, f"{target}?{request.query}")
            case "GET", ["api", ("conflicts" | "lost") as what]:
                return await self._pass_on(self._replicator, "replicator", f"/{what}?{request.query}")
            case "GET", ["api", "diff"]:
                # A comparison may take minutes; whether anybody makes it is known at once.
                there = await self._pass_on(self._replicator, "replicator", "/health")
                if there.status != 200:
                    return there
                return await self._pass_on(
                    self._replicator, "replicator", f"/diff?{request.query}", limit_s=DIFF_LIMIT_S
                )
            case "GET", ["api", "logs", region, *rest]:
                if region not in self._fronts:
                    return _error(404, f"no region {region}")
                target = "/".join(["/logs", region, *rest])
                return await self._pass_on(
                    self._fronts[region], self._topology.front_part(region), f"{target}?{request.query}"
                )
            case "GET", ["api", "documents", name]:
                return await self._document(name)
            case "POST", ["api", "converged"]:
                return await self._converged(request)
        return _error(404, f"control has no {request.method} {request.path}")

    async def _document(self, name: str) -> Response:
        """What a part goes by that has the document: the resolver or a front, whichever answers first."""
        fronts = {self._topology.front_part(code): client for code, client in self._fronts.items()}
        parts = {self._topology.resolver_part: self._resolver, **fronts}
        asked = [asyncio.ensure_future(self._pass_on(parts[part], part, f"/documents/{name}")) for part in parts]
        try:
            for answered in asyncio.as_completed(asked):
                answer = await answered
                if answer.status != 503:
                    break
            return answer
        finally:
            for task in asked:
                task.cancel()

    async def _converged(self, request: Request) -> Response:
        given = _json(request)
        timeout_ms = given.get("timeout_ms", 60_000) if isinstance(given, dict) else None
        if not isinstance(timeout_ms, int) or not 0 <= timeout_ms <= CONVERGED_LIMIT_MS:
            raise UserError(f"timeout_ms: expected milliseconds, 0 to {CONVERGED_LIMIT_MS}")
        limit_s = timeout_ms / 1000 + PASSED_ON_LIMIT_S
        return await self._pass_on(self._replicator, "replicator", "/converged", "POST", request.body, limit_s)

    def _changed(self, answer: dict[str, Any]) -> Response:
        """Of faults, with the parts that go on as if nothing had changed."""
        behind = self._behind("faults")
        return _ok({**answer, "not_taken": behind} if behind else answer)

    async def _pass_on(
        self,
        client: HttpClient,
        part: str,
        target: str,
        method: str = "GET",
        body: bytes = b"",
        limit_s: float = PASSED_ON_LIMIT_S,
    ) -> Response:
        try:
            response = await client.call(
                method,
                target.rstrip("?"),
                [("Content-Type", "application/json")],
                body,
                timeout_s=limit_s,
                idempotent=method == "GET",
            )
        except CallFailed as error:
            return _error(503, f"{part} does not answer: {error}")
        return json_response(response.status, response.body)


def _json(request: Request) -> Any:
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise UserError(f"the request's body is not JSON: {error}") from error


def _after(request: Request) -> int:
    text = dict(parse_qsl(request.query)).get("after", "0")
    number = whole_number(text)
    if number is None:
        raise UserError(f"after: expected a number of an event, got {text!r:.100}")
    return number


def _ok(value: Any) -> Response:
    return json_response(200, orjson.dumps(value))


def _error(status: int, message: str) -> Response:
    return json_response(status, orjson.dumps({"error": message}))
