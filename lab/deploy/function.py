"""Functions: their role, code, configuration and the API's permission to invoke them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from botocore.exceptions import ClientError

from lab.core.deployment import RUNTIME, FunctionPlan
from lab.core.topology import ACCOUNT_ID
from lab.deploy.clients import error_code
from lab.deploy.waiting import wait_until

ROLE_NAME = "lab-function"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


def deploy_role(iam: Any) -> str:
    """The ARN of the role that all functions take on."""
    try:
        role = iam.create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument=json.dumps(TRUST))
    except ClientError as error:
        if error_code(error) != "EntityAlreadyExists":
            raise
        role = iam.get_role(RoleName=ROLE_NAME)
    arn: str = role["Role"]["Arn"]
    return arn


def deploy_function(client: Any, plan: FunctionPlan, package: bytes, role_arn: str) -> str:
    """Create the function, or bring it up to date in place; says "created", "updated" or "unchanged".

    https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
    """
    configuration = {
        "Role": role_arn,
        "Handler": plan.handler,
        "Runtime": RUNTIME,
        "Timeout": plan.timeout_s,
        "MemorySize": plan.memory_mb,
        "Environment": {"Variables": plan.environment},
    }
    current = _describe(client, plan.name)
    if current is None:
        client.create_function(FunctionName=plan.name, Code={"ZipFile": package}, PackageType="Zip", **configuration)
        done = "created"
    else:
        done = "unchanged"
        if current["CodeSha256"] != base64.b64encode(hashlib.sha256(package).digest()).decode():
            client.update_function_code(FunctionName=plan.name, ZipFile=package)
            _wait(client, plan.name)
            done = "updated"
        if any(current.get(name, {"Variables": {}}) != value for name, value in configuration.items()):
            client.update_function_configuration(FunctionName=plan.name, **configuration)
            done = "updated"
    if done != "unchanged":
        _wait(client, plan.name)
    _reserve(client, plan, new=current is None)
    return done


def permit_api(client: Any, function: str, region: str, api_id: str) -> None:
    """Let one REST API invoke the function."""
    try:
        client.add_permission(
            FunctionName=function,
            StatementId=f"api-{api_id}",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:{region}:{ACCOUNT_ID}:{api_id}/*",
        )
    except ClientError as error:
        if error_code(error) != "ResourceConflictException":
            raise


def _reserve(client: Any, plan: FunctionPlan, *, new: bool) -> None:
    if plan.reserved_concurrency is not None:
        client.put_function_concurrency(FunctionName=plan.name, ReservedConcurrentExecutions=plan.reserved_concurrency)
    elif not new:
        client.delete_function_concurrency(FunctionName=plan.name)


def _describe(client: Any, name: str) -> dict[str, Any] | None:
    try:
        configuration: dict[str, Any] = client.get_function_configuration(FunctionName=name)
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return None
        raise
    return configuration


def _wait(client: Any, name: str) -> None:
    def ready() -> bool:
        configuration = _describe(client, name) or {}
        return configuration.get("State") == "Active" and configuration.get("LastUpdateStatus") == "Successful"

    wait_until(ready, f"function {name} to be active")
