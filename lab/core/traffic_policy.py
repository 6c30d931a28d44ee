"""Traffic policy documents: read, checked, and made into typed rules. Which records they become is
`traffic_policy_records`'s business.

https://docs.aws.amazon.com/Route53/latest/APIReference/api-policies-traffic-policy-document-format.html
Both format versions; numbers and booleans may be strings, as in AWS's own examples.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from lab.core.zone import GeoLocation, GeoProximityLocation

VERSIONS = ("2015-10-01", "2023-05-09")
RECORD_TYPES = ("A", "AAAA", "CAA", "CNAME", "MX", "NAPTR", "PTR", "SPF", "SRV", "TXT")
ENDPOINT_TYPES = (
    "value",
    "cloudfront",
    "application-load-balancer",
    "elastic-load-balancer",
    "network-load-balancer",
    "elastic-beanstalk",
    "s3-website",
)
RULE_LISTS = {
    "geo": "Locations",
    "geoproximity": "GeoproximityLocations",
    "latency": "Regions",
    "multivalue": "Items",
    "weighted": "Items",
}
DOCUMENT_CHARACTERS_MAX = 102_400
RULES_DEEP_MAX = 50
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What JSON can say with escapes and neither XML nor a record can carry."""


class TrafficPolicyError(ValueError):
    """The document is not valid; the message says where and what was expected (InvalidTrafficPolicyDocument)."""


@dataclass(frozen=True)
class PolicyEndpoint:
    """Where traffic ends. `type` "value" is a record's value; the others are aliases to an AWS resource's name."""

    type: str
    value: str
    region: str | None = None


@dataclass(frozen=True)
class Branch:
    """One way out of a rule: to an endpoint or to another rule, by id, and under which condition of the rule."""

    endpoint: str | None
    rule: str | None
    evaluate_target_health: bool
    health_check_id: str | None
    weight: int | None = None
    region: str | None = None
    failover: str | None = None
    geo_location: GeoLocation | None = None
    geoproximity: GeoProximityLocation | None = None


@dataclass(frozen=True)
class Rule:
    """One rule and its branches."""

    type: str
    branches: tuple[Branch, ...]


@dataclass(frozen=True)
class TrafficPolicy:
    """A whole policy; exactly one of `start_endpoint` and `start_rule` is set."""

    record_type: str
    start_endpoint: str | None
    start_rule: str | None
    endpoints: dict[str, PolicyEndpoint] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)


def parse_policy(document: str) -> TrafficPolicy:
    """The policy that a JSON document describes. Raises TrafficPolicyError."""
    if len(document) > DOCUMENT_CHARACTERS_MAX:
        raise TrafficPolicyError(f"the document is longer than {DOCUMENT_CHARACTERS_MAX} characters")
    try:
        data = json.loads(document)
    except ValueError as error:
        raise TrafficPolicyError(f"the document is not JSON: {error}") from None
    except RecursionError:
        raise TrafficPolicyError("the document is nested too deeply") from None
    _check_characters(data)
    data = _object(data, "the document")
    version = str(data.get("AWSPolicyFormatVersion", VERSIONS[0]))
    if version not in VERSIONS:
        raise TrafficPolicyError(f"AWSPolicyFormatVersion is {version!r}, expected one of {', '.join(VERSIONS)}")
    record_type = str(data.get("RecordType", ""))
    if record_type not in RECORD_TYPES:
        raise TrafficPolicyError(f"RecordType is {record_type!r}, expected one of {', '.join(RECORD_TYPES)}")
    start_endpoint, start_rule = _text(data, "StartEndpoint"), _text(data, "StartRule")
    if (start_endpoint is None) == (start_rule is None):
        raise TrafficPolicyError("expected exactly one of StartEndpoint and StartRule")
    endpoints = {
        key: _endpoint(value, f"Endpoints.{key}")
        for key, value in _object(data.get("Endpoints", {}), "Endpoints").items()
    }
    rules = {
        key: _rule(value, f"Rules.{key}", version) for key, value in _object(data.get("Rules", {}), "Rules").items()
    }
    policy = TrafficPolicy(record_type, start_endpoint, start_rule, endpoints, rules)
    _check_references(policy)
    return policy


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TrafficPolicyError(f"{where}: expected an object")
    return value


def _list(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise TrafficPolicyError(f"{where}: expected a list with at least one entry")
    return [_object(item, f"{where}[{number}]") for number, item in enumerate(value)]


def _text(entry: dict[str, Any], key: str, where: str = "") -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise TrafficPolicyError(f"{where}{'.' if where else ''}{key} is {value!r:.200}, expected a text")
    return value


def _check_characters(data: Any) -> None:
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and _UNWRITABLE.search(value):
            raise TrafficPolicyError(f"{ascii(value)[:200]}: a control character or half a character has no place here")


def _boolean(value: Any, where: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise TrafficPolicyError(f"{where} is {value!r}, expected true or false")


def _integer(value: Any, where: str, least: int, most: int) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[-+]?[0-9]{1,4}", text) or not least <= int(text) <= most:
        raise TrafficPolicyError(f"{where} is {value!r}, expected a whole number from {least} to {most}")
    return int(text)


def _endpoint(value: Any, where: str) -> PolicyEndpoint:
    entry = _object(value, where)
    kind = str(entry.get("Type", "value"))
    if kind not in ENDPOINT_TYPES:
        raise TrafficPolicyError(f"{where}.Type is {kind!r}, expected one of {', '.join(ENDPOINT_TYPES)}")
    region = _text(entry, "Region", where)
    if kind == "s3-website" and region is None:
        raise TrafficPolicyError(f"{where}: an s3-website endpoint needs its Region")
    if kind != "s3-website" and (not isinstance(entry.get("Value"), str) or not entry["Value"]):
        raise TrafficPolicyError(f"{where}.Value: expected a text")
    return PolicyEndpoint(kind, str(entry.get("Value", "")), region)


def _rule(value: Any, where: str, version: str) -> Rule:
    entry = _object(value, where)
    kind = str(entry.get("RuleType", ""))
    if kind == "failover":
        branches = []
        for key in ("Primary", "Secondary"):
            if key in entry:
                place = f"{where}.{key}"
                branches.append(_branch(_object(entry[key], place), place, failover=key.upper()))
        if not branches:
            raise TrafficPolicyError(f"{where}: a failover rule needs Primary and Secondary")
        return Rule(kind, tuple(branches))
    if kind not in RULE_LISTS:
        known = ", ".join(sorted([*RULE_LISTS, "failover"]))
        raise TrafficPolicyError(f"{where}.RuleType is {kind!r}, expected one of {known}")
    key = RULE_LISTS[kind]
    branches = [
        _listed_branch(kind, item, f"{where}.{key}[{number}]", version)
        for number, item in enumerate(_list(entry.get(key), f"{where}.{key}"))
    ]
    return Rule(kind, tuple(branches))


def _listed_branch(kind: str, item: dict[str, Any], where: str, version: str) -> Branch:
    match kind:
        case "weighted":
            return _branch(item, where, weight=_integer(item.get("Weight"), f"{where}.Weight", 0, 255))
        case "latency":
            if not isinstance(item.get("Region"), str):
                raise TrafficPolicyError(f"{where}.Region: expected a region's code")
            return _branch(item, where, region=item["Region"])
        case "geo":
            return _branch(item, where, geo_location=_geo_location(item, where))
        case "geoproximity":
            return _branch(item, where, geoproximity=_geoproximity(item, where, version))
    if "RuleReference" in item:
        raise TrafficPolicyError(f"{where}: a multivalue rule leads to endpoints only")
    return _branch(item, where)


def _branch(item: dict[str, Any], where: str, **condition: Any) -> Branch:
    endpoint, rule = _text(item, "EndpointReference", where), _text(item, "RuleReference", where)
    if (endpoint is None) == (rule is None):
        raise TrafficPolicyError(f"{where}: expected exactly one of EndpointReference and RuleReference")
    evaluate = _boolean(item.get("EvaluateTargetHealth"), f"{where}.EvaluateTargetHealth")
    health_check = _text(item, "HealthCheck", where) or None
    return Branch(endpoint, rule, evaluate, health_check, **condition)


def _geo_location(item: dict[str, Any], where: str) -> GeoLocation:
    if _boolean(item.get("IsDefault"), f"{where}.IsDefault") or item.get("Country") == "*":
        return GeoLocation(country_code="*")
    continent, country, subdivision = (_text(item, key, where) for key in ("Continent", "Country", "Subdivision"))
    if (continent is None) == (country is None) or (subdivision is not None and country != "US"):
        raise TrafficPolicyError(
            f"{where}: expected IsDefault, a Continent, or a Country (with a Subdivision only for the US)"
        )
    return GeoLocation(continent, country, subdivision)


def _geoproximity(item: dict[str, Any], where: str, version: str) -> GeoProximityLocation:
    bias = _integer(item.get("Bias", 0), f"{where}.Bias", -99, 99)
    if version == VERSIONS[0]:
        if "Region" in item:
            return GeoProximityLocation(aws_region=_place(item["Region"], f"{where}.Region"), bias=bias)
        return _coordinates(item, where, bias)
    location = _object(item.get("Location"), f"{where}.Location")
    match location.get("Type"):
        case "Region":
            name = _place(location.get("LocationName"), f"{where}.Location.LocationName")
            return GeoProximityLocation(aws_region=name, bias=bias)
        case "LocalZone":
            name = _place(location.get("LocationName"), f"{where}.Location.LocationName")
            return GeoProximityLocation(local_zone_group=name, bias=bias)
        case "Coordinate":
            return _coordinates(location, f"{where}.Location", bias)
    raise TrafficPolicyError(f"{where}.Location.Type: expected Region, LocalZone or Coordinate")


def _place(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.startswith("aws:route53:"):
        raise TrafficPolicyError(f"{where} is {value!r}, expected aws:route53:REGION")
    return value.removeprefix("aws:route53:")


def _coordinates(item: dict[str, Any], where: str, bias: int) -> GeoProximityLocation:
    numbers = []
    for key, digits, most in (("Latitude", 2, 90.0), ("Longitude", 3, 180.0)):
        text = str(item.get(key, ""))
        if not re.fullmatch(rf"[-+]?[0-9]{{1,{digits}}}(\.[0-9]{{0,2}})?", text) or abs(float(text)) > most:
            raise TrafficPolicyError(f"{where}.{key} is {text!r}, expected degrees with at most two decimals")
        numbers.append(float(text))
    return GeoProximityLocation(latitude=numbers[0], longitude=numbers[1], bias=bias)


def _check_references(policy: TrafficPolicy) -> None:
    """Every reference leads somewhere, and no rule leads back to itself."""
    heights: dict[str, int] = {}

    def visit(rule_id: str, where: str, depth: int) -> int:
        if rule_id not in policy.rules:
            raise TrafficPolicyError(f"{where}: there is no rule {rule_id!r}")
        height = heights.get(rule_id)
        if height is None:
            heights[rule_id] = 0  # until it is known: only a rule below itself can see it
            height = 1
            for branch in policy.rules[rule_id].branches if depth <= RULES_DEEP_MAX else ():
                if branch.rule is not None:
                    height = max(height, 1 + visit(branch.rule, f"Rules.{rule_id}", depth + 1))
                elif branch.endpoint not in policy.endpoints:
                    raise TrafficPolicyError(f"Rules.{rule_id}: there is no endpoint {branch.endpoint!r}")
            heights[rule_id] = height
        elif height == 0:
            raise TrafficPolicyError(f"{where}: the rule {rule_id!r} leads back to itself")
        if depth + height - 1 > RULES_DEEP_MAX:
            raise TrafficPolicyError(f"{where}: rules are nested more than {RULES_DEEP_MAX} deep")
        return height

    if policy.start_rule is not None:
        visit(policy.start_rule, "StartRule", 1)
    elif policy.start_endpoint not in policy.endpoints:
        raise TrafficPolicyError(f"StartEndpoint: there is no endpoint {policy.start_endpoint!r}")
