"""Which applies go to which region now: queues by route, what is in flight, what is held back, what has to be read.

An item goes to a region once at a time; what it is when its turn comes is looked up then. A target that fails is
left alone for a while, longer each time; an item that it rejects does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lab.core.conflict import Version
from lab.core.faults import FaultSet
from lab.core.item import NO_POSITION
from lab.core.replication_ledger import Known, Ledger, Route
from lab.core.replication_queue import ShippingQueue
from lab.core.replication_store import Checkpoint
from lab.core.replication_work import Apply, Batch, Fetch, Outcome

BATCH_ITEMS = 25
BATCH_BYTES = 1024 * 1024
BACKOFF_MS_MIN = 25
BACKOFF_MS_MAX = 1_000
FENCED_RETRY_MS = 5
REJECTED_RETRY_MS = 5_000
FETCH_LIMIT = 1_000
SWEEP_PAGES = 20
SWEEP_PAGE = 500


class Links:
    """Between which regions there is shipping now."""

    def __init__(self) -> None:
        self.faults = FaultSet()
        self.doubtful: set[str] = set()
        self._replicates: dict[tuple[str, str], bool] = {}

    def set_faults(self, faults: FaultSet) -> None:
        """Take the faults in force."""
        self.faults = faults
        self._replicates.clear()

    def open(self, source: str, target: str) -> bool:
        """Whether anything may be shipped from one region to another."""
        if source in self.doubtful:
            return False
        replicates = self._replicates.get((source, target))
        if replicates is None:
            replicates = self._replicates[source, target] = self.faults.replicates(source, target)
        return replicates


class Shipping:
    """What waits, is under way or is held back, for all targets. `lag_ms` is asked for each item's time on the way."""

    def __init__(self, ledger: Ledger, links: Links, lag_ms: Callable[[str, str], int]) -> None:
        self._ledger, self._links, self._lag_ms = ledger, links, lag_ms
        self._queues: dict[str, dict[tuple[str, str], ShippingQueue]] = {}
        self._in_flight: dict[tuple[str, str, bytes], Version] = {}
        self._held_back: dict[tuple[str, str], tuple[int, int]] = {}
        self._fenced: set[tuple[str, str]] = set()
        self._one_by_one: dict[tuple[str, str], int] = {}
        self._rejected: dict[tuple[str, str, bytes], int] = {}
        self._answered: dict[str, int] = {}
        self._fetches: dict[tuple[str, bytes], int] = {}

    def add(
        self, table: str, key: bytes, routes: Iterable[Route], now_ms: int, since_ms: int, only: str | None = None
    ) -> None:
        """Have an item shipped on these routes (only to one target, if one is named)."""
        for source, target in routes:
            if only not in (None, target) or (table, target, key) in self._in_flight:
                continue
            queue = self.queue(table, source, target)
            if self._links.open(source, target):
                queue.add(key, now_ms + self._lag_ms(source, target), since_ms)
            else:
                queue.leave_in_store()

    def queue(self, table: str, source: str, target: str) -> ShippingQueue:
        """The queue of a route."""
        return self._queues.setdefault(target, {}).setdefault((table, source), ShippingQueue())

    def recount(self, table: str) -> None:
        """Have all of a table's backlog read from the store again."""
        for routes in self._queues.values():
            for (name, _), queue in routes.items():
                if name == table:
                    queue.clear()
        self._ledger.recount(table, lambda source, target: self.queue(table, source, target).leave_in_store())

    def drop_table(self, table: str) -> None:
        """Nothing of a table is to be shipped any more, nor under way."""
        for routes in self._queues.values():
            for route in [route for route in routes if route[0] == table]:
                del routes[route]
        self._in_flight = {entry: kept for entry, kept in self._in_flight.items() if entry[0] != table}
        self._held_back = {entry: kept for entry, kept in self._held_back.items() if entry[0] != table}
        self._one_by_one = {entry: kept for entry, kept in self._one_by_one.items() if entry[0] != table}
        self._rejected = {entry: kept for entry, kept in self._rejected.items() if entry[0] != table}
        self._fetches = {entry: kept for entry, kept in self._fetches.items() if entry[0] != table}
        self._fenced = {entry for entry in self._fenced if entry[0] != table}

    def forget_in_flight(self, target: str) -> None:
        """What is under way to a target will not be answered for."""
        for entry in [entry for entry in self._in_flight if entry[1] == target]:
            del self._in_flight[entry]
        self._answered.pop(target, None)

    # To ship

    def next_batch(self, target: str, now_ms: int, read_to: Callable[[str], Checkpoint], epoch: int) -> Batch | None:
        """The next applies for a region, or None if nothing is due that may go there."""
        if self._rejected:
            self._retry_rejected(target, now_ms)
        routes = self._queues.get(target)
        if routes is None:
            return None
        for route in list(routes):
            table, source = route
            if routes[route].is_empty:
                continue
            if self._held_back.get((table, target), (0, 0))[0] > now_ms or not self._links.open(source, target):
                continue
            applies = self._take(table, source, target, routes[route], now_ms)
            if applies:
                routes[route] = routes.pop(route)  # the others first next time
                read = read_to(table)
                applied = max(read.position, self._answered.get(target, NO_POSITION))
                return Batch(table, source, target, tuple(applies), read.sequence, applied, epoch)
        return None

    def _take(self, table: str, source: str, target: str, queue: ShippingQueue, now_ms: int) -> list[Apply]:
        if queue.more_in_store and not queue.waiting:
            self._sweep(table, source, target, queue, now_ms)
        limit = 1 if self._one_by_one.get((table, target), 0) > 0 else BATCH_ITEMS
        applies: list[Apply] = []
        size = 0
        while len(applies) < limit and (head := queue.head()) is not None and head[1].due_ms <= now_ms:
            key, waiting = head
            known = self._ledger.load(table, key)
            if known is not None and size and size + len(known.item.image or b"") > BATCH_BYTES:
                break
            queue.pop(key)
            if known is None or known.item.holds(target) or (table, target, key) in self._in_flight:
                continue
            item = known.item
            if (source, target) not in known.routes:
                self.add(table, key, known.routes, now_ms, waiting.since_ms, only=target)
            elif item.has_image:
                applies.append(Apply(key, item.winner, item.digest, item.image, waiting.since_ms))
                size += len(item.image or b"")
                self._in_flight[table, target, key] = item.winner
            elif len(self._fetches) < FETCH_LIMIT:
                self._fetches.setdefault((table, key), now_ms)
            else:
                queue.leave_in_store()
                self._held_back[table, target] = (now_ms + BACKOFF_MS_MIN, BACKOFF_MS_MIN)
                break
        return applies

    def _sweep(self, table: str, source: str, target: str, queue: ShippingQueue, now_ms: int) -> None:
        """Fill a queue that has run empty from the store."""
        for _ in range(SWEEP_PAGES):
            rows = self._ledger.pending(table, queue.sweep_after, SWEEP_PAGE)
            if not rows:
                queue.more_in_store = False
                return
            for _, key, known in rows:
                if (source, target) in known.routes:
                    queue.add(key, now_ms, known.item.winner.time_ms)
            queue.sweep_after = rows[-1][0]
            if queue.waiting:
                return

    def next_due_ms(self, target: str) -> int | None:
        """When the next apply to a region may be due; None while nothing waits for it that may go there."""
        dues = [due_ms for (_, region, _), due_ms in self._rejected.items() if region == target]
        for (table, source), queue in self._queues.get(target, {}).items():
            if not queue.is_empty and self._links.open(source, target):
                head = queue.head()
                due_ms = 0 if head is None else head[1].due_ms
                dues.append(max(due_ms, self._held_back.get((table, target), (0, 0))[0]))
        return min(dues, default=None)

    # What became of it

    def on_outcome(self, batch: Batch, outcome: Outcome, now_ms: int) -> None:
        """A batch is no longer under way; a target that failed is held back, what was not applied waits again."""
        table, target = batch.table, batch.target
        self._hold_back(table, target, outcome, len(batch.applies), now_ms)
        if outcome.position > self._answered.get(target, NO_POSITION):
            self._answered[target] = outcome.position
        for apply in batch.applies:
            self._in_flight.pop((table, target, apply.key), None)
            if outcome.result == "applied":
                continue
            if outcome.result == "rejected" and len(batch.applies) == 1:
                self._rejected[table, target, apply.key] = now_ms + REJECTED_RETRY_MS
                continue
            known = self._ledger.load(table, apply.key)
            if known is not None:
                self.add(table, apply.key, known.routes, now_ms, apply.since_ms, only=target)

    def _hold_back(self, table: str, target: str, outcome: Outcome, count: int, now_ms: int) -> None:
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
        elif self._one_by_one.get((table, target), 0) > 0:
            self._one_by_one[table, target] -= 1

    def on_stream_read(self, table: str, target: str) -> None:
        """What was fenced may be tried again at once."""
        if (table, target) in self._fenced:
            self._fenced.discard((table, target))
            self._held_back.pop((table, target), None)

    def _retry_rejected(self, target: str, now_ms: int) -> None:
        due = [entry for entry, due_ms in self._rejected.items() if entry[1] == target and due_ms <= now_ms]
        for table, _, key in due:
            del self._rejected[table, target, key]
            known = self._known(table, key)
            if known is not None:
                self.add(table, key, known.routes, now_ms, 0, only=target)

    # Images that are not kept

    @property
    def fetching(self) -> bool:
        """Whether an item has to be read from a region."""
        return bool(self._fetches)

    def next_fetch(self, now_ms: int, epochs: Mapping[str, int]) -> Fetch | None:
        """An item to be read from a region that holds its winner; it is asked for again until it is `fetched`."""
        for (table, key), due_ms in list(self._fetches.items()):
            if due_ms > now_ms:
                continue
            known = self._known(table, key)
            holder = None
            if known is not None and not known.item.has_image and known.routes:
                holder = known.item.source(self._ledger.groups[table].replicas)
            if holder is None:
                del self._fetches[table, key]
            elif self._links.faults.region_condition(holder) == "up":
                self._fetches[table, key] = now_ms + BACKOFF_MS_MAX
                return Fetch(table, key, holder, epochs.get(holder, 0))
        return None

    def fetched(self, fetch: Fetch) -> None:
        """An item's image is there."""
        self._fetches.pop((fetch.table, fetch.key), None)

    def _known(self, table: str, key: bytes) -> Known | None:
        return self._ledger.load(table, key) if table in self._ledger.groups else None
