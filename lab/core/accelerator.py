"""Global Accelerator's records: accelerators, listeners, endpoint groups and endpoints.

They are what the control part keeps and what it publishes to the edge as the document `accelerators`; which endpoint
a connection goes to is `accelerator_selection`'s decision.
https://docs.aws.amazon.com/global-accelerator/latest/dg/introduction-components.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ClientAffinity = Literal["NONE", "SOURCE_IP"]

HOSTED_ZONE_ID = "Z2BJ6XQ5FK7U4H"
"""The hosted zone id that a Route 53 alias to any accelerator must give."""

LISTENER_PORTS_MAX = 100
"""How many ports one port range may span in the lab: each is two listening sockets. AWS has no such limit."""


@dataclass(frozen=True)
class PortRange:
    """Ports `from_port` to `to_port`, both included."""

    from_port: int
    to_port: int

    def __contains__(self, port: int) -> bool:
        return self.from_port <= port <= self.to_port


@dataclass(frozen=True)
class PortOverride:
    """Connections to `listener_port` go to the endpoint's `endpoint_port`."""

    listener_port: int
    endpoint_port: int


@dataclass(frozen=True)
class Endpoint:
    """One endpoint. `endpoint_id` is a load balancer's ARN; `weight` 0 to 255."""

    endpoint_id: str
    weight: int = 128
    client_ip_preservation: bool = True


@dataclass(frozen=True)
class EndpointGroup:
    """The endpoints of one region behind one listener.

    The health check settings are recorded and answered but not used: the health of a load balancer comes from its
    target groups. https://docs.aws.amazon.com/global-accelerator/latest/dg/about-endpoint-groups-health-check-options.html
    """

    arn: str
    region: str
    endpoints: tuple[Endpoint, ...] = ()
    traffic_dial_percentage: float = 100.0
    health_check_port: int | None = None
    health_check_protocol: Literal["TCP", "HTTP", "HTTPS"] = "TCP"
    health_check_path: str | None = None
    health_check_interval_seconds: int = 30
    threshold_count: int = 3
    port_overrides: tuple[PortOverride, ...] = ()

    def endpoint_port(self, listener_port: int) -> int:
        """The port of the endpoint that connections to a port of the listener go to."""
        for override in self.port_overrides:
            if override.listener_port == listener_port:
                return override.endpoint_port
        return listener_port


@dataclass(frozen=True)
class AcceleratorListener:
    """One listener. Its port ranges do not overlap those of the accelerator's other listeners."""

    arn: str
    port_ranges: tuple[PortRange, ...]
    client_affinity: ClientAffinity = "NONE"
    protocol: Literal["TCP"] = "TCP"
    groups: tuple[EndpointGroup, ...] = ()

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports of all ranges, ascending within each range."""
        return tuple(port for span in self.port_ranges for port in range(span.from_port, span.to_port + 1))


@dataclass(frozen=True)
class Accelerator:
    """One standard accelerator. `number` counts from 1 and decides its two static `addresses`.

    `idempotency_token` and those of its parts are kept by the control part alone. A change is DEPLOYED once
    `deployed_ms` (epoch, lab time) has passed, IN_PROGRESS before.
    """

    arn: str
    name: str
    number: int
    addresses: tuple[str, str]
    dns_name: str
    created_ms: int
    last_modified_ms: int
    deployed_ms: int
    enabled: bool = True
    ip_address_type: Literal["IPV4"] = "IPV4"
    listeners: tuple[AcceleratorListener, ...] = ()
    flow_logs_s3_bucket: str = ""
    flow_logs_s3_prefix: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def listener_on(self, port: int) -> AcceleratorListener | None:
        """The listener that has a port, if any."""
        for listener in self.listeners:
            if any(port in span for span in listener.port_ranges):
                return listener
        return None


@dataclass(frozen=True)
class Accelerators:
    """The document `accelerators`."""

    accelerators: tuple[Accelerator, ...] = ()


def static_addresses(block: str, number: int) -> tuple[str, str]:
    """The two static addresses of accelerator `number` (1 to 127) in a block of loopback addresses."""
    assert 1 <= number <= 127
    return f"{block}.100.{2 * number}", f"{block}.100.{2 * number + 1}"
