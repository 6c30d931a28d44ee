"""Which alias an endpoint of a traffic policy becomes, by the endpoint's type and name.

https://docs.aws.amazon.com/general/latest/gr/elb.html, cf_region.html. Elastic Beanstalk's environments are
taken as names in the region that they carry.
"""

from __future__ import annotations

import hashlib
import re

from lab.control.elbv2.hosted_zones import hosted_zone_id
from lab.control.route53 import names
from lab.control.route53.website_endpoints import website_host, website_zone_id
from lab.core.endpoint_name import EndpointNames
from lab.core.traffic_policy import PolicyEndpoint
from lab.core.zone import AliasTarget

CLOUDFRONT_ZONE = "Z2FDTNDATAQYW2"
_REGION = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-[0-9])\.")


def alias_target(endpoint: PolicyEndpoint, known: EndpointNames) -> AliasTarget | None:
    """The target of an endpoint that is an AWS resource; None if its name tells no region and nobody knows it."""
    if endpoint.type == "s3-website":
        region = endpoint.region or ""
        return AliasTarget(website_zone_id(region), website_host(region), False)
    name = names.kept(endpoint.value)
    if endpoint.type == "cloudfront":
        return AliasTarget(CLOUDFRONT_ZONE, name, False)
    for own in known.names:
        if own.name == name.removeprefix("dualstack."):
            return AliasTarget(own.hosted_zone_id, name, False)
    found = _REGION.search(f".{name}")
    if found is None:
        return None
    if endpoint.type == "elastic-beanstalk":
        return AliasTarget(_made_up(endpoint.type, found[1]), name, False)
    return AliasTarget(hosted_zone_id(found[1]), name, False)


def _made_up(kind: str, region: str) -> str:
    return "Z" + hashlib.sha256(f"{kind} {region}".encode()).hexdigest()[:13].upper()
