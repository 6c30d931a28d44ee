"""One request on its way through a load balancer: what came in, and the trail that its access log line is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.core.load_balancer import LoadBalancer, LoadBalancerListener


@dataclass(slots=True)
class AlbRequest:
    """A request as parsed. `headers` have lower-case names; `target` is as on the request line; times by the loop's
    clock in seconds, `received_ms` since the epoch."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    http_version: str
    client: tuple[str, int]
    received_ms: int
    received_s: float
    bytes: int
    websocket: bool = False
    tls: tuple[str, str, str] | None = None
    """Cipher, protocol and server name of a TLS connection."""
    connection_id: str = "-"

    @classmethod
    def unreadable(
        cls,
        client: tuple[str, int],
        received_ms: int,
        received_s: float,
        tls: tuple[str, str, str] | None,
        connection_id: str,
    ) -> AlbRequest:
        """What stands in access logs for a request that could not be read."""
        return cls("-", "", [], b"", "-", client, received_ms, received_s, 0, tls=tls, connection_id=connection_id)

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(slots=True)
class Trail:
    """What was done with a request."""

    balancer: LoadBalancer
    listener: LoadBalancerListener
    trace_id: str = "-"
    target_group_arn: str | None = None
    target: str | None = None
    rule_priority: int | None = None
    action: str = "-"
    redirect_url: str = "-"
    sent_to_target_s: float | None = None
    answered_by_target_s: float | None = None
    target_status: int | None = None
    why: str | None = None
    cookies: list[str] = field(default_factory=list)
