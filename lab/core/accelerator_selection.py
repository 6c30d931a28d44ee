"""Which endpoint an accelerator's new connection goes to, and why.

Nearest group first, traffic dials, weights, client affinity, failover, fail-open. A decision depends on the flow's
addresses alone (and a seed), so the same flow always gets the same answer. Health and distance are the caller's.

https://docs.aws.amazon.com/global-accelerator/latest/dg/about-endpoint-groups-traffic-dial.html
https://docs.aws.amazon.com/global-accelerator/latest/dg/about-endpoints-endpoint-weights.html
https://docs.aws.amazon.com/global-accelerator/latest/dg/about-listeners-client-affinity.html

Where AWS says nothing, the lab does this: a flow that every dial above 0 has refused is served by the farthest group
whose dial is above 0 (this gives AWS's published example of two groups at 50 %: each serves 50 of 100); if all dials
are 0, by the closest group; "the three closest groups" of a failover are the three closest besides the one that failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from lab.core.accelerator import AcceleratorListener, ClientAffinity, Endpoint, EndpointGroup

FAILOVER_GROUPS = 3
"""How many other groups are tried, in order of distance, before the accelerator fails open."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One TCP connection's addresses: the client's, and the static address and port that it called."""

    source: str
    source_port: int
    target: str
    target_port: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a connection goes. `endpoint` is None if there is no endpoint at all: it is dropped.

    `path` tells how the choice came about: "dial", "overflow", "failover" or "fail-open". `reasons` are sentences.
    """

    group: EndpointGroup | None
    endpoint: Endpoint | None
    port: int
    path: str
    reasons: tuple[str, ...] = ()


def flow_key(flow: Flow, affinity: ClientAffinity) -> bytes:
    """What is hashed: five values, or source and static address alone where clients are to stick."""
    if affinity == "SOURCE_IP":
        return f"{flow.source}>{flow.target}".encode()
    return f"{flow.source}:{flow.source_port}>{flow.target}:{flow.target_port}/tcp".encode()


def _fraction(key: bytes, salt: str) -> float:
    """A number from 0 up to, not including, 1 that depends on key and salt alone."""
    digest = blake2b(key, digest_size=8, key=salt.encode()[:64]).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def _salt(seed: int, name: str) -> str:
    """A salt of at most 64 bytes; the end of a name (an ARN's id) is what differs."""
    return f"{seed}/{name[-40:]}"


def pick_weighted(endpoints: Sequence[Endpoint], key: bytes, seed: int) -> Endpoint:
    """One endpoint, by weight over the sum of weights; all weights are above 0.

    Rendezvous hashing: when an endpoint joins, leaves or changes weight, only its own share of the flows moves.
    """
    if len(endpoints) == 1:
        return endpoints[0]
    # The smallest of exponentials with rates w_i is the i-th with probability w_i over the sum of rates.
    return min(
        endpoints,
        key=lambda e: -math.log(1.0 - _fraction(key, _salt(seed, e.endpoint_id))) / e.weight,
    )


class _Reasons:
    """Gathers sentences, if anyone wants them: making them costs as much as the decision."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.given: tuple[str, ...] = ()

    def add(self, group: EndpointGroup, why: str, *values: object) -> None:
        if self.wanted:
            self.given = (*self.given, f"{group.region}: {why.format(*values)}")


def _dialled(groups: Sequence[EndpointGroup], key: bytes, seed: int, reasons: _Reasons) -> EndpointGroup:
    """The group that the traffic dials give, nearest first."""
    last_open = None
    for group in groups:
        dial = group.traffic_dial_percentage
        if dial > 0:
            last_open = group
        if dial >= 100.0:
            reasons.add(group, "its dial at {:g} % takes all that reaches it", dial)
            return group
        if dial > 0 and 100.0 * _fraction(key, _salt(seed, group.arn)) < dial:
            reasons.add(group, "within its dial of {:g} %", dial)
            return group
        reasons.add(group, "turned away by its dial of {:g} %", dial)
    if last_open is not None:
        reasons.add(last_open, "the farthest group with an open dial takes what is left")
        return last_open
    reasons.add(groups[0], "all dials are at 0; the closest group serves")
    return groups[0]


def select(
    listener: AcceleratorListener,
    flow: Flow,
    *,
    distance: Callable[[str], float],
    healthy: Callable[[str], bool],
    seed: int = 0,
) -> Choice:
    """Choose for one new connection. `distance(region)` is from the client, in any unit; `healthy(endpoint_id)`."""
    groups = [group for _, _, group in sorted((distance(g.region), n, g) for n, g in enumerate(listener.groups))]
    return select_in_order(groups, flow, listener.client_affinity, healthy=healthy, seed=seed)


def select_in_order(
    groups: Sequence[EndpointGroup],
    flow: Flow,
    affinity: ClientAffinity,
    *,
    healthy: Callable[[str], bool],
    seed: int = 0,
    explain: bool = True,
) -> Choice:
    """As `select`, with the groups already in order of distance from the client, closest first.

    Without `explain` the choice has no reasons and costs half.
    """
    if not any(group.endpoints for group in groups):
        return Choice(None, None, flow.target_port, "none", ("the listener has no endpoints: connections are dropped",))
    reasons = _Reasons(explain)
    key = flow_key(flow, affinity)
    first = _dialled(groups, key, seed, reasons)
    if (endpoint := _serving(first, key, healthy, seed)) is not None:
        return _choice(first, endpoint, flow, "dial" if first is groups[0] else "overflow", reasons)
    reasons.add(first, "no healthy endpoint with a weight above 0")
    others = [group for group in groups if group is not first][:FAILOVER_GROUPS]
    for group in others:
        if (endpoint := _serving(group, key, healthy, seed)) is not None:
            reasons.add(group, "failover ignores dials")
            return _choice(group, endpoint, flow, "failover", reasons)
        reasons.add(group, "no healthy endpoint with a weight above 0")
    closest = next(group for group in groups if group.endpoints)
    index = int(_fraction(key, _salt(seed, f"open/{closest.arn}")) * len(closest.endpoints))
    reasons.add(closest, "the closest group fails open to any of its endpoints")
    return _choice(closest, closest.endpoints[index], flow, "fail-open", reasons)


def _serving(group: EndpointGroup, key: bytes, healthy: Callable[[str], bool], seed: int) -> Endpoint | None:
    candidates = [e for e in group.endpoints if e.weight > 0 and healthy(e.endpoint_id)]
    return pick_weighted(candidates, key, seed) if candidates else None


def _choice(group: EndpointGroup, endpoint: Endpoint, flow: Flow, path: str, reasons: _Reasons) -> Choice:
    return Choice(group, endpoint, group.endpoint_port(flow.target_port), path, reasons.given)
