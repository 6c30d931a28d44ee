"""A drill begins on a lab that is well: no faults, every health check healthy, nothing left to replicate."""

from __future__ import annotations

from lab.drills.routing import Routing
from lab.errors import EnvironmentFailure, UserError
from lab.testing.lab import EVENTUALLY_S, Lab
from lab.testing.waiting import NotYet

SETTLE_FLOOR_S = 60.0
"""Real seconds that a lab has to get well before a drill, however fast it runs: cold starts are real work."""


def require_no_faults(lab: Lab) -> None:
    """Raises UserError if a fault is in force: somebody's experiment, or what a crashed drill left."""
    faults = lab.faults.faults
    if faults:
        names = ", ".join(fault.label or f"{fault.effect} {fault.region or ''}".strip() for fault in faults)
        raise UserError(f"a drill starts on a lab without faults, and in force is: {names}; `lab heal` lifts it")


def settle(lab: Lab, routing: Routing | None, table: str) -> None:
    """Wait until the lab is well. Raises EnvironmentFailure if it does not become so."""
    if routing is not None:

        def all_healthy() -> bool:
            statuses = lab.health_checks()
            sick = [region for check, region in routing.regions.items() if statuses[check]["status"] != "healthy"]
            assert not sick, f"health checks of {', '.join(sick)} are not healthy"
            return True

        try:
            lab.eventually(all_healthy, within_s=max(EVENTUALLY_S, SETTLE_FLOOR_S * lab.speed))
        except NotYet as error:
            raise EnvironmentFailure(
                f"the lab is not well enough for a drill to begin: {error}; `lab status` shows more, and a smaller "
                "--speed helps a machine that is busy"
            ) from error
    lab.converged(table)
