"""The names of S3's website endpoints, one a region, and the hosted zone ids that an alias to them must give.

https://docs.aws.amazon.com/general/latest/gr/s3.html#s3_website_region_endpoints. Regions whose id is not listed get
one of the lab's own.
"""

from __future__ import annotations

import hashlib

from lab.core.endpoint_name import EndpointName
from lab.core.topology import Topology

_ZONES = {
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
    (
        "us-east-1",
        "us-west-1",
        "us-west-2",
        "eu-west-1",
        "sa-east-1",
        "ap-northeast-1",
        "ap-southeast-1",
        "ap-southeast-2",
    )
)
"""The older regions, whose website endpoints have a dash before the region."""


def website_host(region: str) -> str:
    """The name of a region's website endpoint, with its final dot."""
    return f"s3-website{'-' if region in _DASHED else '.'}{region}.amazonaws.com."


def website_zone_id(region: str) -> str:
    """The hosted zone id of a region's website endpoint."""
    return _ZONES.get(region) or "Z" + hashlib.sha256(f"s3-website {region}".encode()).hexdigest()[:13].upper()


def website_names(topology: Topology) -> tuple[EndpointName, ...]:
    """The website endpoints of the lab's regions, at their data planes."""
    return tuple(
        EndpointName(
            website_host(region.code), "s3-website", (region.address,), website_zone_id(region.code), region.code
        )
        for region in topology.regions
    )
