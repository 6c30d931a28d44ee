"""Route 53's health checkers: who they are, which of them a health check uses, and how many must agree.

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
AWS does not publish how many checkers a region has; two in each of eight give the request every two seconds that it
documents for an interval of 30 seconds.

The eight regions are where Route 53's own checkers are, whichever regions the lab has. They are part of the global
service: a region that is down takes its endpoints along, not the checkers that AWS calls by its name. What comes
between a checker and an endpoint is a cut link between their two regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.health_check import CHECKER_REGIONS, HealthCheck

CHECKERS_PER_REGION = 2
HEALTHY_SHARE_MIN = 0.18
"""A check is healthy when more than this share of its checkers finds the endpoint healthy."""


@dataclass(frozen=True)
class Checker:
    """One health checker. `address` is what it is called by in observations; it sends from the lab's own address."""

    region: str
    address: str


CHECKERS = tuple(
    Checker(region, f"198.19.{200 + n}.{number}")
    for n, region in enumerate(CHECKER_REGIONS)
    for number in range(1, CHECKERS_PER_REGION + 1)
)


def checkers_of(check: HealthCheck) -> tuple[Checker, ...]:
    """The checkers that probe for a health check: those of its regions, or all."""
    if not check.regions:
        return CHECKERS
    return tuple(checker for checker in CHECKERS if checker.region in check.regions)


def enough_agree(opinions: Sequence[bool]) -> bool:
    """Whether an endpoint is healthy, by its checkers' opinions; without any it is."""
    return not opinions or sum(opinions) / len(opinions) > HEALTHY_SHARE_MIN
