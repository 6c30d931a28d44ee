"""Items as they are remembered: found in a bounded cache or the store, kept there, and what they lack counted.

A settled item is one that every replica holds; of it the store keeps the clock alone. A pending one is kept with its
image and with what each region holds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lab.core.item import Held, Item
from lab.core.replication_store import ReplicationStore, all_pending

CACHE_ITEMS = 4_000
CACHE_BYTES = 16 * 1024 * 1024

Route = tuple[str, str]
"""Source and target."""


@dataclass(slots=True)
class Group:
    """A global table's replicas. What a settled item says, it says of the `filled` ones.

    `comparing` are those that are scanned and compared with what is known. `scanned` counts what a running scan has
    found for a region, `draining` what is still to be applied of it.
    """

    replicas: tuple[str, ...]
    filled: set[str]
    comparing: set[str]
    scanned: dict[str, int] = field(default_factory=dict)
    draining: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Pair:
    """What was shipped between two regions. `backlog` counts items that the target lacks and this source ships."""

    backlog: int = 0
    shipped: int = 0


@dataclass(slots=True)
class Known:
    """An item, and the routes on which it is to be shipped; none if it is settled."""

    item: Item
    routes: tuple[Route, ...]


class Ledger:
    """The items of all tables. `groups` is its owner's to fill; `recount` after a change of a group's replicas."""

    def __init__(self, store: ReplicationStore) -> None:
        self.store = store
        self.groups: dict[str, Group] = {}
        self.pairs: dict[tuple[str, str, str], Pair] = {}
        self._cache: OrderedDict[tuple[str, bytes], Known] = OrderedDict()
        self._cache_bytes = 0

    def load(self, table: str, key: bytes) -> Known | None:
        """An item of a known table, or None if nothing was ever seen of it."""
        cached = self._cache.get((table, key))
        if cached is not None:
            self._cache.move_to_end((table, key))
            return cached
        loaded = self.store.load(table, key)
        if loaded is None:
            return None
        item, pending = loaded
        if not pending:
            held = {region: Held(item.winner, item.digest) for region in sorted(self.groups[table].filled)}
            item = Item(item.winner, item.digest, None, held)
        return self._cached(table, key, item, self.routes_of(table, item) if pending else ())

    def expect(self, table: str, keys: Iterable[bytes]) -> None:
        """These items are about to be loaded."""
        wanted = [key for key in keys if (table, key) not in self._cache]
        if len(wanted) > 1:
            self.store.expect(table, wanted)

    def settle(self, table: str, key: bytes, item: Item, known: Known | None) -> tuple[Route, ...]:
        """Keep an item as it is after something happened to `known`; the routes on which it is to be shipped."""
        routes = self.routes_of(table, item)
        before = () if known is None else known.routes
        if not routes:
            item = Item(item.winner, item.digest, None, item.held)
        if routes or before or known is None or known.item.winner != item.winner:
            news = known is None or known.item.winner != item.winner
            self.store.save(table, key, item, pending=bool(routes), news=news)
        if routes != before:
            for source, target in before:
                self.pair(table, source, target).backlog -= 1
            for source, target in routes:
                self.pair(table, source, target).backlog += 1
        self._cached(table, key, item, routes)
        return routes

    def forget(self, table: str, key: bytes, known: Known) -> None:
        """An item of which nothing is left anywhere."""
        for source, target in known.routes:
            self.pair(table, source, target).backlog -= 1
        evicted = self._cache.pop((table, key), None)
        if evicted is not None:
            self._cache_bytes -= len(evicted.item.image or b"")
        self.store.forget(table, key)

    def pending(self, table: str, after: int, limit: int) -> list[tuple[int, bytes, Known]]:
        """Pending items from the store with their places, beyond the place `after`, in their order; they are cached."""
        rows = self.store.pending(table, after, limit)
        return [(place, key, self._cached(table, key, item, self.routes_of(table, item))) for place, key, item in rows]

    def confirm(self, table: str, key: bytes, item: Item) -> None:
        """Note what is known better of a settled item that stays settled; the store need not know."""
        self._cached(table, key, item, ())

    def routes_of(self, table: str, item: Item) -> tuple[Route, ...]:
        """(source, target) for each replica that lacks the item."""
        replicas = self.groups[table].replicas
        lacking = item.lacking(replicas)
        if not lacking:
            return ()
        source = item.source(replicas)
        if source is None:
            source = item.winner.region if item.winner.region in replicas else replicas[0]
        return tuple((source, target) for target in lacking)

    def pair(self, table: str, source: str, target: str) -> Pair:
        """The counts of a route."""
        found = self.pairs.get((table, source, target))
        if found is None:
            found = self.pairs[table, source, target] = Pair()
        return found

    def backlog(self, table: str | None = None, source: str | None = None, target: str | None = None) -> int:
        """How many items wait to be shipped, in all or for a table, a source, a target."""
        return sum(
            pair.backlog
            for (name, origin, end), pair in self.pairs.items()
            if table in (None, name) and source in (None, origin) and target in (None, end)
        )

    def recount(self, table: str, on_route: Callable[[str, str], None]) -> None:
        """Count a table's backlog anew from the store; `on_route` is told of each route that something waits for."""
        replicas = self.groups[table].replicas
        self.drop_cached(table)
        for (name, _, _), pair in self.pairs.items():
            if name == table:
                pair.backlog = 0
        for key, item in all_pending(self.store, table):
            held = {region: content for region, content in item.held.items() if region in replicas}
            kept = item if len(held) == len(item.held) else Item(item.winner, item.digest, item.image, held)
            routes = self.routes_of(table, kept)
            if kept is not item or not routes:
                self.store.save(table, key, kept, pending=bool(routes), news=False)
            for source, target in routes:
                self.pair(table, source, target).backlog += 1
                on_route(source, target)

    def drop_table(self, table: str) -> None:
        """Forget a table that is gone, and what was to be shipped of it."""
        self.groups.pop(table, None)
        self.drop_cached(table)
        for entry in [entry for entry in self.pairs if entry[0] == table]:
            del self.pairs[entry]

    def drop_cached(self, table: str) -> None:
        """Forget what is cached of a table."""
        for entry in [entry for entry in self._cache if entry[0] == table]:
            self._cache_bytes -= len(self._cache.pop(entry).item.image or b"")

    def _cached(self, table: str, key: bytes, item: Item, routes: tuple[Route, ...]) -> Known:
        known = Known(item, routes)
        before = self._cache.pop((table, key), None)
        self._cache[table, key] = known
        self._cache_bytes += len(item.image or b"") - (0 if before is None else len(before.item.image or b""))
        while len(self._cache) > CACHE_ITEMS or (self._cache_bytes > CACHE_BYTES and len(self._cache) > 1):
            _, evicted = self._cache.popitem(last=False)
            self._cache_bytes -= len(evicted.item.image or b"")
        return known
