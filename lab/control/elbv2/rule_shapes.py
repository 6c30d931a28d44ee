"""Conditions and actions between AWS's API and the lab's records, validated.

https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Action.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

from lab.control.aws_error import AwsError, not_implemented
from lab.core.load_balancer import (
    Action,
    Condition,
    QueryStringValue,
    TargetGroup,
    TargetGroupTuple,
)

VALUES_MAX = 5
WILDCARDS_MAX = 5
GROUPS_MAX = 5
WEIGHT_MAX = 999
STICKINESS_S_MAX = 604_800
CONTENT_TYPES = ("text/plain", "text/css", "text/html", "application/javascript", "application/json")
CONFIGS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}
PATTERNS = {
    "host-header": re.compile(r"[A-Za-z0-9.*?-]{1,128}"),
    "path-pattern": re.compile(r"[A-Za-z0-9_.$/~\"'@:+&()!,;=<>%*?-]{1,128}"),
    "http-header": re.compile(r"[\x20-\x7e]{1,128}"),
    "http-request-method": re.compile(r"[A-Z_-]{1,40}"),
}

FindGroup = Callable[[str], TargetGroup]


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


# conditions


def parse_conditions(given: Sequence[dict[str, Any]]) -> tuple[Condition, ...]:
    """The conditions of one rule. Raises AwsError."""
    if not given:
        raise _invalid("A condition must be specified")
    conditions = tuple(_parse_condition(one) for one in given)
    fields = [condition.field for condition in conditions]
    for single in ("host-header", "path-pattern", "http-request-method", "source-ip"):
        if fields.count(single) > 1:
            raise _invalid(f"A rule can only have one '{single}' condition")
    count = sum(
        len(condition.values) + len(condition.regex_values) + len(condition.query_strings) for condition in conditions
    )
    if count > VALUES_MAX:
        raise AwsError("TooManyConditions", f"A rule can have at most {VALUES_MAX} condition values, this has {count}")
    wildcards = sum(
        text.count("*") + text.count("?")
        for condition in conditions
        for text in (*condition.values, *(part for q in condition.query_strings for part in (q.key or "", q.value)))
    )
    if wildcards > WILDCARDS_MAX:
        raise _invalid(f"A rule can have at most {WILDCARDS_MAX} wildcards, this has {wildcards}")
    return conditions


def _parse_condition(given: dict[str, Any]) -> Condition:
    field = given.get("Field", "")
    if field not in CONFIGS:
        raise _invalid(f"Condition field '{field}' must be one of '[{', '.join(CONFIGS)}]'")
    config = given.get(CONFIGS[field], {})
    name = None
    if field == "http-header":
        name = config.get("HttpHeaderName", "")
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}", name):
            raise _invalid(f"The header name '{name}' is not valid")
    if field == "query-string":
        pairs = tuple(QueryStringValue(v["Value"], v.get("Key")) for v in config.get("Values", []) if v.get("Value"))
        if not pairs:
            raise _invalid("A condition value must be specified")
        return Condition(field, query_strings=pairs)
    values = tuple(config.get("Values") or given.get("Values") or ())
    expressions = tuple(config.get("RegexValues") or given.get("RegexValues") or ())
    if not values and not expressions:
        raise _invalid("A condition value must be specified")
    if expressions and field not in ("host-header", "path-pattern", "http-header"):
        raise _invalid(f"a '{field}' condition takes no regular expressions")
    for value in values:
        _check_value(field, value)
    for expression in expressions:
        try:
            re.compile(expression)
        except re.error as error:
            raise _invalid(f"The regular expression '{expression}' is not valid: {error}") from error
    return Condition(field, values, expressions, name)


def _check_value(field: str, value: str) -> None:
    if field == "source-ip":
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise _invalid(f"The source IP '{value}' must be in CIDR notation") from None
    elif not PATTERNS[field].fullmatch(value):
        raise _invalid(f"The {field} value '{value}' is not valid")


def condition_shape(condition: Condition) -> dict[str, Any]:
    """A condition as the API answers with it."""
    config: dict[str, Any] = {}
    shape: dict[str, Any] = {"Field": condition.field}
    if condition.query_strings:
        config["Values"] = [
            {"Key": q.key, "Value": q.value} if q.key is not None else {"Value": q.value}
            for q in condition.query_strings
        ]
    elif condition.values:
        config["Values"] = list(condition.values)
        if condition.field in ("host-header", "path-pattern"):
            shape["Values"] = list(condition.values)
    if condition.regex_values:
        config["RegexValues"] = list(condition.regex_values)
    if condition.http_header_name is not None:
        config["HttpHeaderName"] = condition.http_header_name
    shape[CONFIGS[condition.field]] = config
    return shape


# actions


def parse_actions(given: Sequence[dict[str, Any]], operation: str, find: FindGroup) -> tuple[Action, ...]:
    """The actions of one rule; `find` raises AwsError for an unknown target group. Raises AwsError."""
    actions = tuple(_parse_action(one, operation, find) for one in sorted(given, key=lambda a: a.get("Order", 50_000)))
    if len(actions) != 1:
        raise AwsError(
            "InvalidLoadBalancerAction",
            "A rule has exactly one action of type forward, redirect or fixed-response (and in the lab no other)",
        )
    return actions


def _parse_action(given: dict[str, Any], operation: str, find: FindGroup) -> Action:
    kind, order = given["Type"], given.get("Order")
    if kind == "forward":
        return _parse_forward(given, order, find)
    if kind == "redirect":
        config = given.get("RedirectConfig", {})
        defaults = Action("redirect")
        action = Action(
            "redirect",
            order,
            redirect_protocol=config.get("Protocol", defaults.redirect_protocol),
            redirect_host=config.get("Host", defaults.redirect_host),
            redirect_port=config.get("Port", defaults.redirect_port),
            redirect_path=config.get("Path", defaults.redirect_path),
            redirect_query=config.get("Query", defaults.redirect_query),
            status_code=int(config.get("StatusCode", "HTTP_302").removeprefix("HTTP_")),
        )
        plain = Action("redirect", order, status_code=action.status_code)
        if action == plain:
            raise AwsError(
                "InvalidLoadBalancerAction", "The redirect configuration is not valid: it redirects to itself"
            )
        if not action.redirect_path.startswith("/"):
            raise _invalid("The path of a redirect must begin with '/'")
        return action
    if kind == "fixed-response":
        config = given.get("FixedResponseConfig", {})
        status = str(config.get("StatusCode", ""))
        if not re.fullmatch(r"[245]\d\d", status):
            raise _invalid(f"The status code of a fixed response is 2XX, 4XX or 5XX, not '{status}'")
        content_type = config.get("ContentType")
        if content_type is not None and content_type not in CONTENT_TYPES:
            raise _invalid(f"The content type must be one of '[{', '.join(CONTENT_TYPES)}]'")
        return Action(
            "fixed-response",
            order,
            status_code=int(status),
            content_type=content_type,
            message_body=config.get("MessageBody"),
        )
    raise not_implemented("elasticloadbalancing", operation, f"actions of type {kind}")


def _parse_forward(given: dict[str, Any], order: int | None, find: FindGroup) -> Action:
    config = given.get("ForwardConfig", {})
    tuples = config.get("TargetGroups") or []
    if not tuples and "TargetGroupArn" in given:
        tuples = [{"TargetGroupArn": given["TargetGroupArn"]}]
    if not tuples:
        raise _invalid("A target group ARN must be specified")
    if len(tuples) > GROUPS_MAX:
        raise AwsError("TooManyTargetGroups", f"An action forwards to at most {GROUPS_MAX} target groups")
    groups = tuple(TargetGroupTuple(find(one["TargetGroupArn"]).arn, one.get("Weight", 1)) for one in tuples)
    if len({group.arn for group in groups}) < len(groups):
        raise _invalid("A target group is given twice")
    for group in groups:
        if not 0 <= group.weight <= WEIGHT_MAX:
            raise _invalid(f"A target group's weight must be between 0 and {WEIGHT_MAX}, not {group.weight}")
    sticky = config.get("TargetGroupStickinessConfig", {})
    stickiness_s = None
    if sticky.get("Enabled"):
        stickiness_s = sticky.get("DurationSeconds", 0)
        if not 1 <= stickiness_s <= STICKINESS_S_MAX:
            raise _invalid(f"DurationSeconds must be between 1 and {STICKINESS_S_MAX}")
    return Action("forward", order, groups, stickiness_s)


def action_shape(action: Action) -> dict[str, Any]:
    """An action as the API answers with it."""
    shape: dict[str, Any] = {"Type": action.type}
    if action.order is not None:
        shape["Order"] = action.order
    if action.type == "forward":
        if len(action.target_groups) == 1:
            shape["TargetGroupArn"] = action.target_groups[0].arn
        sticky: dict[str, Any] = {"Enabled": action.stickiness_s is not None}
        if action.stickiness_s is not None:
            sticky["DurationSeconds"] = action.stickiness_s
        shape["ForwardConfig"] = {
            "TargetGroups": [{"TargetGroupArn": group.arn, "Weight": group.weight} for group in action.target_groups],
            "TargetGroupStickinessConfig": sticky,
        }
    elif action.type == "redirect":
        shape["RedirectConfig"] = {
            "Protocol": action.redirect_protocol,
            "Host": action.redirect_host,
            "Port": action.redirect_port,
            "Path": action.redirect_path,
            "Query": action.redirect_query,
            "StatusCode": f"HTTP_{action.status_code}",
        }
    else:
        config = {"StatusCode": str(action.status_code)}
        if action.content_type is not None:
            config["ContentType"] = action.content_type
        if action.message_body is not None:
            config["MessageBody"] = action.message_body
        shape["FixedResponseConfig"] = config
    return shape
