"""How long a failover through Route 53 may take: what detection, TTL and the client's own timeout add up to.

Detection: a checker flips after `failure_threshold` failures, each an interval after the last answer
(https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html). A check
is answered at once by a region that refuses; of one that hangs it learns when its timeout is over.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FailoverBound:
    """The parts of the bound, in real milliseconds (a lab that runs fast has divided them already)."""

    detection_ms: int
    ttl_ms: int
    client_ms: int
    slack_ms: int

    @property
    def total_ms(self) -> int:
        """After so long every place must have been served again."""
        return self.detection_ms + self.ttl_ms + self.client_ms + self.slack_ms


def failover_bound(
    *,
    request_interval_s: int,
    failure_threshold: int,
    check_timeout_ms: float,
    ttl_s: int,
    client_timeout_ms: int,
    speed: float,
    slack_ms: int = 1500,
) -> FailoverBound:
    """The bound of one health check and one record.

    `check_timeout_ms` is what a failing check takes in real time (0 where connections are refused). The first failure
    comes up to one whole interval after the fault, and a check that was under way counts from its own answer.
    `client_timeout_ms` counts once: the last request that was sent to the dead region. `slack_ms` is for a machine
    that is busy.
    """
    interval_ms = request_interval_s * 1000 / speed
    detection_ms = failure_threshold * (interval_ms + check_timeout_ms)
    return FailoverBound(round(detection_ms), round(ttl_s * 1000 / speed), client_timeout_ms, slack_ms)
