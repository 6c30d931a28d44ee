"""Whether a regional service of AWS's own (API Gateway, S3) is available, as far as Route 53 judges aliases to it.

An alias with EvaluateTargetHealth to a regional API or an S3 website asks nothing of the API or the bucket: it fails
only when the service itself is unavailable in its region, and AWS recommends a health check instead. How soon AWS
notices is not documented; the lab looks as often as a health check with the default settings does, and takes the first
answer for the end of an outage.
https://docs.aws.amazon.com/apigateway/latest/developerguide/dns-failover.html
https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html
"""

from __future__ import annotations

from dataclasses import dataclass

INTERVAL_MS = 30_000
FAILURES_TO_UNAVAILABLE = 3
REGIONAL_SERVICES = {"execute-api": "execute-api", "regional-api-domain": "execute-api", "s3-website": "s3-website"}
"""The service behind each kind of endpoint name that is judged by its service; load balancers have targets. The data
plane knows it by the Host SERVICE.REGION.amazonaws.com."""


@dataclass
class ServiceAvailability:
    """One service in one region; available until it has failed three times in a row."""

    available: bool = True
    failures: int = 0

    def take(self, answered: bool) -> bool:
        """Take what one look found (an answer that is no error of the service); whether that changed the verdict."""
        was = self.available
        self.failures = 0 if answered else self.failures + 1
        self.available = self.failures < FAILURES_TO_UNAVAILABLE
        return self.available != was
