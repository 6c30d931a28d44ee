"""Where a request to a region's AWS endpoint goes: functions, engine, control, another region, or nowhere.

Pure look-ups over what the request says (`aws_request`); whether a link is up or a fault is in force, the front asks
elsewhere. Signatures are not verified.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.aws_error import AwsError
from lab.core.aws_request import TARGET_SERVICES, Headers, Scope, target_of

GLOBAL_SERVICES = frozenset(
    {
        "route53",
        "globalaccelerator",
        "iam",
        "sts",
        "route53-recovery-control-config",
        "route53-recovery-cluster",
        "route53-recovery-readiness",
        "arc-region-switch",
    }
)
"""Answered by control wherever they are signed for; faults of a region spare them."""

CONTROL_SERVICES = frozenset({"lambda", "apigateway", "elasticloadbalancing"})
"""Regional services whose control planes are the lab's own."""

_BUCKET_PATH = re.compile(r"^/(?:[a-z0-9][a-z0-9.-]{2,62}(?:/.*)?)?$", re.DOTALL)
_CLOSED_PATH = re.compile(r"^/(?:_|health$|latest/|v4/|v20180820/|oauth2/)")
_USER_REQUEST = re.compile(r"^/restapis/([A-Za-z0-9-]+)/([^/]+)/_user_request_(/.*)?$", re.DOTALL)
_EXECUTE_API = re.compile(r"^/_aws/execute-api/([A-Za-z0-9-]+)/([^/]+)(/.*)?$", re.DOTALL)


@dataclass(frozen=True)
class PathForm:
    """An API that is named by path; `path` begins with a slash and is percent-encoded."""

    api_id: str
    stage: str
    path: str


@dataclass(frozen=True)
class ToRegion:
    """The request is for another region of the lab."""

    region: str


@dataclass(frozen=True)
class ToControl:
    """Control answers; `spared` calls are of global services, which no region's fault touches."""

    service: str
    spared: bool = False


@dataclass(frozen=True)
class ToService:
    """A service of this region: its functions, its DynamoDB, or its engine."""

    service: str


Route = ToRegion | ToControl | ToService | AwsError


def path_form(path: str) -> PathForm | None:
    """The API that a path names, in either form."""
    match = _USER_REQUEST.match(path) or _EXECUTE_API.match(path)
    return None if match is None else PathForm(match[1], match[2], match[3] or "/")


def route(scope: Scope, here: str, regions: Sequence[str], headers: Headers) -> Route:
    """Where a signed request goes. `regions` are all of the lab."""
    target = target_of(headers)
    region = scope.region or here
    if scope.service in GLOBAL_SERVICES:
        return ToControl(scope.service, spared=True)
    if region not in regions:
        return AwsError(
            "UnrecognizedClientException" if scope.service != "s3" else "AuthorizationHeaderMalformed",
            f"The region {scope.region!r} is not in this lab, which has {', '.join(regions)}: sign for one of these, "
            "or start the lab with it (`lab up --regions`).",
            400,
        )
    if region != here:
        return ToRegion(region)
    if target is not None and TARGET_SERVICES.get(target[0], scope.service) != scope.service:
        return AwsError(
            "InvalidSignatureException",
            f"Credential should be scoped to correct service: {TARGET_SERVICES[target[0]]!r}.",
            400,
        )
    if scope.service in CONTROL_SERVICES:
        return ToControl(scope.service)
    if target is not None and target[0] not in TARGET_SERVICES:
        return not_served(scope.service, target[1])
    return ToService(scope.service)


def not_served(service: str, operation: str | None) -> AwsError:
    """The error for what the lab does not have."""
    what = f"{service} {operation}" if operation else f"this call of {service}"
    return AwsError("UnknownOperationException", f"The lab does not have {what}.", 400)


def s3_problem(path: str, headers: Headers, *, virtual_host: bool) -> AwsError | None:
    """Refuse S3 requests whose path could mean something else than a bucket or key to the engine."""
    if target_of(headers) is not None:
        return AwsError("InvalidRequest", "S3 requests have no X-Amz-Target.")
    if virtual_host:
        return AwsError("InvalidURI", "This key is not available in the lab.") if _CLOSED_PATH.match(path) else None
    if not _BUCKET_PATH.match(path) or _CLOSED_PATH.match(path):
        return AwsError("InvalidBucketName", "The specified bucket is not valid.")
    return None
