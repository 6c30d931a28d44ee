"""Runs one simulated history from its plan and judges it: convergence, losses, conflicts, what readers saw.

What must be true in the end: every region has the same items; each is the content of the write that last-writer-wins
names among all writes that are not reported lost; a write is reported lost only if its region lost its data after it,
and every write that is missing and not superseded is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.core.conflict import Version
from lab.core.faults import Fault, FaultSet, PastSkew
from lab.core.table import GlobalTable, KeyAttribute, Replica, Tables
from lab.sim.engine import SimEngine, Write
from lab.sim.network import Network
from lab.sim.plan import REGIONS, START_MS, Plan, PlannedFault, PlannedWrite
from lab.sim.replicator import SimReplicator
from lab.sim.world import World

TABLE = "items"
SETTLE_MS = 60_000
STEP_MS = 200
FIRST_FILL_MS = 500


@dataclass(frozen=True)
class Verdict:
    """What was wrong with a history; nothing if it passed."""

    problems: tuple[str, ...]
    writes: int
    lost: int
    conflicts: int

    @property
    def passed(self) -> bool:
        return not self.problems


def run_plan(plan: Plan) -> Verdict:
    """Run a plan and judge what came of it."""
    return _History(plan).run()


class _History:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._world = World(plan.seed, START_MS - FIRST_FILL_MS)
        self._engines = {region: SimEngine(region, TABLE, fences=plan.fences) for region in REGIONS}
        self._network = Network(self._world, plan.delay_ms)
        self._replicator = SimReplicator(self._world, TABLE, self._engines, self._network)
        self._active: list[PlannedFault] = []
        self._past_skews: list[PastSkew] = []
        self._late = {fault.region for fault in plan.faults if fault.kind == "late_replica"}
        self._first = next(region for region in REGIONS if region not in self._late)
        self._joined_ms = dict.fromkeys(REGIONS, START_MS - FIRST_FILL_MS)
        self._resets: dict[str, list[int]] = {region: [] for region in REGIONS}

    def run(self) -> Verdict:
        world, plan = self._world, self._plan
        self._publish()
        self._replicator.start()
        world.run(START_MS)
        for write in plan.writes:
            world.at(START_MS + write.at_ms, lambda write=write: self._write(write))  # type: ignore[misc]
        for fault in plan.faults:
            self._schedule(fault)
        end_ms = max([START_MS, *(START_MS + write.at_ms for write in plan.writes)]) + STEP_MS
        world.run(end_ms)
        self._heal()
        deadline_ms = world.now_ms + SETTLE_MS
        while not self._settled() and world.now_ms < deadline_ms:
            world.run(world.now_ms + STEP_MS)
        problems = tuple(self._judge())
        store = self._replicator.store
        writes = sum(len(engine.writes) for engine in self._engines.values())
        return Verdict(problems, writes, len(store.lost), len(store.conflicts))

    # what happens

    def _tables(self) -> Tables:
        first = self._first
        replicas = tuple(
            Replica(region, "ACTIVE", self._joined_ms[region], None if region == first else first)
            for region in REGIONS
            if region not in self._late
        )
        return Tables((GlobalTable(TABLE, (KeyAttribute("id", "S"),), replicas),))

    def _faults(self) -> FaultSet:
        found = []
        for fault in self._active:
            match fault.kind:
                case "cut":
                    found.append(Fault("", "cut", 0, region=fault.region, target=fault.other))
                case "pause":
                    found.append(Fault("", "replication_paused", 0, region=fault.region))
                case "down" | "lose_data":
                    found.append(Fault("", "down", 0, region=fault.region))
                case "skew":
                    since_ms = START_MS + fault.at_ms
                    found.append(Fault("", "clock_skew", since_ms, region=fault.region, skew_ms=fault.count))
        return FaultSet(tuple(found), tuple(self._past_skews))

    def _publish(self) -> None:
        self._network.drop = 0.25 if any(fault.kind == "drop" for fault in self._active) else 0.0
        self._network.slow = any(fault.kind == "slow" for fault in self._active)
        self._replicator.throttled = frozenset(f.region for f in self._active if f.kind == "throttle")
        self._replicator.publish(self._tables(), self._faults())

    def _write(self, planned: PlannedWrite) -> None:
        engine = self._engines[planned.region]
        up = self._faults().region_condition(planned.region) == "up"
        if not up or not engine.alive or planned.region in self._late:
            return
        write = engine.write(b"%d" % planned.key, planned.content, self._world.now_ms)
        if write is not None and self._world.now_ms % 3:  # some announcements are lost
            self._world.after(1, lambda: self._replicator.wake(planned.region))

    def _schedule(self, fault: PlannedFault) -> None:
        self._world.at(START_MS + fault.at_ms, lambda: self._begin(fault))
        if fault.kind not in ("late_replica", "gap"):
            self._world.at(START_MS + fault.until_ms, lambda: self._end(fault))

    def _begin(self, fault: PlannedFault) -> None:
        if fault.kind == "late_replica":
            self._late.discard(fault.region)
            self._joined_ms[fault.region] = self._world.now_ms
        elif fault.kind == "crash":
            self._replicator.store.countdown = fault.count
            return
        elif fault.kind == "gap":
            self._engines[fault.region].forget_records()
            return
        elif fault.kind == "lose_data":
            self._engines[fault.region].alive = False
        if fault.kind != "late_replica":
            self._active.append(fault)
        self._publish()

    def _end(self, fault: PlannedFault) -> None:
        if fault.kind == "crash":
            self._replicator.store.countdown = None
            if self._replicator.core is None:
                self._replicator.start()
            return
        if fault not in self._active:
            return
        self._active.remove(fault)
        if fault.kind == "skew":
            since_ms, until_ms = START_MS + fault.at_ms, START_MS + fault.until_ms
            self._past_skews.append(PastSkew(fault.region, fault.count, since_ms, until_ms))
        if fault.kind == "lose_data" and not self._engines[fault.region].alive:
            self._engines[fault.region].restart(self._world.now_ms)
            self._resets[fault.region].append(self._world.now_ms)
        self._publish()

    def _heal(self) -> None:
        for fault in list(self._active):
            if fault.kind != "skew":
                self._end(fault)
        for region in sorted(self._late):
            self._begin(PlannedFault("late_replica", 0, 0, region))
        self._replicator.store.countdown = None
        if self._replicator.core is None:
            self._replicator.start()
        for region in REGIONS:
            self._replicator.wake(region)

    def _settled(self) -> bool:
        core = self._replicator.core
        if core is None or self._network.under_way or set(REGIONS) - self._replicator.caught_up:
            return False
        read = all(
            core.checkpoint(TABLE, region).position >= engine.position or not engine.stream[engine.horizon :]
            for region, engine in self._engines.items()
        )
        return read and not core.left() and not core.is_busy() and not core.unaccounted()

    # what came of it

    def _version(self, write: Write) -> Version:
        skew_ms = sum(
            fault.count
            for fault in self._plan.faults
            if fault.kind == "skew"
            and fault.region == write.region
            and START_MS + fault.at_ms <= write.time_ms < START_MS + fault.until_ms
        )
        return Version(write.time_ms + skew_ms, write.region, write.position)

    def _judge(self) -> Iterator[str]:
        if not self._settled():
            core = self._replicator.core
            yield f"not settled within {SETTLE_MS} ms: {None if core is None else core.left()}"
        if any(fault.kind == "gap" for fault in self._plan.faults):
            yield from self._judge_with_gaps()
            return
        lost = {(entry.key, entry.version) for entry in self._replicator.store.lost.values()}
        writes = [write for engine in self._engines.values() for write in engine.writes]
        versions = {(write.key, self._version(write)): write for write in writes}
        yield from self._judge_lost(lost, versions)
        for key in (b"%d" % n for n in range(self._plan.keys)):
            kept = [(v, write) for (k, v), write in versions.items() if k == key and (k, v) not in lost]
            content = max(kept, key=lambda entry: entry[0])[1].content if kept else None
            for region, engine in self._engines.items():
                if engine.items.get(key) != content:
                    yield f"{region} has {engine.items.get(key)!r} for {key!r} where the last writer wrote {content!r}"
        for conflict in self._replicator.store.conflicts.values():
            named = [(conflict.key, version) in versions for version in (conflict.winner, conflict.loser)]
            if not all(named) or conflict.winner <= conflict.loser:
                yield f"a conflict that was none: {conflict}"
        # A put that was given up may still come after a delete that changed nothing and so left no record to fence it.
        may_go_back = not self._plan.fences or any(f.kind in ("skew", "lose_data", "slow") for f in self._plan.faults)
        for region, engine in self._engines.items():
            if engine.went_back and not may_go_back:
                yield f"{region} showed an older write again: {engine.went_back}"

    def _resets_that_lose(self, region: str) -> list[int]:
        """A region's own; without fences an apply may have overtaken a write here, and be lost elsewhere."""
        return self._resets[region] if self._plan.fences else [ms for found in self._resets.values() for ms in found]

    def _judge_with_gaps(self) -> Iterator[str]:
        """When a write was made that nobody saw is not known; replicas agree all the same, on something written."""
        for key in (b"%d" % n for n in range(self._plan.keys)):
            contents = {region: engine.items.get(key) for region, engine in self._engines.items()}
            if len(set(contents.values())) > 1:
                yield f"replicas differ for {key!r}: {contents}"
            written = {w.content for engine in self._engines.values() for w in engine.writes if w.key == key}
            if not set(contents.values()) <= written | {None}:
                yield f"nobody wrote {contents} for {key!r}"

    def _outlived_by(
        self, lost: Write, version: Version, versions: dict[tuple[bytes, Version], Write]
    ) -> Version | None:
        """A newer write from before the loss whose region has not lost its data since.

        Not looked for where the replicator may have met a region for the first time after the loss, and knew then what
        that region had acknowledged alone; nor without fences, where an apply may have overtaken it.
        """
        if not self._plan.fences or any(fault.kind in ("crash", "late_replica") for fault in self._plan.faults):
            return None
        lost_ms = min(reset for reset in self._resets[lost.region] if reset > lost.time_ms)
        found = (
            newer
            for (name, newer), write in versions.items()
            if name == lost.key and newer > version and write.time_ms < lost_ms
            if write.boot == self._engines[write.region].boot
        )
        return next(found, None)

    def _judge_lost(
        self, lost: set[tuple[bytes, Version]], versions: dict[tuple[bytes, Version], Write]
    ) -> Iterator[str]:
        for key, version in lost:
            write = versions.get((key, version))
            if write is None:
                yield f"reported lost, but never written: {key!r} {version}"
            elif not any(reset > write.time_ms for reset in self._resets_that_lose(write.region)):
                yield f"reported lost, but its region lost nothing: {key!r} {version}"
            elif (newer := self._outlived_by(write, version, versions)) is not None:
                yield f"reported lost, but {newer} had outlived it: {key!r} {version}"
