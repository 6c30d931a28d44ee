"""An endpoint's health as the accelerator sees it: the load balancer's own, some time later.

AWS says that an accelerator takes up to about 30 seconds to act on a change of an endpoint's health. A change that is
taken back within the delay is never acted on; the first verdict on a new endpoint is taken at once.
https://docs.aws.amazon.com/global-accelerator/latest/dg/about-endpoints-endpoint-weights.unhealthy-endpoints.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

HealthState = Literal["INITIAL", "HEALTHY", "UNHEALTHY"]

DELAY_MS_MAX = 30_000
"""AWS's upper bound, the default of the lab's setting."""


@dataclass
class EndpointHealth:
    """A machine for one endpoint. All times are the caller's clock, in lab milliseconds."""

    delay_ms: int = DELAY_MS_MAX
    state: HealthState = "INITIAL"
    since_ms: int = 0
    _pending: HealthState | None = field(default=None, repr=False)
    _due_ms: int = 0

    @property
    def healthy(self) -> bool:
        return self.state == "HEALTHY"

    def on_verdict(self, healthy: bool | None, now_ms: int) -> None:
        """Hear what the load balancer's target groups say now; None says that they have not said anything yet."""
        if healthy is None:
            return
        verdict: HealthState = "HEALTHY" if healthy else "UNHEALTHY"
        if verdict == self.state:
            self._pending = None
        elif self.state == "INITIAL" or self.delay_ms <= 0:
            self._become(verdict, now_ms)
        elif self._pending != verdict:
            self._pending, self._due_ms = verdict, now_ms + self.delay_ms

    def next_wake_ms(self) -> int | None:
        """When a pending change is due, if there is one."""
        return self._due_ms if self._pending is not None else None

    def on_wake(self, now_ms: int) -> bool:
        """Act on a change that is due; True if the state changed."""
        if self._pending is None or now_ms < self._due_ms:
            return False
        self._become(self._pending, now_ms)
        return True

    def _become(self, state: HealthState, now_ms: int) -> None:
        self.state, self.since_ms, self._pending = state, now_ms, None
