"""Accelerators: create, describe, update, delete, attributes, tags.

https://docs.aws.amazon.com/global-accelerator/latest/api/API_Operations.html. Static IPv4 addresses of the lab's own;
dual stack, addresses of one's own and custom routing are refused.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.globalaccelerator.state import (
    AcceleratorState,
    Result,
    check_region,
    invalid,
    new_accelerator_arn,
    page,
)
from lab.core.accelerator import Accelerator, static_addresses
from lab.live.clock import now_ms

NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?")
ACCELERATORS_MAX = 20


class AcceleratorsPlane:
    """Operations on accelerators."""

    def __init__(self, state: AcceleratorState) -> None:
        self._state = state

    def create_accelerator(self, call: Call) -> Result:
        check_region(call)
        given = call.parameters
        _refuse_what_is_missing(given)
        name = _checked_name(given["Name"])
        made = self._state.made_by("CreateAccelerator", given["IdempotencyToken"])
        if made is not None:
            return {"Accelerator": shape(self._state.accelerator(made))}
        taken = {accelerator.number for accelerator in self._state.accelerators}
        if len(taken) >= ACCELERATORS_MAX:
            raise AwsError("LimitExceededException", f"An account has at most {ACCELERATORS_MAX} accelerators")
        number = next(n for n in range(1, ACCELERATORS_MAX + 1) if n not in taken)
        accelerator = self._state.keep(
            Accelerator(
                new_accelerator_arn(),
                name,
                number,
                static_addresses(self._state.topology.block, number),
                f"a{secrets.token_hex(8)}.awsglobalaccelerator.com",
                now_ms(),
                now_ms(),
                0,
                given.get("Enabled", True),
                tags={tag["Key"]: tag["Value"] for tag in given.get("Tags", [])},
            )
        )
        self._state.remember("CreateAccelerator", given["IdempotencyToken"], accelerator.arn)
        return {"Accelerator": shape(accelerator)}

    def describe_accelerator(self, call: Call) -> Result:
        check_region(call)
        return {"Accelerator": shape(self._state.accelerator(call.parameters["AcceleratorArn"]))}

    def list_accelerators(self, call: Call) -> Result:
        check_region(call)
        shown, token = page(self._state.accelerators, call, lambda accelerator: accelerator.arn)
        return {"Accelerators": [shape(accelerator) for accelerator in shown], "NextToken": token}

    def update_accelerator(self, call: Call) -> Result:
        check_region(call)
        given = call.parameters
        accelerator = self._state.accelerator(given["AcceleratorArn"])
        _refuse_what_is_missing(given)
        changed = replace(
            accelerator,
            name=_checked_name(given.get("Name", accelerator.name)),
            enabled=given.get("Enabled", accelerator.enabled),
        )
        return {"Accelerator": shape(self._state.keep(changed))}

    def delete_accelerator(self, call: Call) -> None:
        check_region(call)
        accelerator = self._state.accelerator(call.parameters["AcceleratorArn"])
        if accelerator.enabled:
            raise AwsError(
                "AcceleratorNotDisabledException",
                "The accelerator that you specified could not be disabled: set Enabled to false before you delete it",
            )
        if accelerator.listeners:
            raise AwsError(
                "AssociatedListenerFoundException",
                "The accelerator that you specified has a listener associated with it: delete its listeners first",
            )
        self._state.drop(accelerator.arn)

    def describe_accelerator_attributes(self, call: Call) -> Result:
        check_region(call)
        return {"AcceleratorAttributes": _attributes(self._state.accelerator(call.parameters["AcceleratorArn"]))}

    def update_accelerator_attributes(self, call: Call) -> Result:
        check_region(call)
        given = call.parameters
        accelerator = self._state.accelerator(given["AcceleratorArn"])
        if given.get("FlowLogsEnabled"):
            raise invalid(
                "FlowLogsEnabled: the lab writes no flow logs; `lab accelerator status --json` and the metrics of "
                "AWS/GlobalAccelerator tell flows and bytes"
            )
        changed = replace(
            accelerator,
            flow_logs_s3_bucket=given.get("FlowLogsS3Bucket", accelerator.flow_logs_s3_bucket),
            flow_logs_s3_prefix=given.get("FlowLogsS3Prefix", accelerator.flow_logs_s3_prefix),
        )
        return {"AcceleratorAttributes": _attributes(self._state.keep(changed))}

    # tags

    def tag_resource(self, call: Call) -> None:
        check_region(call)
        accelerator = self._state.accelerator(call.parameters["ResourceArn"])
        tags = {tag["Key"]: tag["Value"] for tag in call.parameters["Tags"]}
        self._state.keep(replace(accelerator, tags=accelerator.tags | tags))

    def untag_resource(self, call: Call) -> None:
        check_region(call)
        accelerator = self._state.accelerator(call.parameters["ResourceArn"])
        keys = set(call.parameters["TagKeys"])
        kept = {key: value for key, value in accelerator.tags.items() if key not in keys}
        self._state.keep(replace(accelerator, tags=kept))

    def list_tags_for_resource(self, call: Call) -> Result:
        check_region(call)
        accelerator = self._state.accelerator(call.parameters["ResourceArn"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in accelerator.tags.items()]}


def _refuse_what_is_missing(given: dict[str, Any]) -> None:
    if given.get("IpAddressType", "IPV4") != "IPV4":
        raise invalid("IpAddressType: the lab has accelerators of type IPV4 only")
    if given.get("IpAddresses"):
        raise invalid("IpAddresses: the lab has no addresses of one's own (BYOIP); leave them out")


def _checked_name(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise invalid(
            f"The name {name!r} must have at most 64 letters, digits, periods or hyphens, and must not begin or end "
            "with a period or hyphen"
        )
    return name


def shape(accelerator: Accelerator) -> Result:
    """An accelerator as the API answers with it."""
    return {
        "AcceleratorArn": accelerator.arn,
        "Name": accelerator.name,
        "IpAddressType": accelerator.ip_address_type,
        "Enabled": accelerator.enabled,
        "IpSets": [
            {"IpFamily": "IPv4", "IpAddresses": list(accelerator.addresses), "IpAddressFamily": "IPv4"},
        ],
        "DnsName": accelerator.dns_name,
        "Status": "IN_PROGRESS" if now_ms() < accelerator.deployed_ms else "DEPLOYED",
        "CreatedTime": datetime.fromtimestamp(accelerator.created_ms / 1000, UTC),
        "LastModifiedTime": datetime.fromtimestamp(accelerator.last_modified_ms / 1000, UTC),
    }


def _attributes(accelerator: Accelerator) -> Result:
    return {
        "FlowLogsEnabled": False,
        "FlowLogsS3Bucket": accelerator.flow_logs_s3_bucket,
        "FlowLogsS3Prefix": accelerator.flow_logs_s3_prefix,
    }
