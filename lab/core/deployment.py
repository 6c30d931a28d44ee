"""What is deployed to the regions: functions with their routes, tables, the API's name, the health checks.

Plain values, made from the configuration and carried out by `lab.deploy`; the defaults deploy `handlers/feedback`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.core.table import KeyAttribute
from lab.core.topology import DOMAIN

RUNTIME = "python3.11"


@dataclass(frozen=True)
class Route:
    """One method and path of the API that a function answers; the method may be "ANY"."""

    method: str
    path: str


@dataclass(frozen=True)
class FunctionPlan:
    """One function, deployed to every region. `folder` is absolute; its content becomes the function's zip."""

    name: str
    folder: str
    handler: str = "app.handler"
    routes: tuple[Route, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    timeout_s: int = 10
    memory_mb: int = 256
    reserved_concurrency: int | None = None


@dataclass(frozen=True)
class TablePlan:
    """One global table with a replica in every region; partition key first."""

    name: str
    key: tuple[KeyAttribute, ...]


@dataclass(frozen=True)
class HealthCheckPlan:
    """The health check of every region's API. `path` is a route of the API; `request_interval_s` is 10 or 30."""

    path: str
    request_interval_s: int = 10
    failure_threshold: int = 3


@dataclass(frozen=True)
class DeploymentPlan:
    """Everything that `lab up` deploys. `health_check` None means records that nothing checks."""

    functions: tuple[FunctionPlan, ...]
    tables: tuple[TablePlan, ...]
    health_check: HealthCheckPlan | None
    zone: str = DOMAIN
    api_name: str = "lab"
    stage: str = "prod"

    @property
    def api_domain(self) -> str:
        """The custom domain name that all regions serve."""
        return f"api.{self.zone}"

    @property
    def routes(self) -> tuple[tuple[Route, FunctionPlan], ...]:
        """Every route with its function."""
        return tuple((route, function) for function in self.functions for route in function.routes)


def feedback_plan(folder: str, zone: str = DOMAIN) -> DeploymentPlan:
    """The deployment of the handlers that ship with the lab; `folder` is the absolute path of `handlers/feedback`."""
    feedback = FunctionPlan(
        "feedback",
        folder,
        routes=(Route("POST", "/feedback"), Route("GET", "/feedback/{id}"), Route("GET", "/health")),
        environment={"TABLE_NAME": "feedback"},
    )
    return DeploymentPlan(
        functions=(feedback,),
        tables=(TablePlan("feedback", (KeyAttribute("feedback_id", "S"),)),),
        health_check=HealthCheckPlan("/health"),
        zone=zone,
    )
