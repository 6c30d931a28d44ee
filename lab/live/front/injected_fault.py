"""What a fault in force does to one call of a service: nothing, delay, error, reset or silence.

Which fault has an opinion is `FaultSet`'s to say; a region that is down or hangs as a whole never gets here.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from lab.core.aws_error import AwsError
from lab.core.faults import FaultSet
from lab.core.topology import Topology
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.http_message import RESET, Response

ErrorResponse = Callable[[AwsError], Response]


class InjectedFaults:
    """The faults on one region's calls; the chance of each is drawn from a random of the region's own."""

    def __init__(self, topology: Topology, region: str, store: DocumentStore, clock: Clock) -> None:
        self._region, self._store, self._clock = region, store, clock
        self._rng = random.Random(f"{topology.seed}:faults:{region}")
        self._take_faults()
        store.watch(FaultSet, self._take_faults)

    def _take_faults(self) -> None:
        self._faults = self._store.get(FaultSet)

    @property
    def active(self) -> bool:
        """Whether any fault is in force; without one, `around` does nothing but call."""
        return bool(self._faults.faults)

    async def around(
        self,
        service: str,
        operation: str | None,
        call: Callable[[], Awaitable[Response | None]],
        error_response: ErrorResponse,
    ) -> Response | None:
        """Do a call, or what a fault makes of it."""
        fault = self._faults.on_call(self._region, service, operation)
        if fault is None:
            return await call()
        match fault.effect:
            case "down":
                return RESET
            case "hang":
                return None
            case "delay":
                await self._clock.sleep(fault.delay_ms)
            case "error":
                if self._rng.random() < fault.probability:
                    code = fault.error_code or "ServiceUnavailable"
                    return error_response(AwsError(code, f"{service} fails as the fault {fault.fault_id} demands."))
        return await call()
