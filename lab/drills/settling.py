"""A drill begins on a lab that is well: no faults, every health check healthy, nothing left to replicate."""

from __future__ import annotations

from lab.drills.routing import Routing
from lab.errors import UserError
from lab.testing.lab import Lab


def require_no_faults(lab: Lab) -> None:
    """Raises UserError if a fault is in force: somebody's experiment, or what a crashed drill left."""
    faults = lab.faults.faults
    if faults:
        names = ", ".join(fault.label or f"{fault.effect} {fault.region or ''}".strip() for fault in faults)
        raise UserError(f"a drill starts on a lab without faults, and in force is: {names}; `lab heal` lifts it")


def settle(lab: Lab, routing: Routing | None, table: str) -> None:
    """Wait until the lab is well. Raises `lab.testing.waiting.NotYet`, LabError."""
    if routing is not None:

        def all_healthy() -> bool:
            statuses = lab.health_checks()
            sick = [region for check, region in routing.regions.items() if statuses[check]["status"] != "healthy"]
            assert not sick, f"health checks of {', '.join(sick)} are not healthy"
            return True

        lab.eventually(all_healthy)
    lab.converged(table)
