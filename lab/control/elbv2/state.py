"""The records of all load balancers and target groups, and how the operations find and change them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.elbv2.hosted_zones import hosted_zone_id
from lab.control.page import page_after
from lab.control.record_file import RecordFile
from lab.core.endpoint_name import EndpointName
from lab.core.load_balancer import (
    LoadBalancer,
    LoadBalancerListener,
    LoadBalancers,
    Rule,
    TargetGroup,
)
from lab.core.topology import ACCOUNT_ID, Topology
from lab.core.whole_number import whole_number

NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?")
PAGE_MAX = 400

T = TypeVar("T")


class LoadBalancerState:
    """What is recorded; every change is on disk and marked for publication before the caller goes on."""

    def __init__(self, topology: Topology, records: RecordFile[LoadBalancers], changed: Callable[[], None]) -> None:
        self.topology = topology
        self._records, self._changed = records, changed

    def document(self) -> LoadBalancers:
        """The document `load_balancers`."""
        return self._records.value

    def endpoint_names(self) -> tuple[EndpointName, ...]:
        """The load balancers' names for the document `endpoints`."""
        return tuple(
            EndpointName(
                f"{balancer.dns_name.lower()}.",
                "load-balancer",
                (balancer.address,),
                hosted_zone_id(balancer.region),
                balancer.region,
                balancer.arn,
            )
            for balancer in self.document().load_balancers
        )

    # finding

    def balancers(self, region: str) -> tuple[LoadBalancer, ...]:
        return self.document().of_region(region)

    def groups(self, region: str) -> tuple[TargetGroup, ...]:
        return tuple(group for group in self.document().target_groups if group.region == region)

    def balancer(self, region: str, arn: str) -> LoadBalancer:
        """Raises AwsError."""
        for balancer in self.balancers(region):
            if balancer.arn == arn:
                return balancer
        raise AwsError("LoadBalancerNotFound", f"Load balancer '{arn}' not found")

    def group(self, region: str, arn: str) -> TargetGroup:
        """Raises AwsError."""
        for group in self.groups(region):
            if group.arn == arn:
                return group
        raise AwsError("TargetGroupNotFound", f"Target group '{arn}' not found")

    def listener(self, region: str, arn: str) -> tuple[LoadBalancer, LoadBalancerListener]:
        """Raises AwsError."""
        for balancer in self.balancers(region):
            for listener in balancer.listeners:
                if listener.arn == arn:
                    return balancer, listener
        raise AwsError("ListenerNotFound", f"Listener '{arn}' not found")

    def rule(self, region: str, arn: str) -> tuple[LoadBalancer, LoadBalancerListener, Rule]:
        """Raises AwsError."""
        for balancer in self.balancers(region):
            for listener in balancer.listeners:
                for rule in listener.rules:
                    if rule.arn == arn:
                        return balancer, listener, rule
        raise AwsError("RuleNotFound", f"Rule '{arn}' not found")

    def balancers_of(self, group_arn: str) -> tuple[LoadBalancer, ...]:
        """The load balancers that forward to a target group."""
        return tuple(b for b in self.document().load_balancers if group_arn in b.target_group_arns)

    # changing

    def keep_balancer(self, balancer: LoadBalancer) -> None:
        """Add a load balancer, or replace the one with its ARN."""
        document = self.document()
        others = _replaced(document.load_balancers, balancer)
        self._save(replace(document, load_balancers=others))

    def drop_balancer(self, arn: str) -> None:
        document = self.document()
        kept = tuple(balancer for balancer in document.load_balancers if balancer.arn != arn)
        self._save(replace(document, load_balancers=kept))

    def keep_listener(self, balancer: LoadBalancer, listener: LoadBalancerListener) -> None:
        """Add a listener to a load balancer, or replace the one with its ARN."""
        self.keep_balancer(replace(balancer, listeners=_replaced(balancer.listeners, listener)))

    def keep_group(self, group: TargetGroup) -> None:
        """Add a target group, or replace the one with its ARN."""
        document = self.document()
        self._save(replace(document, target_groups=_replaced(document.target_groups, group)))

    def drop_group(self, arn: str) -> None:
        document = self.document()
        self._save(replace(document, target_groups=tuple(g for g in document.target_groups if g.arn != arn)))

    def _save(self, document: LoadBalancers) -> None:
        self._records.replace(document)
        self._changed()


def _replaced(items: tuple[T, ...], item: T) -> tuple[T, ...]:
    arn = item.arn  # type: ignore[attr-defined]
    if any(known.arn == arn for known in items):  # type: ignore[attr-defined]
        return tuple(item if known.arn == arn else known for known in items)  # type: ignore[attr-defined]
    return (*items, item)


def new_arn(region: str, rest: str) -> str:
    """An ARN of Elastic Load Balancing; `rest` like "targetgroup/NAME", to which a new id is added."""
    return f"arn:aws:elasticloadbalancing:{region}:{ACCOUNT_ID}:{rest}/{secrets.token_hex(8)}"


def checked_name(name: str, what: str) -> str:
    """A name of a load balancer or target group. Raises AwsError."""
    if NAME.fullmatch(name) is None or name.startswith("internal-"):
        raise AwsError(
            "ValidationError",
            f"The {what} name '{name}' must have at most 32 letters, digits or hyphens, must not begin or end with a "
            "hyphen and must not begin with 'internal-'",
        )
    return name


def tags_of(call: Call) -> dict[str, str]:
    """`Tags` as a dict. Raises AwsError."""
    tags: dict[str, str] = {}
    for tag in call.parameters.get("Tags", []):
        if tag["Key"] in tags:
            raise AwsError("DuplicateTagKeys", f"the tag key '{tag['Key']}' is given twice")
        tags[tag["Key"]] = tag.get("Value", "")
    return tags


def attributes_of(call: Call, known: dict[str, str]) -> dict[str, str]:
    """`Attributes` as a dict, each of a key in `known` and of the form of its default. Raises AwsError."""
    given: dict[str, str] = {}
    for attribute in call.parameters.get("Attributes", []):
        key, value = attribute.get("Key", ""), attribute.get("Value", "")
        if key not in known:
            raise AwsError("ValidationError", f"Attribute key '{key}' is not recognized; known: {', '.join(known)}")
        default = known[key]
        if default in ("true", "false") and value not in ("true", "false"):
            raise AwsError("ValidationError", f"'{key}' must be true or false, not '{value}'")
        if default.isdigit() and whole_number(value) is None:
            raise AwsError("ValidationError", f"'{key}' must be a number, not '{value}'")
        given[key] = value
    return given


def as_attributes(values: dict[str, str]) -> dict[str, Any]:
    """Attributes as the API answers with them."""
    return {"Attributes": [{"Key": key, "Value": value} for key, value in values.items()]}


def page(items: Iterable[T], call: Call, name: Callable[[T], str]) -> tuple[list[T], str | None]:
    """One page by `Marker` and `PageSize`, and the next marker. Raises AwsError."""
    marker = call.parameters.get("Marker")
    unknown = AwsError("ValidationError", f"Invalid marker '{marker}'")
    return page_after(items, marker, call.parameters.get("PageSize", PAGE_MAX), name, unknown)


def named(items: Iterable[T], names: Iterable[str], missing: Callable[[str], AwsError]) -> list[T]:
    """Load balancers or target groups by name, in the order asked for; `missing` is of the names that none has."""
    by_name = {item.name: item for item in items}  # type: ignore[attr-defined]
    wanted = list(names)
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise missing(", ".join(unknown))
    return [by_name[name] for name in wanted]
