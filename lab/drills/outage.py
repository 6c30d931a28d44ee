"""The outage drill on a running lab: performs what `lab.core.drill_outage` decides, and records what happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, assert_never

from lab.core.drill_bound import FailoverBound, failover_bound
from lab.core.drill_outage import (
    AwaitConvergence,
    Effect,
    FailRegion,
    HealAll,
    OutageDrill,
    ReadReplicas,
    StallReplication,
    StartLoad,
    StopLoad,
)
from lab.core.drill_report import Report, impossible_report, outage_report
from lab.core.history import Operation
from lab.core.scenario import (
    OutageScenario,
    choose_places,
    client_timeout_ms,
    known_places,
    load_for,
    two_regions,
)
from lab.data import geography
from lab.drills.load import PlaceLoad, RecentKeys
from lab.drills.machine import watch_machine
from lab.drills.options import DrillOptions
from lab.drills.recorder import Recorder
from lab.drills.replicas import drilled_table, read_replicas
from lab.drills.routing import Routing, read_routing
from lab.drills.settling import require_no_faults, settle
from lab.drills.watch import watch_dns, watch_health
from lab.errors import LabError, UserError
from lab.live.clock import Clock, now_ms
from lab.testing.lab import Lab
from lab.testing.place import PlaceConnection

TABLE = "feedback"
ROUTE = "/feedback"
ALIAS_TTL_S = 60
"""The TTL of an alias to a regional API."""
CHECK_ANSWER_LIMIT_MS = 2000
"""A health check waits so long for an answer once it is connected."""
STEADY_MS_MIN = 1000
STEADY_REQUESTS = 4
"""Of each kind and place, before the fault: so that it is known who served whom."""
LAG_MS = 1500


def run_region_outage(lab: Lab, options: DrillOptions) -> Report:
    """A region goes down under load and comes back."""
    return _run("region_outage", lab, options, hang=False)


def run_region_hang(lab: Lab, options: DrillOptions) -> Report:
    """A region hangs under load and comes back."""
    if options.lose_data:
        raise UserError("a region that hangs keeps its data: use region_outage with lose_data")
    return _run("region_hang", lab, options, hang=True)


def _run(name: str, lab: Lab, options: DrillOptions, *, hang: bool) -> Report:
    region, _ = two_regions(lab.topology, options.region)
    if (("POST", ROUTE)) not in [(route.method, route.path) for route, _ in lab.plan.routes]:
        raise UserError(f"the drill calls POST {ROUTE}, which the deployed handlers do not have")
    drilled_table(lab, TABLE)
    require_no_faults(lab)
    routing = read_routing(lab)
    bound = _bound(lab, routing, hang=hang)
    places = known_places(lab.topology, options.places) or choose_places(lab.topology, geography(), region)
    limit_ms = bound.total_ms * 2 + 10_000
    load = load_for(lab.topology)
    scenario = OutageScenario(
        region,
        places,
        hang=hang,
        lose_data=options.lose_data,
        load=load,
        steady_ms=round(STEADY_REQUESTS / load.reads_per_second * 1000) + STEADY_MS_MIN,
        lag_ms=LAG_MS if options.lose_data else 0,
        outage_limit_ms=limit_ms,
        return_limit_ms=limit_ms,
    )
    if options.lose_data and (reason := lab.running.keeps_data):
        return impossible_report(name, scenario, reason, speed=lab.speed)
    drill = _LiveOutage(lab, scenario, routing, Recorder(options.on_event))
    try:
        asyncio.run(drill.run())
    finally:
        lab.heal()  # whatever happened, nothing stays broken
    return outage_report(name, scenario, drill.recorder.history(), bound, speed=lab.speed)


def _bound(lab: Lab, routing: Routing, *, hang: bool) -> FailoverBound:
    check_timeout_ms = Clock(lab.speed).deadline_s(CHECK_ANSWER_LIMIT_MS) * 1000 if hang else 0
    return failover_bound(
        request_interval_s=routing.check.request_interval_s,
        failure_threshold=routing.check.failure_threshold,
        check_timeout_ms=check_timeout_ms,
        ttl_s=ALIAS_TTL_S,
        client_timeout_ms=client_timeout_ms(lab.topology),
        speed=lab.speed,
    )


class _LiveOutage:
    """One run: the machine, the load, the watchers and the recorder."""

    def __init__(self, lab: Lab, scenario: OutageScenario, routing: Routing, recorder: Recorder) -> None:
        self.recorder = recorder
        self._lab, self._scenario, self._routing = lab, scenario, routing
        self._url = f"http://{routing.name}{ROUTE}"
        self._table = drilled_table(lab, TABLE)
        self._machine = OutageDrill(scenario)
        self._ended: asyncio.Queue[Operation] = asyncio.Queue()
        self._stop = asyncio.Event()
        self._connections = [PlaceConnection(lab.topology, place) for place in scenario.places]
        self._load: list[asyncio.Task[None]] = []
        self._lost_before = 0

    async def run(self) -> None:
        """From a lab that is well to one that is well again."""
        lab = self._lab
        await asyncio.to_thread(settle, lab, self._routing, self._table.name)
        self.recorder.before = await asyncio.to_thread(read_replicas, lab, self._table)
        self._lost_before = max((write.number for write in await asyncio.to_thread(lab.lost)), default=0)
        watchers = [asyncio.create_task(watch) for watch in self._watchers()]
        try:
            await self._drive(watchers)
        finally:
            self._stop.set()
            for task in (*watchers, *self._load):
                task.cancel()
            await asyncio.gather(*watchers, *self._load, return_exceptions=True)
            for connection in self._connections:
                await connection.close()

    def _watchers(self) -> list[Coroutine[Any, Any, None]]:
        return [
            watch_machine(self._lab, self.recorder),
            watch_health(self._lab, self._routing, self.recorder),
            *(watch_dns(self._lab, self._routing, place, self.recorder) for place in self._scenario.places),
        ]

    async def _drive(self, watchers: list[asyncio.Task[None]]) -> None:
        machine = self._machine
        while machine.phase != "done":
            for task in (*watchers, *self._load):
                if task.done() and not task.cancelled() and task.exception() is not None:
                    task.result()  # a watcher or the load broke: the drill would prove nothing
            effects = await self._next_effects()
            while effects:
                effect = effects.pop(0)
                await self._perform(effect)
                effects.extend(machine.on_done(effect, now_ms()))

    async def _next_effects(self) -> list[Effect]:
        """What the machine wants after the next ended operation, or at its next wake."""
        wake_ms = self._machine.next_wake_ms()
        wait_s = 1.0 if wake_ms is None else max(0.0, min(1.0, (wake_ms - now_ms()) / 1000))
        try:
            async with asyncio.timeout(wait_s):
                operation = await self._ended.get()
        except TimeoutError:
            return self._machine.on_wake(now_ms())
        return self._machine.on_operation(operation, now_ms()) or self._machine.on_wake(now_ms())

    def _record(self, operation: Operation) -> None:
        self.recorder.operation(operation)
        self._ended.put_nowait(operation)

    async def _perform(self, effect: Effect) -> None:
        lab, scenario, record = self._lab, self._scenario, self.recorder.event
        region = lab.region(scenario.region)
        match effect:
            case StartLoad():
                rate = scenario.load.writes_per_second + scenario.load.reads_per_second
                record("load", detail=f"{rate:g} requests/s from each of {', '.join(scenario.places)}")
                self._start_load()
            case StallReplication():
                record("lag", region=region.code)
                for other in lab.regions:
                    if other.code != region.code:
                        await asyncio.to_thread(lab.cut, region.code, other.code, both=False)
            case FailRegion():
                # The moment before: from here on nothing that fails is the lab's fault.
                record("fault", region=region.code, detail=_fault_words(scenario))
                if scenario.lose_data:
                    record("data_lost", region=region.code)
                await asyncio.to_thread(region.fail, hang=scenario.hang, lose_data=scenario.lose_data)
            case HealAll():
                await asyncio.to_thread(lab.heal)
                record("healed", region=region.code)
            case StopLoad():
                self._stop.set()
                await asyncio.gather(*self._load)
            case AwaitConvergence():
                await self._await_convergence()
            case ReadReplicas():
                self.recorder.replicas = await asyncio.to_thread(read_replicas, lab, self._table)
                lost = await asyncio.to_thread(lab.lost, after=self._lost_before)
                self.recorder.lost = tuple(write for write in lost if write.table == self._table.name)
                self.recorder.losses_unknown = await asyncio.to_thread(lab.losses_unknown)
            case _:
                assert_never(effect)

    def _start_load(self) -> None:
        recent = RecentKeys()
        for connection in self._connections:
            load = PlaceLoad(
                connection,
                self._url,
                self._scenario.load,
                recent,
                self._record,
                timeout_s=client_timeout_ms(self._lab.topology) / 1000,
                rng=random.Random(f"{self._lab.topology.seed}/load/{connection.place}"),
            )
            self._load.append(asyncio.create_task(load.run(self._stop)))

    async def _await_convergence(self) -> None:
        try:
            await asyncio.to_thread(self._lab.converged, self._table.name)
        except LabError as error:
            self.recorder.event("not_converged", detail=str(error))
        else:
            self.recorder.event("converged")


def _fault_words(scenario: OutageScenario) -> str:
    if scenario.hang:
        return "connections open and nothing comes back"
    return "down, its data lost" if scenario.lose_data else "down, its data kept"
