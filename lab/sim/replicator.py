"""The replicator's shell in virtual time: the same core as the live one, its reads, applies, fills and crashes.

What `lab.live.replicator` does with tasks is done here with happenings. Any operation on the store can be the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lab.core.faults import FaultSet
from lab.core.item import Record
from lab.core.replication import Replication
from lab.core.replication_store import Checkpoint
from lab.core.replication_work import Acknowledged, Batch, Fetch, Fill, Outcome, Scanned
from lab.core.table import Tables
from lab.sim.engine import SimEngine, digest, sequence_of
from lab.sim.network import Network
from lab.sim.store import Crash, SimStore
from lab.sim.world import World

BATCHES_AT_ONCE = 2
POLL_MS = 40
RETRY_MS = 20
PAGE_MAX = 4
SCAN_ITEMS = 2
PAGE_TIMEOUT_MS = 500
T = TypeVar("T")
Page = tuple[list[Record] | None, bool]
"""Records (None: they are gone), and whether there are more."""


class SimReplicator:
    """A replicator that can be killed and started again; `store` outlives it."""

    def __init__(self, world: World, table: str, engines: dict[str, SimEngine], network: Network) -> None:
        self._world, self._table, self._engines, self._network = world, table, engines, network
        self._chance = world.random("replicator")
        self.store = SimStore()
        self.tables, self.faults = Tables(), FaultSet()
        self.core: Replication | None = None
        self._life = 0

    # Life

    def start(self) -> None:
        """Start the process, with what the store remembers."""
        self._life += 1
        self._boots: dict[str, int] = {}
        self._reading: set[str] = set()
        self._reads = dict.fromkeys(self._engines, 0)
        self._first_read = dict.fromkeys(self._engines, 0)
        self._after_pass: dict[str, list[tuple[int, Callable[[], None]]]] = {region: [] for region in self._engines}
        self._wanted: set[str] = set(self._engines)
        self._shipping = dict.fromkeys(self._engines, 0)
        self._timers: set[str] = set()
        self._filling = False
        self._page: Fill | None = None
        self.caught_up: set[str] = set()
        self._guarded(self._begin)

    def _begin(self) -> None:
        self.core = Replication(self.store)
        for region in self._engines:
            self.core.on_doubt(region)
        self.core.on_faults(self.faults)
        self.core.on_tables(self.tables)
        for region in self._engines:
            self._poll(region)
        self._pump()

    def crash(self) -> None:
        """Kill the process; what was not committed is undone, answers find nobody."""
        self._life += 1
        self.core = None
        self.store.crash()

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Crash:
            self.crash()

    def _later(self, delay_ms: int, step: Callable[[], None]) -> None:
        life = self._life
        self._world.after(delay_ms, lambda: self._guarded(step) if life == self._life else None)

    def _ask(self, region: str, execute: Callable[[], T], on_answer: Callable[[T | None, int, bool], None]) -> None:
        life = self._life

        def answered(answer: T | None, boot: int, reached: bool) -> None:
            if life == self._life:
                self._guarded(lambda: on_answer(answer, boot, reached))

        self._network.call(self._engines[region], execute, answered)

    # What it is told

    def publish(self, tables: Tables, faults: FaultSet) -> None:
        """Give it new documents."""
        self.tables, self.faults = tables, faults
        if self.core is not None:
            self._guarded(self._take_documents)

    def _take_documents(self) -> None:
        assert self.core is not None
        self.core.on_faults(self.faults)
        self.core.on_tables(self.tables)
        for region in self._engines:
            self.wake(region)
        self._pump()

    def wake(self, region: str) -> None:
        """A write was announced."""
        if self.core is not None:
            self._wanted.add(region)
            self.caught_up.discard(region)
            self._guarded(lambda: self._read(region))

    # Reading

    def _poll(self, region: str) -> None:
        self._read(region)
        self._later(self._chance.randint(1, 2 * POLL_MS), lambda: self._poll(region))

    def _read(self, region: str) -> None:
        assert self.core is not None
        joined = (self._table, region) in self.store.replicas()
        if not joined or region in self._reading or self.faults.region_condition(region) != "up":
            return
        self._reading.add(region)
        self._wanted.discard(region)
        self._reads[region] += 1
        checkpoint = self.core.checkpoint(self._table, region)
        limit, asked = self._chance.randint(1, PAGE_MAX), self._boots.get(region)
        self._ask(
            region,
            lambda: self._records(region, checkpoint, limit),
            lambda page, boot, _: self._on_page(region, page, asked, boot),
        )

    def _records(self, region: str, checkpoint: Checkpoint, limit: int) -> tuple[list[Record] | None, bool]:
        engine = self._engines[region]
        if checkpoint.exact:
            records = engine.read(checkpoint.position, limit + 1)
            return records and records[:limit], len(records or ()) > limit
        if engine.trimmed > checkpoint.sequence:
            return None, False
        found = [r for r in engine.read(0, len(engine.stream)) or () if sequence_of(r) > checkpoint.sequence]
        return found[:limit], len(found) > limit

    def _on_page(self, region: str, page: Page | None, asked: int | None, boot: int) -> None:
        assert self.core is not None
        self._reading.discard(region)
        if page is None:
            self._later(RETRY_MS, lambda: self._read(region))
            return
        if not self._same_boot(region, boot) or asked != boot:
            self._read(region)  # what was asked of one engine and answered by another is out of place
            return
        records, more = page
        if records is None:
            horizon = self._engines[region].read(0, 1)
            bound_ms = horizon[0].time_ms - 1 if horizon else self._world.now_ms
            self.core.on_gap(self._table, region, bound_ms, self._engines[region].trimmed)
            self._read(region)
            return
        if records:
            checkpoint = Checkpoint(sequence_of(records[-1]), exact=True)
            self.core.on_records(self._table, region, records, checkpoint, self._world.now_ms)
        self.core.on_stream_read(self._table, region)
        news = bool(records) or region not in self.caught_up
        if more or region in self._wanted:
            self._read(region)
        else:
            self.caught_up.add(region)
            self.core.on_caught_up(self._table, region, self._world.now_ms)
            first, self._first_read[region] = self._first_read[region], self._reads[region] + 1
            waiting, self._after_pass[region] = self._after_pass[region], []
            for number, step in waiting:
                if first >= number:
                    step()
                else:
                    self._after_pass[region].append((number, step))
        if news:
            self._pump()

    def _read_through(self, region: str, step: Callable[[], None]) -> None:
        """Do something after the stream was read to an end that is later than this call."""
        self._after_pass[region].append((self._reads[region] + 1, step))
        self._wanted.add(region)
        self._read(region)

    def _same_boot(self, region: str, boot: int) -> bool:
        """Whether an answer is of the engine that is known; if not, that is learned first."""
        assert self.core is not None
        if self._boots.get(region) == boot:
            return True
        if boot < self._boots.get(region, 0):
            return False  # an answer of an engine that is no more
        known = self.store.boot(region)
        if known not in (None, boot):
            self.store.set_boot(region, boot)
            self.core.on_reset(region, self._world.now_ms, self._acknowledged({**self._boots, region: boot}))
        else:
            self.store.set_boot(region, boot)
            if known is None:
                self.core.on_met(region, self._acknowledged({region: boot}), self._world.now_ms)
            self.core.commit()
        self._boots[region] = boot
        return known in (None, boot)

    def _acknowledged(self, boots: dict[str, int]) -> list[Acknowledged]:
        """All that was acknowledged; `boots` are the runs of the engines that are known."""
        known = {region: boots.get(region) or self.store.boot(region) or 1 for region in self._engines}
        return [write for region, engine in self._engines.items() for write in engine.journal(known[region])]

    # Writing

    def _pump(self) -> None:
        assert self.core is not None
        for region in self._engines:
            self._ship(region)
        self._fill()
        if self.core.unaccounted():
            self.core.on_acknowledged(self._acknowledged(self._boots), self._world.now_ms)

    def _ship(self, target: str) -> None:
        assert self.core is not None
        while self._shipping[target] < BATCHES_AT_ONCE:
            batch = self.core.next_batch(target, self._world.now_ms)
            if batch is None:
                due_ms = self.core.next_due_ms(target)
                if due_ms is not None and target not in self._timers:
                    self._timers.add(target)
                    self._later(max(1, due_ms - self._world.now_ms), lambda: self._due(target))
                return
            self._shipping[target] += 1
            self._send(target, batch)

    def _due(self, target: str) -> None:
        self._timers.discard(target)
        self._ship(target)

    def _send(self, target: str, batch: Batch) -> None:
        engine = self._engines[target]
        self._ask(
            target,
            lambda: (*self._apply(engine, batch), engine.boot),
            lambda answer, boot, reached: self._on_applied(target, batch, answer and answer[0], boot, reached),
        )

    def _apply(self, engine: SimEngine, batch: Batch) -> tuple[Outcome]:
        throttled = engine.region in self.throttled
        count = self._chance.randrange(len(batch.applies)) if throttled and self._chance.random() < 0.7 else None
        return (engine.apply(batch, self._world.now_ms, count),)

    throttled: frozenset[str] = frozenset()

    def _on_applied(self, target: str, batch: Batch, outcome: Outcome | None, boot: int, reached: bool) -> None:
        assert self.core is not None
        self._shipping[target] -= 1
        if outcome is None:
            outcome = Outcome("unknown" if reached else "failed")
        elif not self._same_boot(target, boot):
            outcome = Outcome("unknown")
        self.core.on_batch_done(batch, outcome, self._world.now_ms)
        if outcome.result == "fenced":
            self.wake(target)
        if self._chance.random() < 0.3:
            self.core.commit()
        self._pump()

    # Filling

    def _fill(self) -> None:
        assert self.core is not None
        if self._filling:
            return
        fill = self.core.next_fill()
        fetch = None if fill is not None else self.core.next_fetch(self._world.now_ms)
        if fill is not None:
            self._filling = True
            self._page = fill
            self._scan(fill)
        elif fetch is not None:
            self._filling = True
            self._get(fetch)
        elif self.core.is_busy():
            self._filling = True
            self._later(RETRY_MS, self._filled)

    def _filled(self) -> None:
        self._filling = False
        self._pump()

    def _scan(self, fill: Fill) -> None:
        engine = self._engines[fill.source]

        def on_answer(page: tuple[list[Scanned], bytes | None, int] | None, boot: int, reached: bool) -> None:
            assert self.core is not None
            if page is None or not self._same_boot(fill.source, boot):
                self._later(RETRY_MS, self._filled)
                return
            # What was written before the page was read is to be known before the page is looked at.
            self._read_through(fill.source, lambda: self._take_page(fill, page))
            self._later(PAGE_TIMEOUT_MS, lambda: self._give_up(fill))

        self._ask(fill.source, lambda: engine.scan(fill.after, SCAN_ITEMS), on_answer)

    def _take_page(self, fill: Fill, page: tuple[list[Scanned], bytes | None, int]) -> None:
        assert self.core is not None
        if self._page is fill:
            self._page = None
            self.core.on_fill_page(fill, *page, self._world.now_ms)
            self._later(1, self._filled)

    def _give_up(self, fill: Fill) -> None:
        if self._page is fill:
            self._page = None
            self._filled()

    def _get(self, fetch: Fetch) -> None:
        engine = self._engines[fetch.region]

        def on_answer(found: tuple[bytes | None, int] | None, boot: int, reached: bool) -> None:
            assert self.core is not None
            if found is not None and self._same_boot(fetch.region, boot):
                content, position = found
                scanned = None if content is None else Scanned(fetch.key, content, digest(content))
                self.core.on_fetched(fetch, scanned, position, self._world.now_ms)
            self._later(1, self._filled)

        self._ask(fetch.region, lambda: (engine.items.get(fetch.key), engine.position), on_answer)
