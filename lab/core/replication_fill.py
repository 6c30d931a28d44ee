"""Scans: a new or emptied replica is filled from another one; a replica of which something was missed is compared.

A *fill* reads a replica that has everything and ships to the one that lacks it. A *comparison* reads the replica in
question itself. After a gap in its stream, what it holds that nobody knows of was written in the gap, and what it does
not hold any more was deleted in it. In a salvage, after the loss of all replicas that had everything, what none of
the others is found to hold is lost. A comparison closes only when the stream has been read beyond what was scanned;
items that something happened to meanwhile are marked as seen, and left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lab.core import item as items
from lab.core.conflict import LostWrite
from lab.core.item import NO_POSITION, Record
from lab.core.replication_ledger import Group, Known, Ledger
from lab.core.replication_shipping import Links, Shipping
from lab.core.replication_store import Comparison, ReplicaState, all_pending
from lab.core.replication_work import Fill, Scanned

FILL_WATERMARK = 2_000
PASSES_TO_CLOSE = 2
"""A pass of the stream may have been under way when the last page was read; the one after it was not."""
UNSEEN_PAGE = 500


@dataclass(slots=True)
class _Scan:
    """The scan of a replica that is under way or was the last. `number` tells it from earlier ones.

    `through` is the position up to which records of the region's stream are missing. `fresh` are keys that something
    happened to since the last page: the next may be older than that. `closing` counts the passes of the stream that
    are still to come when the last page has been read at `position`; 0 before.
    """

    number: int = 0
    through: int = NO_POSITION
    fresh: set[bytes] = field(default_factory=set)
    closing: int = 0
    position: int = NO_POSITION


class Filling:
    """The scans of all tables, one page at a time."""

    def __init__(self, ledger: Ledger, links: Links, shipping: Shipping) -> None:
        self._ledger, self._links, self._shipping = ledger, links, shipping
        self._store = ledger.store
        self._cleared: set[str] = set()
        self._current: dict[str, str] = {}
        self._scans: dict[tuple[str, str], _Scan] = {}

    def state(self, table: str, region: str) -> ReplicaState:
        """A replica as the store has it."""
        return self._store.replicas()[table, region]

    def drop_replica(self, table: str, region: str) -> None:
        """A replica is gone; there may be a new one of that name."""
        self._current.pop(table, None)
        self._cleared.discard(table)
        self._begin_scan(table, region)

    def _scan(self, table: str, region: str) -> _Scan:
        scan = self._scans.get((table, region))
        if scan is None:
            scan = self._scans[table, region] = _Scan()
        return scan

    def _begin_scan(self, table: str, region: str, through: int = NO_POSITION) -> None:
        """A replica is to be scanned from the start: what is still under way of an earlier scan counts no more."""
        self._scans[table, region] = _Scan(self._scan(table, region).number + 1, through)

    # What is to be read

    def next_page(self, epochs: Mapping[str, int]) -> Fill | None:
        """A page to be read, if there is one, its reader keeps up and the way is free."""
        for name, group in self._ledger.groups.items():
            if group.comparing:
                page = self._next_compared(name, group, epochs)
                if page is not None:
                    return page
            for target in group.replicas:
                if target in group.filled or target in group.comparing or self._behind(name, target):
                    continue
                for source in sorted(group.filled):
                    if self._links.open(source, target):
                        after = self.state(name, target).scanned_to
                        scan = self._scan(name, target).number
                        return Fill(name, source, target, after, (epochs.get(source, 0), epochs.get(target, 0)), scan)
        return None

    def _behind(self, table: str, target: str) -> bool:
        return self._ledger.backlog(table, target=target) > FILL_WATERMARK

    def _next_compared(self, table: str, group: Group, epochs: Mapping[str, int]) -> Fill | None:
        active = self._active(table, group)
        for region in active:
            scan = self._scan(table, region)
            if scan.closing or self._links.faults.region_condition(region) != "up" or self._behind(table, region):
                continue
            if table not in self._cleared:
                self._cleared.add(table)
                if all(self.state(table, r).scanned_to is None for r in active):
                    self._store.clear_seen(table)
            epoch = epochs.get(region, 0)
            return Fill(table, region, region, self.state(table, region).scanned_to, (epoch, epoch), scan.number)
        return None

    def _active(self, table: str, group: Group) -> list[str]:
        """Marks are for one comparison at a time: all that are salvaged together, or one with a gap."""
        states = {region: self.state(table, region) for region in sorted(group.comparing)}
        salvaged = [region for region, state in states.items() if state.compare == "salvage"]
        if salvaged or not states:
            return salvaged
        if self._current.get(table) not in states:
            begun = [region for region, state in states.items() if state.scanned_to is not None]
            self._current[table] = (begun or list(states))[0]
            self._cleared.discard(table)
        return [self._current[table]]

    # What was read

    def on_page(self, fill: Fill, page: Sequence[Scanned], next_key: bytes | None, position: int, now_ms: int) -> None:
        """Take a page of a scan, read at `position`; `next_key` None says that it was the last."""
        group = self._ledger.groups[fill.table]
        state = self.state(fill.table, fill.target)
        compared = fill.source == fill.target
        if compared != (fill.target in group.comparing) or state.scanned_to != fill.after:
            return  # something has happened since it was asked for
        scan = self._scan(fill.table, fill.target)
        if fill.scan != scan.number:
            return
        fresh, scan.fresh = scan.fresh, set()
        self._ledger.expect(fill.table, (row.key for row in page))
        for row in page:
            known = self._ledger.load(fill.table, row.key)
            if state.compare:
                self._store.mark_seen(fill.table, row.key)
            if state.compare and state.bound_ms:
                self._compare_row(fill, row, known, position, state, now_ms, is_fresh=row.key in fresh)
            else:
                before = None if known is None else known.item
                item = items.after_scan(before, fill.source, row.image, row.digest, position)
                self._keep(fill.table, row.key, item, known, now_ms)
        group.scanned[fill.target] = group.scanned.get(fill.target, 0) + len(page)
        if next_key is not None:
            self._store.set_replica(fill.table, fill.target, replace(state, scanned_to=next_key))
        elif state.compare:
            scan.closing, scan.position = PASSES_TO_CLOSE, position
        else:
            self.set_filled(fill.table, fill.target)
            group.draining[fill.target] = self._ledger.backlog(fill.table, target=fill.target)

    def _compare_row(
        self,
        fill: Fill,
        row: Scanned,
        known: Known | None,
        position: int,
        state: ReplicaState,
        now_ms: int,
        *,
        is_fresh: bool,
    ) -> None:
        held = None if known is None else known.item.held.get(fill.target)
        if held is not None and (held.position > position != NO_POSITION or held.digest == row.digest):
            return
        if known is not None and row.digest == known.item.digest:
            item = items.after_scan(known.item, fill.target, row.image, row.digest, position)
            self._keep(fill.table, row.key, item, known, now_ms)
            return
        if is_fresh:
            return
        self._write_in_gap(fill.table, fill.target, row.key, row.image, row.digest, known, position, state, now_ms)

    def _write_in_gap(
        self,
        table: str,
        region: str,
        key: bytes,
        image: bytes | None,
        digest: int,
        known: Known | None,
        position: int,
        state: ReplicaState,
        now_ms: int,
    ) -> None:
        """A local write that nobody saw, as if its record were read now."""
        before = None if known is None else known.item
        record = Record(key, state.bound_ms, position, image, digest, None, 0 if before is None else before.digest)
        item, _ = items.after_write(before, region, record)
        self._keep(table, key, item, known, now_ms)

    def before_apply(self, table: str, region: str, record: Record, now_ms: int) -> None:
        """A record of an apply may show what a local write in a gap had left there, whose own record is gone."""
        state, known = self.state(table, region), self._ledger.load(table, record.key)
        held = None if known is None else known.item.held.get(region)
        unknown = record.old_digest != (0 if held is None else held.digest)
        if state.compare and state.bound_ms and unknown and (known is None or record.old_digest != known.item.digest):
            position = record.position - 1
            image, digest = record.old_image, record.old_digest
            self._write_in_gap(table, region, record.key, image, digest, known, position, state, now_ms)

    def _keep(self, table: str, key: bytes, item: items.Item, known: Known | None, now_ms: int) -> None:
        routes = self._ledger.settle(table, key, item, known)
        self._shipping.add(table, key, routes, now_ms, 0)

    def set_filled(self, table: str, region: str) -> None:
        """A replica has everything."""
        group = self._ledger.groups[table]
        group.filled.add(region)
        group.comparing.discard(region)
        state = self.state(table, region)
        self._store.set_replica(table, region, replace(state, filled=True, scanned_to=None, compare="", bound_ms=0))

    # Comparing

    def compare(self, table: str, region: str, why: Comparison, bound_ms: int = 0, through: int = NO_POSITION) -> None:
        """Begin to compare a replica with what is known of it; after a gap, which was up to the position `through`."""
        group = self._ledger.groups[table]
        state = self.state(table, region)
        group.comparing.add(region)
        group.scanned[region] = 0
        self._begin_scan(table, region, max(through, self._scan(table, region).through))
        if state.compare == "salvage":
            why = "salvage"
        if why == "salvage":
            group.filled.discard(region)
            self._salvage_anew(table, group)
        elif self._current.get(table) == region:  # what an earlier comparison has seen may be gone by now
            self._cleared.discard(table)
        bound_ms = bound_ms or state.bound_ms  # a salvage does not close the gap
        filled = state.filled and why == "gap"
        self._store.set_replica(
            table, region, replace(state, filled=filled, scanned_to=None, compare=why, bound_ms=bound_ms)
        )

    def _salvage_anew(self, table: str, group: Group) -> None:
        """All that are salvaged share their marks: if one begins again, so do the others."""
        self._cleared.discard(table)
        for region in group.comparing:
            state = self.state(table, region)
            if state.compare == "salvage":
                self._begin_scan(table, region, self._scan(table, region).through)
                self._store.set_replica(table, region, replace(state, scanned_to=None))

    def on_news(self, table: str, region: str, key: bytes, position: int) -> None:
        """Something happened to an item of a region: if that is being compared now, the scan need not find it.

        An apply that is answered late may be from before the gap's end: then more may have happened to the item in it.
        """
        scan = self._scan(table, region)
        if NO_POSITION < position <= scan.through:
            return
        if region in self._active(table, self._ledger.groups[table]):
            self._store.mark_seen(table, key)
            scan.fresh.add(key)

    def forget(self, table: str, region: str) -> None:
        """A replica is emptied: what was compared of it counts no more."""
        self._ledger.groups[table].comparing.discard(region)
        self._begin_scan(table, region)

    def on_caught_up(self, table: str, region: str, now_ms: int) -> bool:
        """A stream was read to its end; whether that closed a comparison."""
        scan = self._scan(table, region)
        if not scan.closing or table not in self._ledger.groups:
            return False
        if scan.closing > 1:
            scan.closing -= 1
            return False
        group = self._ledger.groups[table]
        state = self.state(table, region)
        if state.compare == "gap":
            for key in self._unseen(table):
                known = self._ledger.load(table, key)
                if known is None or _is_gone(known, region):
                    continue
                if known.item.is_tombstone:  # the winner's content is there already
                    item = items.after_apply(known.item, region, known.item.winner, 0, scan.position)
                    self._keep(table, key, item, known, now_ms)
                else:
                    self._write_in_gap(table, region, key, None, 0, known, scan.position, state, now_ms)
            scan.closing = 0
            self._give_up(table, group, now_ms)
            self._close_gap(table, region, group, state)
        elif all(self._scan(table, other).closing == 1 for other in self._active(table, group)):
            self._close_salvage(table, group, now_ms)
        else:
            return False  # the others are still being scanned
        self._cleared.discard(table)
        return True

    def _close_gap(self, table: str, region: str, group: Group, state: ReplicaState) -> None:
        """A replica that was being filled when the gap was met goes on to be, from the start."""
        if state.filled:
            self.set_filled(table, region)
            return
        group.comparing.discard(region)
        group.scanned[region] = 0
        self._begin_scan(table, region, self._scan(table, region).through)
        self._store.set_replica(table, region, replace(state, scanned_to=None, compare="", bound_ms=0))

    def _close_salvage(self, table: str, group: Group, now_ms: int) -> None:
        for key in self._unseen(table):
            known = self._ledger.load(table, key)
            if known is not None and not known.routes:
                if known.item.winner.time_ms > 0:
                    self._store.add_lost(LostWrite(table, key, known.item.winner, "captured_not_shipped", now_ms))
                self._store.forget(table, key)
        self._give_up(table, group, now_ms)
        self._ledger.drop_cached(table)
        salvaged = [(region, self.state(table, region).bound_ms) for region in self._active(table, group)]
        for region, _ in salvaged:
            self._scan(table, region).closing = 0
            self.set_filled(table, region)
        for region, bound_ms in salvaged:
            if bound_ms:  # it had a gap as well: what was deleted in it shows when the replica is compared alone
                self.compare(table, region, "gap", bound_ms)

    def _give_up(self, table: str, group: Group, now_ms: int) -> None:
        """Winners that nobody has any more are lost; what wins instead is the newest that is still somewhere."""
        for key, item in all_pending(self._store, table):
            known = None if item.has_image else self._ledger.load(table, key)
            if known is None or known.item.has_image or known.item.source(group.replicas) is not None:
                continue
            if known.item.winner.time_ms > 0:
                self._store.add_lost(LostWrite(table, key, known.item.winner, "captured_not_shipped", now_ms))
            left = items.newest_held(known.item.held)
            if left is None:
                self._ledger.forget(table, key, known)
            else:
                self._keep(table, key, left, known, now_ms)

    def _unseen(self, table: str) -> Iterator[bytes]:
        after = b""
        while keys := self._store.unseen(table, after, UNSEEN_PAGE):
            yield from keys
            after = keys[-1]


def _is_gone(known: Known, region: str) -> bool:
    """Whether a region is known not to have had the item before the gap."""
    held = known.item.held.get(region)
    return held is None or held.digest == 0
