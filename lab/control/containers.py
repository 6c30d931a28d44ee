"""What control does for engines in containers: notice new runs of them, and fill LocalStack's regions.

On one machine the supervisor tells of new runs, and there is nothing to do here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lab.control.engine_watch import EngineWatch
from lab.control.functions.plane import FunctionsPlane
from lab.control.localstack_region import LocalStackRegion, RegionRefused
from lab.core.function import Function
from lab.core.rest_api import RestApis
from lab.core.topology import Topology
from lab.live.http_client import CallFailed, HttpClient
from lab.live.part_address import part_address


class Containers:
    """The engines of a lab in containers. `restore_tables(region)` makes a region's tables again."""

    def __init__(
        self,
        topology: Topology,
        functions: FunctionsPlane,
        apis: Callable[[], RestApis],
        restore_tables: Callable[[str], Awaitable[None]],
        log: Callable[[str], None],
    ) -> None:
        self._functions, self._apis, self._restore_tables, self._log = functions, apis, restore_tables, log
        codes = topology.region_codes if topology.parts else ()
        self._clients = {
            code: HttpClient(part_address(topology, f"engine-{code}"), connect_timeout_s=2.0) for code in codes
        }
        self._regions = {
            code: LocalStackRegion(code, client, self._package)
            for code, client in self._clients.items()
            if topology.engine == "localstack"
        }
        self._watch = EngineWatch(self._clients, self._refill, log)
        self._behind: dict[str, str] = {}

    def start(self) -> None:
        """Begin to watch the engines."""
        self._watch.start()

    async def close(self) -> None:
        """Stop."""
        await self._watch.close()
        for client in self._clients.values():
            client.close()

    async def settle(self) -> None:
        """Have every region that is there take what changed; one that is away gets it when it is back."""
        await asyncio.gather(*(self._keep(code) for code in self._regions if code in self._watch.boots))

    def status(self) -> dict[str, Any]:
        """By region: its engine's run, and why it is behind if it is."""
        return {code: {"boot": boot, "problem": self._behind.get(code)} for code, boot in self._watch.status().items()}

    async def _refill(self, region: str) -> bool:
        await self._restore_tables(region)
        if region not in self._regions:
            return True
        self._regions[region].forget()
        return await self._keep(region)

    async def _keep(self, region: str) -> bool:
        try:
            await self._regions[region].keep(self._functions.document().functions, self._apis().apis)
        except (CallFailed, RegionRefused) as error:
            if self._behind.get(region) != str(error):
                self._log(f"{region}: its functions and APIs are not as they should be: {error}")
            self._behind[region] = str(error)
            self._watch.boots.pop(region, None)  # the watch tries again
            return False
        self._behind.pop(region, None)
        return True

    def _package(self, function: Function) -> bytes | None:
        return self._functions.package(function.region, function.name, Path(function.code_dir).name)
