"""How a caller may name a function: by name, partial ARN or ARN, with or without a version.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (FunctionName). The lab has one version, `$LATEST`, and
no aliases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.core.lambda_errors import ValidationFailed
from lab.core.topology import ACCOUNT_ID

LATEST = "$LATEST"

_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:)?(?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_.]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)


@dataclass(frozen=True)
class FunctionReference:
    """What a caller wrote. `region` and `account` are None where the form leaves them out, `qualifier` too."""

    name: str
    region: str | None = None
    account: str | None = None
    qualifier: str | None = None


def parse_function_name(text: str) -> FunctionReference:
    """The function meant by a `FunctionName`. Raises ValidationFailed, in AWS's words, for any other text."""
    match = _NAME.fullmatch(text) if len(text) <= 256 else None
    if match is None:
        raise ValidationFailed(
            f"1 validation error detected: Value '{text[:300]}' at 'functionName' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {_PATTERN}"
        )
    return FunctionReference(match["name"], match["region"], match["account"], match["qualifier"])


def function_arn(region: str, name: str, qualifier: str | None = None) -> str:
    """The ARN of a function of the lab, with its qualifier if it was invoked with one."""
    arn = f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn
