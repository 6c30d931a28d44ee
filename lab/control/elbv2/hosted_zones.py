"""The hosted zone ids that an alias to an Application Load Balancer must give, by region.

https://docs.aws.amazon.com/general/latest/gr/elb.html. Regions that are not listed get an id of the lab's own.
"""

from __future__ import annotations

import hashlib

_KNOWN = {
    "us-east-1": "Z35SXDOTRQ7X7K",
    "us-east-2": "Z3AADJGX6KTTL2",
    "us-west-1": "Z368ELLRRE2KJ0",
    "us-west-2": "Z1H1FL5HABSF5",
    "ca-central-1": "ZQSVJUPU6J1EY",
    "sa-east-1": "Z2P70J7HTTTPLU",
    "eu-west-1": "Z32O12XQLNTSW2",
    "eu-west-2": "ZHURV8PSTC4K8",
    "eu-west-3": "Z3Q77PNBQS71R4",
    "eu-central-1": "Z215JYRZR1TBD5",
    "eu-north-1": "Z23TAZ6LKFMNIO",
    "ap-south-1": "ZP97RAFLXTNZK",
    "ap-northeast-1": "Z14GRHDCWA56QT",
    "ap-northeast-2": "ZWKZPGTI48KDX",
    "ap-northeast-3": "Z5LXEXXYW11ES",
    "ap-southeast-1": "Z1LMS91P8CMLE5",
    "ap-southeast-2": "Z1GM3OXH4ZPM65",
}


def hosted_zone_id(region: str) -> str:
    """The canonical hosted zone id of a region's load balancers."""
    return _KNOWN.get(region) or "Z" + hashlib.sha256(f"elb {region}".encode()).hexdigest()[:13].upper()
