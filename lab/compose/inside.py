"""The lab from one of its own containers, as `docker compose run --rm drill`: no Docker, all else as on the host."""

from __future__ import annotations

import os
from typing import Any

from lab.cli.project import RunningLab
from lab.compose.__main__ import has_third_region
from lab.compose.layout import STATE_DIR, topology_of
from lab.errors import UserError
from lab.supervisor.instance import Instance

VARIABLE = "LAB_IN_CONTAINER"


class InsideLab(RunningLab):
    """A lab of which this process is a container."""

    @property
    def keeps_data(self) -> str | None:
        """As `RunningLab.keeps_data`."""
        return (
            "losing a region's data means killing its container, and this container has no Docker; "
            "run `lab drill` on the host instead"
        )

    def call(
        self, method: str, path: str, body: Any = None, *, query: dict[str, str] | None = None, limit_s: float = 10.0
    ) -> Any:
        """As `RunningLab.call`; a fault that only Docker can cause is refused."""
        if method == "POST" and path == "/api/faults" and isinstance(body, dict) and body.get("lose_data"):
            raise UserError(str(self.keeps_data))
        return super().call(method, path, body, query=query, limit_s=limit_s)


def attach_inside() -> InsideLab | None:
    """The lab of this container; None if this is none of its containers."""
    if VARIABLE not in os.environ:
        return None
    topology = topology_of(os.environ, third=has_third_region())
    return InsideLab(Instance(0, STATE_DIR, "", topology.block, topology.region_codes, topology.speed, 0), topology)
