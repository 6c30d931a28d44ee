"""Whether a function's resource policy lets API Gateway invoke it for one method of one API.

https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html. Roles in an integration's
`credentials` are not imitated.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from lab.core.function import Function
from lab.core.topology import ACCOUNT_ID

PRINCIPAL = "apigateway.amazonaws.com"
_ACTIONS = frozenset({"lambda:InvokeFunction", "lambda:*", "*"})


def source_arn(region: str, api_id: str, stage: str, http_method: str, resource_path: str) -> str:
    """The ARN of a method as API Gateway presents it to Lambda."""
    return f"arn:aws:execute-api:{region}:{ACCOUNT_ID}:{api_id}/{stage}/{http_method}{resource_path}"


def may_invoke(function: Function, arn: str) -> bool:
    """Whether some statement permits API Gateway, for every source or for one that matches the method's ARN."""
    return any(
        permission.principal in (PRINCIPAL, "*")
        and permission.action in _ACTIONS
        and (permission.source_arn is None or fnmatchcase(arn, permission.source_arn.replace("[", "[[]")))
        for permission in function.permissions
    )
