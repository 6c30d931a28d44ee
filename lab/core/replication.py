"""Global tables between regions: what is shipped where, in which order, and what is remembered first.

The machine is told what was read (`on_records`, `on_fill_page`, `on_fetched`), what became of applies
(`on_batch_done`), and what changed around it (`on_tables`, `on_faults`, `on_reset`). It is asked what to do:
`next_batch` for a target, `next_fill`, `next_fetch`. It decides nothing about a single item (`lab.core.item`), and
leaves sockets, clocks and the keeping of its store to the shells. What is about to be applied is committed before
`on_records` returns; outcomes may be committed later, for an apply can be repeated.

What a region has is shipped from the region that wrote it, as long as that holds it, whatever the others hold already;
a link that is cut or a region that is paused holds back only its own pairs. Captured writes wait in the store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from lab.core import item as items
from lab.core.conflict import Conflict, LostWrite, Version
from lab.core.faults import FaultSet
from lab.core.item import NO_POSITION, Held, Item, Record
from lab.core.replication_queue import ShippingQueue
from lab.core.replication_store import Checkpoint, ReplicaState, ReplicationStore, all_pending
from lab.core.table import Tables

BATCH_ITEMS = 25
BATCH_BYTES = 1024 * 1024
CACHE_ITEMS = 10_000
CACHE_BYTES = 24 * 1024 * 1024
FILL_WATERMARK = 2_000
BACKOFF_MS_MIN = 25
BACKOFF_MS_MAX = 1_000
FENCED_RETRY_MS = 5
FETCH_LIMIT = 1_000
REJECTED_RETRY_MS = 5_000
SWEEP_PAGES = 20
SWEEP_PAGE = 500


@dataclass(frozen=True, slots=True)
class Apply:
    """One item to be written to a target, or deleted there (`image` None)."""

    key: bytes
    version: Version
    digest: int
    image: bytes | None
    since_ms: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Applies to one table of one region. `after_position`: the fence, how far that region's stream has been read."""

    table: str
    source: str
    target: str
    applies: tuple[Apply, ...]
    after_position: int
    epoch: int


Result = Literal["applied", "failed", "unknown", "fenced", "rejected"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch.

    applied: all of it is in, at `position` of the target's stream (NO_POSITION where an engine does not say).
    failed, unknown: none of it, or some of it, perhaps; try again. fenced: none, a local write has to be read first.
    rejected: the target calls an item invalid.
    """

    result: Result
    position: int = NO_POSITION


@dataclass(frozen=True, slots=True)
class Fill:
    """The next page to be read: scan `table` at `source` beyond `after` (None: from the start), for `target`."""

    table: str
    source: str
    target: str
    after: bytes | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """An item whose winner has to be read from a region that holds it."""

    table: str
    key: bytes
    region: str


class Scanned(NamedTuple):
    """An item of a scanned page, or a fetched one."""

    key: bytes
    image: bytes
    digest: int


class Acknowledged(NamedTuple):
    """A write that a region answered with success: its time and its place in the region's order."""

    table: str
    key: bytes
    time_ms: int
    counter: int


@dataclass(slots=True)
class Pair:
    """What was shipped between two regions. `backlog` counts items that the target lacks and this source ships."""

    backlog: int = 0
    shipped: int = 0


@dataclass(slots=True)
class _Table:
    replicas: tuple[str, ...]
    filled: set[str]
    scanned: dict[str, int] = field(default_factory=dict)
    draining: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Cached:
    item: Item
    pairs: tuple[tuple[str, str], ...]


def _only_confirms(before: Item, after: Item) -> bool:
    """Whether a settled item stays as it is; what is still to be filled by a scan need not be shipped for it."""
    return after.winner == before.winner and all(held.digest == after.digest for held in after.held.values())


LagSample = Callable[[str, str, str, int], None]
"""Called with (table, source, target, milliseconds) for each item that became readable at a target."""


class Replication:
    """The machine. Give it its store, then `on_tables` and `on_faults` before anything else."""

    def __init__(
        self,
        store: ReplicationStore,
        *,
        lag_ms: Callable[[str, str], int] = lambda source, target: 0,
        on_lag: LagSample = lambda table, source, target, ms: None,
    ) -> None:
        self._store = store
        self._lag_ms, self._on_lag = lag_ms, on_lag
        self._faults = FaultSet()
        self._tables: dict[str, _Table] = {}
        self._queues: dict[str, dict[tuple[str, str], ShippingQueue]] = {}
        self._in_flight: dict[tuple[str, str, bytes], Version] = {}
        self._held_back: dict[tuple[str, str], tuple[int, int]] = {}
        self._doubtful: set[str] = set()
        self._fenced: set[tuple[str, str]] = set()
        self._parked: dict[tuple[str, str, bytes], int] = {}
        self._one_by_one: dict[tuple[str, str], int] = {}
        self._fetches: dict[tuple[str, bytes], int] = {}
        self._epochs: dict[str, int] = {}
        self._cache: OrderedDict[tuple[str, bytes], _Cached] = OrderedDict()
        self._cache_bytes = 0
        self.pairs: dict[tuple[str, str, str], Pair] = {}

    # What changes around it

    def on_faults(self, faults: FaultSet) -> None:
        """Take the faults in force; what they hold back waits, what they let go is due at once.

        A region that comes up again may have lost its data meanwhile: nothing is shipped from it before its stream was
        read.
        """
        was, self._faults = self._faults, faults
        for fault in was.faults:
            if fault.region is not None and was.region_condition(fault.region) != "up":
                self.on_doubt(fault.region)

    def on_doubt(self, region: str) -> None:
        """Whether a region's engine is the one it was is not known, as after a start of the replicator's own."""
        self._doubtful.add(region)

    def _ships(self, source: str, target: str) -> bool:
        return source not in self._doubtful and self._faults.replicates(source, target)

    def on_tables(self, tables: Tables, now_ms: int) -> None:
        """Take the global tables: new replicas are to be filled, replicas that are gone are forgotten."""
        known = self._store.replicas()
        wanted = {
            (table.name, replica.region): replica
            for table in tables.global_tables
            for replica in table.replicas
            if replica.status in ("CREATING", "ACTIVE", "UPDATING")
        }
        for (name, region), state in known.items():
            replica = wanted.get((name, region))
            if replica is None or replica.created_ms != state.created_ms:
                self._store.set_replica(name, region, None)
                self._store.set_checkpoint(name, region, None)
        for name in {name for name, _ in known} - {name for name, _ in wanted}:
            self._store.drop_table(name)
            self._tables.pop(name, None)
            self._drop_cached(name)
        for (name, region), replica in wanted.items():
            state_now = known.get((name, region))
            if state_now is None or state_now.created_ms != replica.created_ms:
                self._add_replica(name, region, replica.created_ms, replica.seeded_from, now_ms)
        states = self._store.replicas()
        for name in sorted({name for name, _ in states}):
            replicas = tuple(sorted(region for table, region in states if table == name))
            filled = {region for region in replicas if states[name, region].filled}
            before = self._tables.get(name)
            if before is None or before.replicas != replicas:
                self._tables[name] = _Table(replicas, filled)
                self._recount(name)
        self._store.commit()

    def _add_replica(self, name: str, region: str, created_ms: int, seeded_from: str | None, now_ms: int) -> None:
        self._store.set_replica(name, region, ReplicaState(created_ms, filled=seeded_from is None))
        # What a first replica's stream holds already is in its table too, and is read by the scan that fills others.
        start = Checkpoint(f"{now_ms - 1:020d}{9_999_999_999:010d}") if seeded_from is None else Checkpoint()
        self._store.set_checkpoint(name, region, start)

    def on_reset(self, region: str, now_ms: int, acknowledged: Iterable[Acknowledged] = ()) -> None:
        """A region's engine came back empty: what only it had is lost, and it is filled from the others.

        Of the writes that the region had `acknowledged`, those are lost that no write survived that is not older.
        """
        self._epochs[region] = self._epochs.get(region, 0) + 1
        for entry in [entry for entry in self._in_flight if entry[1] == region]:
            del self._in_flight[entry]
        for name, group in self._tables.items():
            if region in group.replicas:
                self._reset_replica(name, group, region, now_ms)
        for write in acknowledged:
            if write.table in self._tables:
                skew_ms = self._skew_ms(region, write.time_ms)
                version = Version(write.time_ms + skew_ms, region, write.counter)
                survivor = self._load(write.table, write.key)
                if survivor is None or survivor.item.winner < version:
                    self._store.add_lost(LostWrite(write.table, write.key, version, "not_captured", now_ms))
        self._store.commit()

    def _reset_replica(self, name: str, group: _Table, region: str, now_ms: int) -> None:
        group.filled.discard(region)
        group.scanned[region] = group.draining[region] = 0
        others = [other for other in group.replicas if other != region]
        if not group.filled:
            # Nobody has all of it: whatever the others have is what there is, and what was settled is not any more.
            for other in others or [region]:
                self._set_filled(name, other)
            self._store.forget_settled(name)
        created_ms = self._store.replicas()[name, region].created_ms
        self._store.set_replica(name, region, ReplicaState(created_ms, filled=region in group.filled))
        self._store.set_checkpoint(name, region, Checkpoint())
        for key, item in all_pending(self._store, name):
            left, lost = items.after_loss(item, region)
            if lost and item.winner.time_ms > 0:
                self._store.add_lost(LostWrite(name, key, item.winner, "captured_not_shipped", now_ms))
            if left is None:
                self._store.forget(name, key)
            else:
                self._store.save(name, key, left, pending=bool(left.lacking(group.replicas)))
        self._recount(name)

    # What is read

    def checkpoint(self, table: str, region: str) -> Checkpoint:
        """How far a stream has been read."""
        return self._store.checkpoint(table, region) or Checkpoint()

    def on_records(
        self, table: str, region: str, records: Iterable[Record], checkpoint: Checkpoint, now_ms: int
    ) -> None:
        """Take what was read of a region's stream; on return it is remembered, and may be shipped."""
        group = self._tables.get(table)
        if group is None or region not in group.replicas:
            return
        for record in records:
            known = self._load(table, record.key)
            before = None if known is None else known.item
            if record.mark is not None:
                after, since_ms = items.after_mark(before, region, record), 0
            else:
                skew_ms, since_ms = self._skew_ms(region, record.time_ms), record.time_ms
                after, against = items.after_write(before, region, record, skew_ms)
                if against is not None:
                    version = Version(record.time_ms + skew_ms, region, record.position)
                    winner, loser = max(version, against), min(version, against)
                    self._store.add_conflict(Conflict(table, record.key, winner, loser, now_ms))
            if after is None or after is before:
                continue
            if known is not None and not known.pairs and _only_confirms(known.item, after):
                self._keep_cached(table, record.key, after, ())
            else:
                self._settle(table, record.key, after, known, now_ms, since_ms)
        self._store.set_checkpoint(table, region, checkpoint)
        self._store.commit()

    def commit(self) -> None:
        """Make the outcomes so far durable."""
        self._store.commit()

    def _skew_ms(self, region: str, time_ms: int) -> int:
        return sum(
            fault.skew_ms
            for fault in self._faults.faults
            if fault.effect == "clock_skew" and fault.region == region and fault.since_ms <= time_ms
        )

    # Filling a replica

    def next_fill(self) -> Fill | None:
        """A page to be read for a replica that is being filled, if the target keeps up and the way is free."""
        for name, table in self._tables.items():
            for target in table.replicas:
                if target in table.filled or self.backlog(name, target=target) > FILL_WATERMARK:
                    continue
                for source in sorted(table.filled):
                    if self._ships(source, target):
                        after = self._store.replicas()[name, target].scanned_to
                        return Fill(name, source, target, after, self._epochs.get(target, 0))
        return None

    def on_fill_page(self, fill: Fill, page: Iterable[Scanned], next_key: bytes | None, now_ms: int) -> None:
        """Take a page of the scan; `next_key` None says that it was the last."""
        table = self._tables.get(fill.table)
        if table is None or fill.target not in table.replicas or fill.epoch != self._epochs.get(fill.target, 0):
            return
        count = 0
        for row in page:
            count += 1
            known = self._load(fill.table, row.key)
            item = items.after_scan(None if known is None else known.item, fill.source, row.image, row.digest)
            self._settle(fill.table, row.key, item, known, now_ms, 0)
        table.scanned[fill.target] = table.scanned.get(fill.target, 0) + count
        if next_key is None:
            self._set_filled(fill.table, fill.target)
            table.draining[fill.target] = self.backlog(fill.table, target=fill.target)
        else:
            state = self._store.replicas()[fill.table, fill.target]
            self._store.set_replica(fill.table, fill.target, ReplicaState(state.created_ms, False, next_key))
        self._store.commit()

    def _set_filled(self, table: str, region: str) -> None:
        self._tables[table].filled.add(region)
        state = self._store.replicas()[table, region]
        self._store.set_replica(table, region, ReplicaState(state.created_ms, filled=True))

    def is_ready(self, table: str, region: str) -> bool:
        """Whether a replica has been filled and what the fill found is in it."""
        group = self._tables.get(table)
        return group is not None and region in group.filled and group.draining.get(region, 0) <= 0

    def scanned(self, table: str, region: str) -> int:
        """How many items the running fill of a replica has found so far."""
        group = self._tables.get(table)
        return 0 if group is None else group.scanned.get(region, 0)

    # Shipping

    def next_batch(self, target: str, now_ms: int) -> Batch | None:
        """The next applies for a region, or None if nothing is due that may go there."""
        self._unpark(target, now_ms)
        routes = self._queues.get(target)
        if routes is None:
            return None
        for route in list(routes):
            table, source = route
            if self._held_back.get((table, target), (0, 0))[0] > now_ms:
                continue
            if not self._ships(source, target):
                continue
            batch = self._take(table, source, target, routes[route], now_ms)
            if batch is not None:
                routes[route] = routes.pop(route)  # the others first next time
                return batch
        return None

    def _take(self, table: str, source: str, target: str, queue: ShippingQueue, now_ms: int) -> Batch | None:
        if queue.more_in_store and not queue.waiting:
            self._sweep(table, source, target, queue, now_ms)
        limit = 1 if self._one_by_one.get((table, target), 0) > 0 else BATCH_ITEMS
        applies: list[Apply] = []
        size = 0
        while len(applies) < limit and (head := queue.head()) is not None and head[1].due_ms <= now_ms:
            key, waiting = head
            known = self._load(table, key)
            if known is not None and size and size + len(known.item.image or b"") > BATCH_BYTES:
                break
            queue.pop(key)
            if known is None or known.item.holds(target) or (table, target, key) in self._in_flight:
                continue
            item = known.item
            if (source, target) not in known.pairs:
                self._enqueue(table, key, known.pairs, now_ms, waiting.since_ms, only=target)
            elif not item.has_image:
                self._fetches.setdefault((table, key), now_ms)
                if len(self._fetches) > FETCH_LIMIT:
                    self._held_back[table, target] = (now_ms + BACKOFF_MS_MIN, BACKOFF_MS_MIN)
                    queue.leave_in_store()
                    break
            else:
                applies.append(Apply(key, item.winner, item.digest, item.image, waiting.since_ms))
                size += len(item.image or b"")
                self._in_flight[table, target, key] = item.winner
        if not applies:
            return None
        position = self.checkpoint(table, target).position
        return Batch(table, source, target, tuple(applies), position, self._epochs.get(target, 0))

    def on_batch_done(self, batch: Batch, outcome: Outcome, now_ms: int) -> None:
        """Take what became of a batch. It is made durable with the next `on_records` or `commit`."""
        if batch.epoch != self._epochs.get(batch.target, 0):
            return
        table, target = batch.table, batch.target
        applied = outcome.result == "applied"
        self._hold_back(table, target, outcome, len(batch.applies), now_ms)
        for apply in batch.applies:
            self._in_flight.pop((table, target, apply.key), None)
            known = self._load(table, apply.key)
            if known is None:
                continue
            if applied:
                self._count_shipped(batch, apply, now_ms)
                after = items.after_apply(known.item, target, apply.version, apply.digest, outcome.position)
                self._settle(table, apply.key, after, known, now_ms, apply.since_ms)
            elif outcome.result == "rejected" and len(batch.applies) == 1:
                self._parked[table, target, apply.key] = now_ms + REJECTED_RETRY_MS
            else:
                self._enqueue(table, apply.key, known.pairs, now_ms, apply.since_ms, only=target)

    def _hold_back(self, table: str, target: str, outcome: Outcome, count: int, now_ms: int) -> None:
        """Pause a target that fails, longer each time; take apart a batch with an item that is not wanted."""
        if outcome.result == "applied":
            self._held_back.pop((table, target), None)
        elif outcome.result == "fenced":
            self._held_back[table, target] = (now_ms + FENCED_RETRY_MS, BACKOFF_MS_MIN)
            self._fenced.add((table, target))
        elif outcome.result in ("failed", "unknown"):
            _, pause_ms = self._held_back.get((table, target), (0, BACKOFF_MS_MIN))
            self._held_back[table, target] = (now_ms + pause_ms, min(2 * pause_ms, BACKOFF_MS_MAX))
        if outcome.result == "rejected" and count > 1:
            self._one_by_one[table, target] = count
        elif (table, target) in self._one_by_one:
            self._one_by_one[table, target] -= 1

    def _count_shipped(self, batch: Batch, apply: Apply, now_ms: int) -> None:
        self._pair(batch.table, batch.source, batch.target).shipped += 1
        group = self._tables[batch.table]
        if group.draining.get(batch.target, 0) > 0:
            group.draining[batch.target] -= 1
        if apply.since_ms:
            self._on_lag(batch.table, batch.source, batch.target, max(0, now_ms - apply.since_ms))

    def on_stream_read(self, table: str, region: str) -> None:
        """A stream was read, by the way: its engine is the one it was, and what was fenced may be tried again."""
        self._doubtful.discard(region)
        if (table, region) in self._fenced:
            self._fenced.discard((table, region))
            self._held_back.pop((table, region), None)

    def next_due_ms(self, target: str) -> int | None:
        """When the next apply to a region may be due; None while nothing waits for it that may go there."""
        dues = [due for (_, region, _), due in self._parked.items() if region == target]
        for (table, source), queue in self._queues.get(target, {}).items():
            if not self._ships(source, target):
                continue
            head = queue.head()
            if head is None and not queue.more_in_store:
                continue
            due = 0 if head is None else head[1].due_ms
            dues.append(max(due, self._held_back.get((table, target), (0, 0))[0]))
        return min(dues, default=None)

    # Images that are not kept

    def next_fetch(self, now_ms: int) -> Fetch | None:
        """An item to be read from a region that holds its winner."""
        for (table, key), due_ms in self._fetches.items():
            if due_ms > now_ms:
                continue
            known, group = self._load(table, key), self._tables.get(table)
            holder = None if known is None or group is None else known.item.source(group.replicas)
            if known is None or known.item.has_image or holder is None:
                del self._fetches[table, key]
                return self.next_fetch(now_ms)
            if self._faults.region_condition(holder) == "up":
                self._fetches[table, key] = now_ms + BACKOFF_MS_MAX
                return Fetch(table, key, holder)
        return None

    def on_fetched(self, fetch: Fetch, found: Scanned | None, now_ms: int) -> None:
        """Take what was read; other content than the winner's will be explained by the stream. It is asked again."""
        known = self._load(fetch.table, fetch.key)
        if known is None or found is None or found.digest != known.item.digest:
            return
        self._fetches.pop((fetch.table, fetch.key), None)
        after = items.after_scan(known.item, fetch.region, found.image, found.digest)
        self._settle(fetch.table, fetch.key, after, known, now_ms, 0)

    # What is left

    def is_busy(self) -> bool:
        """Whether a replica is being filled or an item has to be fetched."""
        return bool(self._fetches) or any(len(group.filled) < len(group.replicas) for group in self._tables.values())

    def backlog(self, table: str | None = None, source: str | None = None, target: str | None = None) -> int:
        """How many items wait to be shipped, in all or for a table, a source, a target."""
        return sum(
            pair.backlog
            for (name, origin, end), pair in self.pairs.items()
            if table in (None, name) and source in (None, origin) and target in (None, end)
        )

    def left(self, table: str | None = None) -> list[tuple[str, str, str, int]]:
        """(table, source, target, items) that are still to be shipped between regions that replicate now.

        A replica that is being filled is one item more, from wherever.
        """
        found = [
            (name, source, target, pair.backlog)
            for (name, source, target), pair in sorted(self.pairs.items())
            if table in (None, name) and pair.backlog and self._faults.replicates(source, target)
        ]
        for name, group in self._tables.items():
            for target in group.replicas:
                sources = [source for source in sorted(group.filled) if self._faults.replicates(source, target)]
                if table in (None, name) and target not in group.filled and sources:
                    found.append((name, sources[0], target, 1))
        return found

    # Keeping items

    def _load(self, table: str, key: bytes) -> _Cached | None:
        cached = self._cache.get((table, key))
        if cached is not None:
            self._cache.move_to_end((table, key))
            return cached
        loaded = self._store.load(table, key)
        if loaded is None:
            return None
        item, pending = loaded
        if not pending:
            held = {region: Held(item.winner, item.digest) for region in sorted(self._tables[table].filled)}
            item = Item(item.winner, item.digest, None, held)
        return self._keep_cached(table, key, item, self._pairs_of(table, item) if pending else ())

    def _settle(self, table: str, key: bytes, item: Item, known: _Cached | None, now_ms: int, since_ms: int) -> None:
        """Keep an item as it is now, count what it lacks, and have that shipped."""
        pairs = self._pairs_of(table, item)
        before = () if known is None else known.pairs
        unchanged = known is not None and not pairs and not before and known.item.winner == item.winner
        if not pairs:
            item = Item(item.winner, item.digest, None, item.held)
        if not unchanged:
            self._store.save(table, key, item, pending=bool(pairs))
        if pairs != before:
            for source, target in before:
                self._pair(table, source, target).backlog -= 1
            for source, target in pairs:
                self._pair(table, source, target).backlog += 1
        self._keep_cached(table, key, item, pairs)
        if pairs:
            self._enqueue(table, key, pairs, now_ms, since_ms)

    def _pairs_of(self, table: str, item: Item) -> tuple[tuple[str, str], ...]:
        """(source, target) for each replica that lacks the item."""
        replicas = self._tables[table].replicas
        lacking = item.lacking(replicas)
        if not lacking:
            return ()
        source = item.source(replicas)
        if source is None:
            source = item.winner.region if item.winner.region in replicas else replicas[0]
        return tuple((source, target) for target in lacking)

    def _enqueue(
        self,
        table: str,
        key: bytes,
        pairs: Iterable[tuple[str, str]],
        now_ms: int,
        since_ms: int,
        only: str | None = None,
    ) -> None:
        for source, target in pairs:
            if only not in (None, target) or (table, target, key) in self._in_flight:
                continue
            queue = self._queue(table, source, target)
            if self._ships(source, target):
                queue.add(key, now_ms + self._lag_ms(source, target), since_ms)
            else:
                queue.leave_in_store()

    def _queue(self, table: str, source: str, target: str) -> ShippingQueue:
        return self._queues.setdefault(target, {}).setdefault((table, source), ShippingQueue())

    def _pair(self, table: str, source: str, target: str) -> Pair:
        return self.pairs.setdefault((table, source, target), Pair())

    def _sweep(self, table: str, source: str, target: str, queue: ShippingQueue, now_ms: int) -> None:
        """Fill a queue that has run empty from the store."""
        for _ in range(SWEEP_PAGES):
            rows = self._store.pending(table, queue.sweep_after, SWEEP_PAGE)
            for key, item in rows:
                if (source, target) in self._pairs_of(table, item):
                    queue.add(key, now_ms, item.winner.time_ms)
            if not rows:
                queue.more_in_store = False
                return
            queue.sweep_after = rows[-1][0]
            if queue.waiting:
                return

    def _unpark(self, target: str, now_ms: int) -> None:
        due = [entry for entry, due_ms in self._parked.items() if entry[1] == target and due_ms <= now_ms]
        for table, _, key in due:
            del self._parked[table, target, key]
            known = self._load(table, key)
            if known is not None:
                self._enqueue(table, key, known.pairs, now_ms, 0, only=target)

    def _recount(self, table: str) -> None:
        """Count a table's backlog anew from the store, and have it shipped from there."""
        replicas = self._tables[table].replicas
        self._drop_cached(table)
        for (name, _, _), pair in self.pairs.items():
            if name == table:
                pair.backlog = 0
        for routes in self._queues.values():
            for (name, _), queue in routes.items():
                if name == table:
                    queue.clear()
        for key, item in all_pending(self._store, table):
            kept = Item(item.winner, item.digest, item.image, {r: h for r, h in item.held.items() if r in replicas})
            pairs = self._pairs_of(table, kept)
            if kept.held != item.held or not pairs:
                self._store.save(table, key, kept, pending=bool(pairs))
            for source, target in pairs:
                self._pair(table, source, target).backlog += 1
                self._queue(table, source, target).leave_in_store()

    def _keep_cached(self, table: str, key: bytes, item: Item, pairs: tuple[tuple[str, str], ...]) -> _Cached:
        cached = _Cached(item, pairs)
        before = self._cache.pop((table, key), None)
        self._cache[table, key] = cached
        self._cache_bytes += len(item.image or b"") - (0 if before is None else len(before.item.image or b""))
        while len(self._cache) > CACHE_ITEMS or (self._cache_bytes > CACHE_BYTES and len(self._cache) > 1):
            _, evicted = self._cache.popitem(last=False)
            self._cache_bytes -= len(evicted.item.image or b"")
        return cached

    def _drop_cached(self, table: str) -> None:
        for entry in [entry for entry in self._cache if entry[0] == table]:
            self._cache_bytes -= len(self._cache.pop(entry).item.image or b"")
