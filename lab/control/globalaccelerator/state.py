"""The records of all accelerators, and how the operations find and change them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.page import page_after
from lab.control.record_file import RecordFile
from lab.core.accelerator import HOSTED_ZONE_ID, Accelerator, AcceleratorListener, Accelerators, EndpointGroup
from lab.core.endpoint_name import EndpointName
from lab.core.topology import ACCOUNT_ID, Topology
from lab.live.clock import Clock, now_ms

API_REGION = "us-west-2"
DEPLOYMENT_MS = 5_000
"""How long a change is IN_PROGRESS, in lab time; AWS takes a minute or more. Traffic follows it at once."""
TOKENS_KEPT = 1_000

T = TypeVar("T")


@dataclass(frozen=True)
class AcceleratorRecords:
    """What is kept: `tokens` maps idempotency tokens to what they made."""

    accelerators: tuple[Accelerator, ...] = ()
    tokens: dict[str, str] = field(default_factory=dict)


class AcceleratorState:
    """What is recorded; every change is on disk and marked for publication before the caller goes on."""

    def __init__(
        self, topology: Topology, records: RecordFile[AcceleratorRecords], changed: Callable[[], None]
    ) -> None:
        self.topology = topology
        self._clock = Clock(topology.speed)
        self._records, self._changed = records, changed

    @property
    def accelerators(self) -> tuple[Accelerator, ...]:
        return self._records.value.accelerators

    def document(self) -> Accelerators:
        """The document `accelerators`."""
        return Accelerators(self.accelerators)

    def endpoint_names(self) -> tuple[EndpointName, ...]:
        """The accelerators' names for the document `endpoints`."""
        return tuple(
            EndpointName(f"{a.dns_name}.", "accelerator", a.addresses, HOSTED_ZONE_ID, None, a.arn)
            for a in self.accelerators
        )

    # finding

    def accelerator(self, arn: str) -> Accelerator:
        """Raises AwsError."""
        for accelerator in self.accelerators:
            if accelerator.arn == arn:
                return accelerator
        raise AwsError("AcceleratorNotFoundException", f"Accelerator {arn} was not found")

    def listener(self, arn: str) -> tuple[Accelerator, AcceleratorListener]:
        """Raises AwsError."""
        for accelerator in self.accelerators:
            for listener in accelerator.listeners:
                if listener.arn == arn:
                    return accelerator, listener
        raise AwsError("ListenerNotFoundException", f"Listener {arn} was not found")

    def group(self, arn: str) -> tuple[Accelerator, AcceleratorListener, EndpointGroup]:
        """Raises AwsError."""
        for accelerator in self.accelerators:
            for listener in accelerator.listeners:
                for group in listener.groups:
                    if group.arn == arn:
                        return accelerator, listener, group
        raise AwsError("EndpointGroupNotFoundException", f"Endpoint group {arn} was not found")

    def made_by(self, operation: str, token: str) -> str | None:
        """The ARN that an earlier call with the same idempotency token made."""
        return self._records.value.tokens.get(f"{operation}/{token}")

    # changing

    def deployed_ms(self) -> int:
        """When a change that is made now is deployed."""
        return now_ms() + int(1000 * self._clock.wait_s(DEPLOYMENT_MS))

    def remember(self, operation: str, token: str, arn: str) -> None:
        """Keep what a token made."""
        tokens = self._records.value.tokens | {f"{operation}/{token}": arn}
        for old in list(tokens)[:-TOKENS_KEPT]:
            del tokens[old]
        self._records.replace(replace(self._records.value, tokens=tokens))

    def keep(self, accelerator: Accelerator) -> Accelerator:
        """Add an accelerator, or replace the one with its ARN; it is being deployed from now on."""
        stamped = replace(accelerator, last_modified_ms=now_ms(), deployed_ms=self.deployed_ms())
        known = self.accelerators
        if any(other.arn == stamped.arn for other in known):
            known = tuple(stamped if other.arn == stamped.arn else other for other in known)
        else:
            known = (*known, stamped)
        self._save(known)
        return stamped

    def keep_listener(self, accelerator: Accelerator, listener: AcceleratorListener) -> None:
        """Add a listener, or replace the one with its ARN."""
        listeners = accelerator.listeners
        if any(other.arn == listener.arn for other in listeners):
            listeners = tuple(listener if other.arn == listener.arn else other for other in listeners)
        else:
            listeners = (*listeners, listener)
        self.keep(replace(accelerator, listeners=listeners))

    def keep_group(self, accelerator: Accelerator, listener: AcceleratorListener, group: EndpointGroup) -> None:
        """Add an endpoint group, or replace the one with its ARN."""
        groups = listener.groups
        if any(other.arn == group.arn for other in groups):
            groups = tuple(group if other.arn == group.arn else other for other in groups)
        else:
            groups = (*groups, group)
        self.keep_listener(accelerator, replace(listener, groups=groups))

    def drop(self, arn: str) -> None:
        self._save(tuple(other for other in self.accelerators if other.arn != arn))

    def _save(self, accelerators: tuple[Accelerator, ...]) -> None:
        self._records.replace(replace(self._records.value, accelerators=accelerators))
        self._changed()


def new_accelerator_arn() -> str:
    """An ARN as AWS makes them; it names no region."""
    parts = (secrets.token_hex(4), *(secrets.token_hex(2) for _ in range(3)), secrets.token_hex(6))
    return f"arn:aws:globalaccelerator::{ACCOUNT_ID}:accelerator/{'-'.join(parts)}"


def check_region(call: Call) -> None:
    """Global Accelerator's API is in one region only, wherever accelerators' endpoints are. Raises AwsError."""
    if call.region != API_REGION:
        raise AwsError(
            "InvalidSignatureException",
            f"Credential should be scoped to a valid region, not '{call.region}': the API of Global Accelerator is in "
            f"{API_REGION} only (`aws globalaccelerator --region {API_REGION}`)",
            status=403,
        )


def page(items: Sequence[T], call: Call, name: Callable[[T], str], size: int = 100) -> tuple[list[T], str | None]:
    """One page by `NextToken` and `MaxResults`, and the next token. Raises AwsError."""
    token = call.parameters.get("NextToken")
    message = f"There isn't another item to return for the token {token!r}"
    unknown = AwsError("InvalidNextTokenException", message)
    return page_after(items, token, call.parameters.get("MaxResults", size), name, unknown)


def invalid(message: str) -> AwsError:
    """InvalidArgumentException."""
    return AwsError("InvalidArgumentException", message)


Result = dict[str, Any]
