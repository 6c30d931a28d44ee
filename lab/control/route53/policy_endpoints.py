"""Which alias an endpoint of a traffic policy becomes, by the endpoint's type and name.

https://docs.aws.amazon.com/general/latest/gr/s3.html, elb.html, cf_region.html. Elastic Beanstalk's environments are
taken as names in the region that they carry.
"""

from __future__ import annotations

import hashlib
import re

from lab.control.elbv2.hosted_zones import hosted_zone_id
from lab.control.route53 import names
from lab.core.endpoint_name import EndpointNames
from lab.core.traffic_policy import PolicyEndpoint
from lab.core.zone import AliasTarget

CLOUDFRONT_ZONE = "Z2FDTNDATAQYW2"
_WEBSITE_ZONES = {
    "us-east-1": "Z3AQBSTGFYJSTF",
    "us-east-2": "Z2O1EMRO9K5GLX",
    "us-west-1": "Z2F56UZL2M1ACD",
    "us-west-2": "Z3BJ6K6RIION7M",
    "ca-central-1": "Z1QDHH18159H29",
    "sa-east-1": "Z7KQH4QJS55SO",
    "eu-west-1": "Z1BKCTXD74EZPE",
    "eu-west-2": "Z3GKZC51ZF0DB4",
    "eu-west-3": "Z3R1K369G5AVDG",
    "eu-central-1": "Z21DNDUVLTQW6Q",
    "eu-north-1": "Z3BAZG2TWCNX0D",
    "ap-south-1": "Z11RGJOFQNVJUP",
    "ap-northeast-1": "Z2M4EHUR26P7ZW",
    "ap-northeast-2": "Z3W03O7B5YMIYP",
    "ap-northeast-3": "Z2YQB5RD63NC85",
    "ap-southeast-1": "Z3O0J2DXBE1FTB",
    "ap-southeast-2": "Z1WCIGYICN2BYD",
}
_DASHED = frozenset(
    ("us-east-1", "us-west-1", "us-west-2", "eu-west-1", "sa-east-1", "ap-northeast-1", "ap-southeast-1")
) | {"ap-southeast-2"}
"""The older regions, whose website endpoints have a dash before the region."""
_REGION = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-[0-9])\.")


def alias_target(endpoint: PolicyEndpoint, known: EndpointNames) -> AliasTarget | None:
    """The target of an endpoint that is an AWS resource; None if its name tells no region and nobody knows it."""
    if endpoint.type == "s3-website":
        region = endpoint.region or ""
        host = f"s3-website{'-' if region in _DASHED else '.'}{region}.amazonaws.com"
        return AliasTarget(_WEBSITE_ZONES.get(region) or _made_up("s3-website", region), names.kept(host), False)
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
