"""The DNS names of the lab's own AWS resources (regional APIs, load balancers, accelerators) and their addresses.

The resolver answers aliases from this table and the probers find their targets in it, never through the records that
their verdicts decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EndpointName:
    """One name. `name` is lower case with a final dot. `ttl` is what Route 53 answers with for an alias to it, seconds.

    `hosted_zone_id` is the id that an alias to it must give. `resource` is the API's, load balancer's or accelerator's
    id or ARN, by which its health is found.
    """

    name: str
    kind: Literal["execute-api", "regional-api-domain", "load-balancer", "accelerator", "s3-website"]
    addresses: tuple[str, ...]
    hosted_zone_id: str
    region: str | None = None
    resource: str = ""
    ttl: int = 60


@dataclass(frozen=True)
class EndpointNames:
    """The document `endpoints`."""

    names: tuple[EndpointName, ...] = ()
