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

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from lab.core import item as items
from lab.core.conflict import OLDEST, Conflict, LostWrite, Version
from lab.core.faults import FaultSet
from lab.core.item import NO_POSITION, Item, Record
from lab.core.replication_accounts import Accounts
from lab.core.replication_fill import Filling
from lab.core.replication_ledger import Group, Ledger, Pair
from lab.core.replication_shipping import Links, Shipping
from lab.core.replication_store import Checkpoint, ReplicaState, ReplicationStore, all_pending
from lab.core.replication_work import Acknowledged, Batch, Fetch, Fill, Outcome, Scanned
from lab.core.table import Tables
from lab.core.topology import ClockSkew

ScanReason = Literal["fill", "gap", "salvage"]
LagSample = Callable[[str, str, str, int], None]
"""Called with (table, source, target, milliseconds) for each item that became readable at a target."""


class Replication:
    """The machine. Give it its store, then `on_faults` and `on_tables` before anything else."""

    def __init__(
        self,
        store: ReplicationStore,
        *,
        lag_ms: Callable[[str, str], int] = lambda source, target: 0,
        on_lag: LagSample = lambda table, source, target, ms: None,
        clock_skews: Iterable[ClockSkew] = (),
    ) -> None:
        self._store, self._on_lag = store, on_lag
        self._clocks = {skew.region: skew.skew_ms for skew in clock_skews}
        self._links = Links()
        self._ledger = Ledger(store)
        self._shipping = Shipping(self._ledger, self._links, lag_ms)
        self._filling = Filling(self._ledger, self._links, self._shipping)
        self._epochs: dict[str, int] = {}
        self._accounts = Accounts(self._ledger, self._skew_ms)

    # What changes around it

    def on_faults(self, faults: FaultSet) -> None:
        """Take the faults in force; what they hold back waits, what they let go is due at once.

        A region that comes up again may have lost its data meanwhile: nothing is shipped from it before its stream was
        read.
        """
        was = self._links.faults
        self._links.set_faults(faults)
        for fault in was.faults:
            if fault.region is not None and was.region_condition(fault.region) != "up":
                self.on_doubt(fault.region)

    def on_doubt(self, region: str) -> None:
        """Whether a region's engine is the one it was is not known, as after a start of the replicator's own."""
        self._links.doubtful.add(region)

    def on_tables(self, tables: Tables) -> None:
        """Take the global tables: new replicas are to be filled, replicas that are gone are forgotten."""
        known = dict(self._store.replicas())
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
                self._filling.drop_replica(name, region)
        self._accounts.tables_created = {entry: replica.table_created_ms for entry, replica in wanted.items()}
        going_on = {
            entry[0]
            for entry, state in known.items()
            if entry in wanted and wanted[entry].created_ms == state.created_ms
        }
        for name in sorted({name for name, _ in known} - going_on):  # there may be a new one of that name
            self._store.drop_table(name)
            self._ledger.drop_table(name)
            self._shipping.drop_table(name)
        for (name, region), replica in wanted.items():
            state_now = known.get((name, region))
            if state_now is None or state_now.created_ms != replica.created_ms:
                self._add_replica(name, region, replica.created_ms, replica.seeded_from)
        states = self._store.replicas()
        for name in sorted({name for name, _ in states}):
            replicas = tuple(sorted(region for table, region in states if table == name))
            group = self._ledger.groups.get(name)
            filled = {region for region in replicas if states[name, region].filled}
            if group is None or group.replicas != replicas or group.filled != filled:
                comparing = {region for region in replicas if states[name, region].compare}
                self._accounts.open.update(region for region in replicas if states[name, region].unaccounted)
                self._ledger.groups[name] = Group(replicas, filled, comparing)
                self._shipping.recount(name)
        self._store.commit()

    def _add_replica(self, name: str, region: str, created_ms: int, seeded_from: str | None) -> None:
        self._store.set_replica(name, region, ReplicaState(created_ms, filled=seeded_from is None))
        # What a first replica's stream holds already is in its table too, and is read by the scan that fills others.
        start = Checkpoint(f"{created_ms - 1:020d}{9_999_999_999:010d}") if seeded_from is None else Checkpoint()
        self._store.set_checkpoint(name, region, start)

    def on_reset(self, region: str, now_ms: int, acknowledged: Sequence[Acknowledged] = ()) -> None:
        """A region's engine came back empty: what only it had is lost, and it is filled from the others.

        Of all writes that were `acknowledged`, here or elsewhere, those are lost that no write survived that is not
        older; what is still to be read from another stream has survived.
        """
        self._epochs[region] = self._epochs.get(region, 0) + 1
        self._shipping.forget_in_flight(region)
        others = [write for write in acknowledged if write.region != region]  # its own stream is another one now
        unread = self._accounts.unread(others)
        for name, group in self._ledger.groups.items():
            if region in group.replicas:
                self._reset_replica(name, group, region, unread, now_ms)
        if region not in self._accounts.open:
            self._accounts.count(acknowledged, now_ms)
        self._store.commit()

    @property
    def resets(self) -> int:
        """How often an engine came back empty since the start: what was read before that is out of date after it."""
        return sum(self._epochs.values())

    def on_met(self, region: str, acknowledged: Sequence[Acknowledged], now_ms: int) -> None:
        """A region's engine is met for the first time: what earlier runs of it had `acknowledged` is lost."""
        self._accounts.count([w for w in acknowledged if w.region == region and not w.of_this_run], now_ms)
        self._store.commit()

    def _reset_replica(
        self, name: str, group: Group, region: str, unread: Mapping[tuple[str, bytes], Version], now_ms: int
    ) -> None:
        group.filled.discard(region)
        group.scanned[region] = group.draining[region] = 0
        self._filling.forget(name, region)
        others = [other for other in group.replicas if other != region]
        # What was not counted yet after an earlier loss stays to be counted, over a restart too.
        unaccounted = region in self._accounts.open
        if not group.filled and others:
            # Nobody is known to have all of it: what is lost is known when it is known what the others have.
            unaccounted = True
            self._accounts.open.add(region)
            for other in others:
                self._filling.compare(name, other, "salvage")
        created_ms = self._filling.state(name, region).created_ms
        state = ReplicaState(created_ms, filled=not others, unaccounted=unaccounted)
        self._store.set_replica(name, region, state)
        if state.filled:
            group.filled.add(region)
        self._store.set_checkpoint(name, region, Checkpoint())
        for key, item in all_pending(self._store, name):
            left, lost = items.after_loss(item, region)
            if lost and item.winner.time_ms > 0 and unread.get((name, key), OLDEST) < item.winner:
                self._store.add_lost(LostWrite(name, key, item.winner, "captured_not_shipped", now_ms))
            if left is None:
                self._store.forget(name, key)
            else:
                self._store.save(name, key, left, pending=bool(left.lacking(group.replicas)), news=lost)
        self._shipping.recount(name)

    # What is read

    def checkpoint(self, table: str, region: str) -> Checkpoint:
        """How far a stream has been read."""
        return self._store.checkpoint(table, region) or Checkpoint()

    def on_records(
        self, table: str, region: str, records: Sequence[Record], checkpoint: Checkpoint, now_ms: int
    ) -> None:
        """Take what was read of a region's stream; on return it is remembered, and may be shipped."""
        group = self._ledger.groups.get(table)
        if group is None or region not in group.replicas:
            return
        self._ledger.expect(table, (record.key for record in records))
        for record in records:
            if group.comparing and record.mark is not None:
                self._filling.before_apply(table, region, record, now_ms)
            self._on_record(table, region, record, now_ms)
            if group.comparing:
                self._filling.on_news(table, region, record.key, record.position)
        self._store.set_checkpoint(table, region, checkpoint)
        self._store.commit()

    def _on_record(self, table: str, region: str, record: Record, now_ms: int) -> None:
        known = self._ledger.load(table, record.key)
        before = None if known is None else known.item
        if record.mark is not None:
            after, since_ms = items.after_mark(before, region, record), 0
            self._found(table, record.key, before, after)
        else:
            skew_ms, since_ms = self._skew_ms(region, record.time_ms), record.time_ms
            after, against = items.after_write(before, region, record, skew_ms)
            if against is not None:
                version = Version(record.time_ms + skew_ms, region, record.position)
                winner, loser = max(version, against), min(version, against)
                self._store.add_conflict(Conflict(table, record.key, winner, loser, now_ms))
        if after is None or after is before:
            return
        if known is not None and not known.routes and _only_confirms(known.item, after):
            self._ledger.confirm(table, record.key, after)
            return
        routes = self._ledger.settle(table, record.key, after, known)
        self._shipping.add(table, record.key, routes, now_ms, since_ms)

    def _skew_ms(self, region: str, time_ms: int) -> int:
        """How far a region's clock was off at a time: as it is set, and by faults."""
        return self._clocks.get(region, 0) + self._links.faults.skew_ms(region, time_ms)

    def _found(self, table: str, key: bytes, before: Item | None, after: Item | None) -> None:
        """An apply has turned out to have arrived after all: what it wrote is not lost."""
        if after is not None and (before is None or after.winner != before.winner):
            self._store.remove_lost(table, key, after.winner)

    def expect(self, table: str, keys: Iterable[bytes]) -> None:
        """These items are about to be asked for."""
        self._ledger.expect(table, keys)

    def is_confirmed(self, table: str, region: str, key: bytes, version: Version, position: int) -> bool:
        """Whether a record of one of our own applies says nothing new: a region is known to have held it, or later."""
        known = self._ledger.load(table, key) if table in self._ledger.groups else None
        if known is None or known.item.winner != version:
            return False
        held = known.item.held.get(region)
        return held is not None and held.version == version and held.position >= position

    def commit(self) -> None:
        """Make the outcomes so far durable."""
        self._store.commit()

    def on_stream_read(self, table: str, region: str) -> None:
        """A stream was read, by the way: its engine is the one it was, and what was fenced may be tried again."""
        self._links.doubtful.discard(region)
        self._shipping.on_stream_read(table, region)

    # Filling and comparing replicas

    def next_fill(self) -> Fill | None:
        """A page to be read for a replica that is being filled or compared, if it keeps up and the way is free."""
        return self._filling.next_page(self._epochs)

    def on_fill_page(
        self, fill: Fill, page: Sequence[Scanned], next_key: bytes | None, position: int, now_ms: int
    ) -> None:
        """Take a page of the scan, read at `position` of the source's stream; `next_key` None: it was the last.

        The source's stream has to be read first up to the time at which the page was read: what is not known then was
        there before anybody looked.
        """
        group = self._ledger.groups.get(fill.table)
        epochs = self._epochs.get(fill.source, 0), self._epochs.get(fill.target, 0)
        if group is not None and fill.target in group.replicas and fill.epochs == epochs:
            self._filling.on_page(fill, page, next_key, position, now_ms)
            self._store.commit()

    def on_gap(self, table: str, region: str, bound_ms: int, through: str) -> None:
        """Records of a stream are missing, all from before `bound_ms`: what they did is found by comparing the table.

        What was written or deleted in the gap counts as written at its end. `through` is the sequence number up to
        which records may be missing; reading goes on beyond it.
        """
        group = self._ledger.groups.get(table)
        if group is not None and region in group.replicas:
            position = int(through[20:]) if through else NO_POSITION
            self._filling.compare(table, region, "gap", bound_ms, position)
            beyond = max(through, self.checkpoint(table, region).sequence)
            self._store.set_checkpoint(table, region, Checkpoint(beyond))
            self._store.commit()

    def on_caught_up(self, table: str, region: str, now_ms: int) -> None:
        """A stream was read to its end; a comparison that waited for that may be closed."""
        if self._filling.on_caught_up(table, region, now_ms):
            self._store.commit()

    def unaccounted(self) -> bool:
        """Whether losses could not be counted at a reset; tell `on_acknowledged` when all replicas are filled again."""
        return bool(self._accounts.open) and not self.is_busy()

    def on_acknowledged(self, acknowledged: Sequence[Acknowledged], now_ms: int, unknown: Iterable[str] = ()) -> None:
        """What had been acknowledged when regions were lost that nothing was known to have survived.

        Of the regions `unknown` it is still to be told.
        """
        self._accounts.count(acknowledged, now_ms)
        self._accounts.close(unknown)
        self._store.commit()

    def is_ready(self, table: str, region: str) -> bool:
        """Whether a replica has been filled and what the fill found is in it."""
        group = self._ledger.groups.get(table)
        return group is not None and region in group.filled and group.draining.get(region, 0) <= 0

    def scanned(self, table: str, region: str) -> int:
        """How many items the running scan for a replica has found so far."""
        group = self._ledger.groups.get(table)
        return 0 if group is None else group.scanned.get(region, 0)

    def scan(self, table: str, region: str) -> tuple[ScanReason, str] | None:
        """Why there is a scan for a replica, and which region is read; None if there is none.

        "fill" reads another replica; "gap" and "salvage" compare the replica itself with what is known of it.
        """
        group = self._ledger.groups.get(table)
        if group is None or region not in group.replicas:
            return None
        if region in group.comparing:
            return ("gap" if self._filling.state(table, region).compare == "gap" else "salvage"), region
        return None if region in group.filled or not group.filled else ("fill", min(group.filled))

    # Shipping

    def next_batch(self, target: str, now_ms: int) -> Batch | None:
        """The next applies for a region, or None if nothing is due that may go there."""
        epoch = self._epochs.get(target, 0)
        return self._shipping.next_batch(target, now_ms, lambda table: self.checkpoint(table, target), epoch)

    def next_due_ms(self, target: str) -> int | None:
        """When the next apply to a region may be due; None while nothing waits for it that may go there."""
        return self._shipping.next_due_ms(target)

    def on_batch_done(self, batch: Batch, outcome: Outcome, now_ms: int) -> None:
        """Take what became of a batch. It is made durable with the next `on_records` or `commit`."""
        group = self._ledger.groups.get(batch.table)
        if group is None or batch.epoch != self._epochs.get(batch.target, 0):
            return
        self._shipping.on_outcome(batch, outcome, now_ms)
        if outcome.result != "applied":
            return
        self._ledger.pair(batch.table, batch.source, batch.target).shipped += len(batch.applies)
        if group.draining.get(batch.target, 0) > 0:
            group.draining[batch.target] -= len(batch.applies)
        for apply in batch.applies:
            if group.comparing:
                self._filling.on_news(batch.table, batch.target, apply.key, outcome.position)
            if apply.since_ms:
                self._on_lag(batch.table, batch.source, batch.target, max(0, now_ms - apply.since_ms))
            known = self._ledger.load(batch.table, apply.key)
            if known is not None:
                after = items.after_apply(known.item, batch.target, apply.version, apply.digest, outcome.position)
                self._found(batch.table, apply.key, known.item, after)
                routes = self._ledger.settle(batch.table, apply.key, after, known)
                # That the target holds it now may change where the others get it from.
                changed = [route for route in routes if route not in known.routes or route[1] == batch.target]
                self._shipping.add(batch.table, apply.key, changed, now_ms, apply.since_ms)

    # Images that are not kept

    def next_fetch(self, now_ms: int) -> Fetch | None:
        """An item to be read from a region that holds its winner."""
        return self._shipping.next_fetch(now_ms, self._epochs)

    def on_fetched(self, fetch: Fetch, found: Scanned | None, position: int, now_ms: int) -> None:
        """Take what was read at a position; content that is not the winner's is for the stream to explain."""
        if fetch.table not in self._ledger.groups or fetch.epoch != self._epochs.get(fetch.region, 0):
            return
        known = self._ledger.load(fetch.table, fetch.key)
        if known is None or found is None or found.digest != known.item.digest:
            return
        self._shipping.fetched(fetch)
        after = items.after_scan(known.item, fetch.region, found.image, found.digest, position)
        routes = self._ledger.settle(fetch.table, fetch.key, after, known)
        self._shipping.add(fetch.table, fetch.key, routes, now_ms, 0)

    # What is left

    @property
    def pairs(self) -> dict[tuple[str, str, str], Pair]:
        """By table, source and target: what was shipped, and what waits."""
        return self._ledger.pairs

    def is_busy(self) -> bool:
        """Whether a replica is being filled or an item has to be fetched."""
        groups = self._ledger.groups.values()
        return self._shipping.fetching or any(g.comparing or len(g.filled) < len(g.replicas) for g in groups)

    def backlog(self, table: str | None = None, source: str | None = None, target: str | None = None) -> int:
        """How many items wait to be shipped, in all or for a table, a source, a target."""
        return self._ledger.backlog(table, source, target)

    def left(self, table: str | None = None) -> list[tuple[str, str, str, int]]:
        """(table, source, target, items) that are still to be shipped between regions that replicate now.

        A replica that is being filled is one item more, from wherever.
        """
        replicates = self._links.faults.replicates
        found = [
            (name, source, target, pair.backlog)
            for (name, source, target), pair in sorted(self.pairs.items())
            if table in (None, name) and pair.backlog and replicates(source, target)
        ]
        for name, group in self._ledger.groups.items():
            for target in group.replicas:
                sources = [source for source in sorted(group.filled) if replicates(source, target)]
                if target in group.comparing:
                    sources = [target] if self._links.faults.region_condition(target) == "up" else []
                if table in (None, name) and sources and (target not in group.filled or target in group.comparing):
                    found.append((name, sources[0], target, 1))
        return found


def _only_confirms(before: Item, after: Item) -> bool:
    """Whether a settled item stays as it is; what is still to be filled by a scan need not be shipped for it."""
    return after.winner == before.winner and all(held.digest == after.digest for held in after.held.values())
