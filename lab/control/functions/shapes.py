"""Lambda's functions in the shapes of its API: names and ARNs, configurations, resource policies.

https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html. Everything is ready at once: State is
Active and LastUpdateStatus Successful as soon as a call is answered.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lab.control.aws_error import AwsError
from lab.core.function import Function, Permission
from lab.core.lambda_environment import RESERVED_VARIABLES
from lab.core.topology import ACCOUNT_ID

_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):function:"
    r"|(?P<partial>\d{12}):function:|function:)?(?P<name>[a-zA-Z0-9_-]{1,64})(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?"
)
ENVIRONMENT_BYTES_MAX = 4096


def function_arn(region: str, name: str) -> str:
    """A function's ARN."""
    return f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{name}"


def name_of(region: str, given: str, qualifier: str | None = None) -> str:
    """The function's name from a name, partial ARN or ARN. Raises AwsError for another form, region or version."""
    found = _NAME.fullmatch(given)
    if found is None:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{given}' at 'functionName' failed to satisfy constraint: "
            "Member must be a function name or ARN",
        )
    if found["region"] not in (None, region):
        raise AwsError(
            "InvalidParameterValueException", f"the function {given} is in another region than this endpoint, {region}"
        )
    version = qualifier or found["qualifier"]
    if version not in (None, "$LATEST"):
        raise AwsError(
            "ResourceNotFoundException",
            f"Function not found: {function_arn(region, found['name'])}:{version} (the lab has $LATEST only)",
        )
    return found["name"]


def configuration(function: Function) -> dict[str, Any]:
    """A `FunctionConfiguration`."""
    value: dict[str, Any] = {
        "FunctionName": function.name,
        "FunctionArn": function_arn(function.region, function.name),
        "Runtime": function.runtime,
        "Role": function.role,
        "Handler": function.handler,
        "CodeSize": function.code_size,
        "Description": function.description,
        "Timeout": function.timeout_s,
        "MemorySize": function.memory_mb,
        "LastModified": function.last_modified,
        "CodeSha256": function.code_sha256,
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": function.revision_id,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": list(function.architectures),
        "EphemeralStorage": {"Size": function.ephemeral_storage_mb},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": function.log_group},
    }
    if function.environment:
        value["Environment"] = {"Variables": dict(function.environment)}
    return value


def statement(function: Function, permission: Permission) -> dict[str, Any]:
    """One statement of the function's policy, as IAM JSON."""
    is_service = permission.principal.endswith(".amazonaws.com")
    principal: Any = {"Service": permission.principal} if is_service else {"AWS": permission.principal}
    if permission.principal == "*":
        principal = "*"
    value: dict[str, Any] = {
        "Sid": permission.statement_id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": permission.action,
        "Resource": function_arn(function.region, function.name),
    }
    if permission.source_arn is not None:
        value["Condition"] = {"ArnLike": {"AWS:SourceArn": permission.source_arn}}
    return value


def policy(function: Function) -> str:
    """The function's resource policy, as JSON text."""
    statements = [statement(function, permission) for permission in function.permissions]
    return json.dumps({"Version": "2012-10-17", "Id": "default", "Statement": statements})


def checked_environment(variables: dict[str, str]) -> dict[str, str]:
    """The variables if Lambda would take them. Raises AwsError."""
    reserved = sorted(RESERVED_VARIABLES & variables.keys())
    refusal = (
        "Lambda was unable to configure your environment variables because the environment variables you have provided"
    )
    if reserved:
        raise AwsError(
            "InvalidParameterValueException",
            f"{refusal} contains reserved keys that are currently not supported for modification. Reserved keys used "
            f"in this request: {', '.join(reserved)}",
        )
    for name in variables:
        if not re.fullmatch(r"[a-zA-Z]([a-zA-Z0-9_])+", name):
            raise AwsError(
                "ValidationException",
                f"1 validation error detected: Value '{name}' at 'environment.variables' failed to satisfy constraint: "
                "Map keys must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+",
            )
    measured = json.dumps(variables, separators=(",", ":"))
    if len(measured.encode()) > ENVIRONMENT_BYTES_MAX:
        raise AwsError(
            "InvalidParameterValueException",
            f"{refusal} exceeded the 4KB limit. String measured: {measured[:200]}...",
        )
    return variables
