"""Which rule of a listener a request meets, and what its action makes of it.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-rules.html
Host names and query strings compare without regard to case, paths and methods with; `*` stands for any characters, `?`
for one. `source-ip` is the connection's peer, never X-Forwarded-For.
"""

from __future__ import annotations

import functools
import ipaddress
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.load_balancer import Action, Condition, LoadBalancerListener, QueryStringValue, Rule, TargetGroupTuple


@dataclass(frozen=True)
class RuleRequest:
    """What rules look at. `host` without port; `path` and `query` as sent; `headers` with lower-case names."""

    method: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Sequence[tuple[str, str]]
    source_ip: str


def split_query(query: str) -> tuple[tuple[str, str], ...]:
    """The pairs of a query string, in order, not decoded."""
    if not query:
        return ()
    return tuple((key, value) for key, _, value in (pair.partition("=") for pair in query.split("&") if pair))


@dataclass(frozen=True)
class _Wildcard:
    """A pattern cut at its stars. Each piece is a regular expression without repetition, so matching takes time
    proportional to pattern times value, whatever the pattern (one expression with several `.*` would not)."""

    pieces: tuple[re.Pattern[str], ...]
    last_length: int

    def matches(self, value: str) -> bool:
        first, *middle = self.pieces
        if not middle:
            return first.fullmatch(value) is not None
        found = first.match(value)
        if found is None:
            return False
        position, last = found.end(), middle.pop()
        for piece in middle:  # the leftmost place leaves the most for the pieces that follow
            found = piece.search(value, position)
            if found is None:
                return False
            position = found.end()
        # A piece matches one character for each of its own, so where the last one must begin is known.
        start = len(value) - self.last_length
        return start >= position and last.fullmatch(value, start) is not None


@functools.lru_cache(maxsize=4096)
def _wildcard(pattern: str, ignore_case: bool) -> _Wildcard:
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    pieces = pattern.split("*")
    return _Wildcard(
        tuple(re.compile("".join("." if c == "?" else re.escape(c) for c in piece), flags) for piece in pieces),
        len(pieces[-1]),
    )


def _like(pattern: str, value: str, *, ignore_case: bool) -> bool:
    return _wildcard(pattern, ignore_case).matches(value)


@functools.lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@functools.lru_cache(maxsize=1024)
def _network(cidr: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(cidr, strict=False)


def condition_holds(condition: Condition, request: RuleRequest) -> bool:
    """Whether any value of one condition fits."""
    match condition.field:
        case "host-header":
            return _any_like(condition, request.host, ignore_case=True)
        case "path-pattern":
            return _any_like(condition, request.path, ignore_case=False)
        case "http-request-method":
            return request.method in condition.values
        case "http-header":
            name = (condition.http_header_name or "").lower()
            return any(_any_like(condition, value, ignore_case=True) for key, value in request.headers if key == name)
        case "query-string":
            return any(_query_holds(wanted, request.query) for wanted in condition.query_strings)
        case "source-ip":
            address = ipaddress.ip_address(request.source_ip)
            return any(address in _network(cidr) for cidr in condition.values)


def _any_like(condition: Condition, value: str, *, ignore_case: bool) -> bool:
    return any(_like(pattern, value, ignore_case=ignore_case) for pattern in condition.values) or any(
        _regex(pattern).search(value) is not None for pattern in condition.regex_values
    )


def _query_holds(wanted: QueryStringValue, pairs: Sequence[tuple[str, str]]) -> bool:
    return any(
        (wanted.key is None or _like(wanted.key, key, ignore_case=True))
        and _like(wanted.value, value, ignore_case=True)
        for key, value in pairs
    )


def find_rule(listener: LoadBalancerListener, request: RuleRequest) -> Rule:
    """The first rule, by priority, of which all conditions hold; the default rule has none."""
    for rule in listener.rules:
        if all(condition_holds(condition, request) for condition in rule.conditions):
            return rule
    raise AssertionError(f"{listener.arn} has no default rule")


def final_action(rule: Rule) -> Action:
    """The action that answers: the last by order."""
    return rule.actions[-1]


def choose_target_group(groups: Sequence[TargetGroupTuple], rng: random.Random) -> TargetGroupTuple | None:
    """One target group by weight; None if all weights are 0. A group's health or emptiness plays no part."""
    total = sum(group.weight for group in groups)
    if total == 0:
        return None
    if len(groups) == 1:
        return groups[0]
    point = rng.randrange(total)
    for group in groups:
        point -= group.weight
        if point < 0:
            return group
    raise AssertionError("weights do not add up")


def redirect_location(action: Action, *, protocol: str, host: str, port: int, path: str, query: str) -> str:
    """The Location of a redirect. `protocol` is "HTTP" or "HTTPS"; `path` starts with a slash; `query` has no mark.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html
    """
    known = {
        "#{protocol}": protocol.lower(),
        "#{host}": host,
        "#{port}": str(port),
        "#{path}": path.removeprefix("/"),
        "#{query}": query,
    }

    def fill(template: str) -> str:
        for keyword, value in known.items():
            template = template.replace(keyword, value)
        return template

    new_protocol = fill(action.redirect_protocol).lower()
    new_query = fill(action.redirect_query)
    location = f"{new_protocol}://{fill(action.redirect_host)}:{fill(action.redirect_port)}{fill(action.redirect_path)}"
    return f"{location}?{new_query}" if new_query else location
