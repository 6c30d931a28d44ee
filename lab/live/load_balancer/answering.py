"""From a request at a load balancer's listener to its answer: limits, rules, actions, targets.

What each step decides is `lab.core.alb_*`; this file joins the steps.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import replace
from urllib.parse import urlsplit

import orjson

from lab.core.alb_event import (
    FORWARDED_FOR_MAX,
    NotText,
    forwarded_for_count,
    forwarded_headers,
    lambda_event,
    traced,
)
from lab.core.alb_health import serving_targets
from lab.core.alb_hosts import KnownHosts
from lab.core.alb_response import (
    REQUEST_BODY_BYTES_MAX,
    Answer,
    fixed_answer,
    own_answer,
    redirect_answer,
)
from lab.core.alb_rules import (
    RuleRequest,
    choose_target_group,
    final_action,
    find_rule,
    redirect_location,
    split_query,
)
from lab.core.forgery import host_name
from lab.core.load_balancer import Action, TargetGroup
from lab.live.clock import Clock
from lab.live.load_balancer.exchange import AlbRequest, Trail
from lab.live.load_balancer.health_checks import HealthChecks
from lab.live.load_balancer.targets import Targets

STICKY_COOKIE = "AWSALBTG"
DEFAULT_IDLE_TIMEOUT_S = 60
DEFAULT_KEEP_ALIVE_S = 3600


class Answering:
    """Answers requests of one region's load balancers. `rng` makes trace ids and weighted choices."""

    def __init__(self, targets: Targets, health: HealthChecks, clock: Clock, rng: random.Random) -> None:
        self._targets, self._health, self._clock, self._rng = targets, health, clock, rng
        self._turn: dict[str, int] = {}

    async def answer(
        self, trail: Trail, request: AlbRequest, groups: dict[str, TargetGroup], hosts: KnownHosts
    ) -> Answer:
        """The answer; `trail` is filled in for the access log."""
        attributes = trail.balancer.attributes
        trail.trace_id = traced(request.header("x-amzn-trace-id"), self._rng, request.received_ms)
        host = host_name(request.header("host") or "")
        if request.method == "TRACE":
            return own_answer(405)
        if request.method == "CONNECT" or not host:
            return own_answer(400)
        if not hosts.allows(host):
            trail.why = f"Host {host!r} is no name of this load balancer, of an accelerator or of a hosted zone"
            return replace(own_answer(421), body=f"{trail.why}\n".encode())
        if forwarded_for_count(request.headers) > FORWARDED_FOR_MAX:
            return own_answer(463)
        try:
            path, query = _path_and_query(request.target)
        except ValueError:
            return own_answer(400)
        asked = RuleRequest(request.method, host, path, split_query(query), request.headers, request.client[0])
        rule = find_rule(trail.listener, asked)
        action = final_action(rule)
        trail.rule_priority, trail.action = rule.priority, action.type
        if action.type == "fixed-response":
            return fixed_answer(action)
        if action.type == "redirect":
            listener = trail.listener
            trail.redirect_url = redirect_location(
                action, protocol=listener.protocol, host=host, port=listener.port, path=path, query=query
            )
            return redirect_answer(action.status_code, trail.redirect_url)
        group = self._target_group(trail, action, request, groups)
        if group is None:
            return own_answer(503)
        headers = forwarded_headers(
            request.headers,
            client=request.client[0],
            client_port=request.client[1],
            port=trail.listener.port,
            protocol=trail.listener.protocol,
            trace=trail.trace_id,
            attributes=attributes,
            tls=request.tls[:2] if request.tls is not None else None,
        )
        return await self._forward(trail, group, request, path, query, headers)

    def _target_group(
        self, trail: Trail, action: Action, request: AlbRequest, groups: dict[str, TargetGroup]
    ) -> TargetGroup | None:
        """The target group by stickiness, then by weight; None if there is none to choose."""
        chosen = None
        if action.stickiness_s is not None and len(action.target_groups) > 1:
            held = _cookie(request, STICKY_COOKIE)
            chosen = next((g for g in action.target_groups if held is not None and held == _sticky_value(g.arn)), None)
        chosen = chosen or choose_target_group(action.target_groups, self._rng)
        if chosen is None:
            return None
        if action.stickiness_s is not None and len(action.target_groups) > 1:
            cookie = f"{_sticky_value(chosen.arn)}; Path=/; Max-Age={action.stickiness_s}"
            trail.cookies += [f"{STICKY_COOKIE}={cookie}", f"{STICKY_COOKIE}CORS={cookie}; SameSite=None"]
        return groups.get(chosen.arn)

    async def _forward(
        self, trail: Trail, group: TargetGroup, request: AlbRequest, path: str, query: str,
        headers: list[tuple[str, str]],
    ) -> Answer:  # fmt: skip
        trail.target_group_arn = group.arn
        targets = serving_targets(self._health.targets_of(group))
        if not targets:
            return own_answer(503)
        turn = self._turn[group.arn] = (self._turn.get(group.arn, -1) + 1) % len(targets)
        target = targets[turn]
        loop = asyncio.get_running_loop()
        if group.target_type == "ip":
            if request.websocket:
                return own_answer(400)
            trail.target = f"{target.id}:{target.port or group.port}"
            uri = f"{path}?{query}" if query else path
            idle_s = float(trail.balancer.attributes.get("idle_timeout.timeout_seconds", DEFAULT_IDLE_TIMEOUT_S))
            trail.sent_to_target_s = loop.time()
            answer, trail.why = await self._targets.forward(
                target, group, request.method, uri, headers, request.body, self._clock.deadline_s(idle_s * 1000)
            )
        else:
            trail.target = target.id
            if request.websocket:
                return own_answer(400, "LambdaWebsocketNotSupported")
            if len(request.body) > REQUEST_BODY_BYTES_MAX:
                return own_answer(413, "LambdaRequestTooLarge")
            try:
                event = lambda_event(
                    group.arn,
                    method=request.method,
                    path=path,
                    query=query,
                    headers=headers,
                    body=request.body,
                    multi_value=group.multi_value_headers,
                )
            except NotText as error:
                trail.why = str(error)
                return own_answer(400, "LambdaBadRequest")
            trail.sent_to_target_s = loop.time()
            answer, trail.why = await self._targets.invoke(group, target, orjson.dumps(event), trail.trace_id)
        trail.answered_by_target_s = loop.time()
        if answer.made_by_target:
            trail.target_status = answer.status
        return answer


def _path_and_query(target: str) -> tuple[str, str]:
    """Path and query of an origin-form or absolute-form target. Raises ValueError."""
    if not target.startswith("/"):
        parts = urlsplit(target)
        return parts.path or "/", parts.query
    path, _, query = target.partition("?")
    return path, query


def _sticky_value(arn: str) -> str:
    return hashlib.sha256(arn.encode()).hexdigest()


def _cookie(request: AlbRequest, name: str) -> str | None:
    for key, value in request.headers:
        if key == "cookie":
            for pair in value.split(";"):
                cookie, _, content = pair.strip().partition("=")
                if cookie == name:
                    return content
    return None
