"""Counting losses while more is lost: no account is closed with what was read before another loss."""

import asyncio
from pathlib import Path

from lab.core.faults import FaultSet
from lab.core.item import Record
from lab.core.replication import Replication
from lab.core.replication_store import Checkpoint
from lab.core.replication_work import Acknowledged, Outcome
from lab.core.table import GlobalTable, KeyAttribute, Replica, Tables
from lab.live.http_client import UnixAddress
from lab.live.replicator.engine import Engine
from lab.live.replicator.journals import Journals
from lab.live.replicator.losses import Losses
from lab.live.replicator.store import SqliteStore

EAST, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
TABLE, KEY = "things", b'["a"]'


def tables(created_ms: int, regions: tuple[str, ...] = (EAST, WEST)) -> Tables:
    """One global table with replicas in these regions."""
    replicas = tuple(Replica(region, "ACTIVE", created_ms, None) for region in regions)
    return Tables((GlobalTable(TABLE, (KeyAttribute("id", "S"),), replicas),))


class JournalsWhileAnEngineDies(Journals):
    """The west's front has acknowledged one write; its engine dies with it while the journal is read the first time."""

    def __init__(self, core: Replication) -> None:
        super().__init__({}, lambda table: (KeyAttribute("id", "S"),), print)
        self.core, self.reads = core, 0

    async def acknowledged(self, region: str, boot_ms: int) -> list[Acknowledged]:
        if region == EAST:
            return []
        self.reads += 1
        if self.reads == 1:
            self.core.on_reset(WEST, 600)
        return [Acknowledged(TABLE, KEY, 500, WEST, 5, of_this_run=self.reads == 1)]


def started(store: SqliteStore) -> Replication:
    core = Replication(store)
    core.on_faults(FaultSet())
    core.on_tables(tables(created_ms=10))
    return core


def scan_all(core: Replication) -> None:
    """Answer every scan with an empty page, and every stream with its end."""
    while core.is_busy():
        fill = core.next_fill()
        if fill is not None:
            core.on_fill_page(fill, [], None, 0, 700)
        for region in (EAST, WEST):
            core.on_stream_read(TABLE, region)
            core.on_caught_up(TABLE, region, 700)


def lose_everything(core: Replication) -> None:
    """Nobody has everything then: what is lost is counted when both are filled again, as they are in the end."""
    for region in (EAST, WEST):
        core.on_reset(region, 400)
    scan_all(core)


def assert_the_next_one_counts(folder: Path, written_ms: int) -> None:
    """A replicator that is started now counts a write of the west, once."""
    store = SqliteStore(folder / "replicator.sqlite")
    core = started(store)
    scan_all(core)
    assert core.unaccounted()
    core.on_acknowledged([Acknowledged(TABLE, KEY, written_ms, WEST, 5, of_this_run=False)], 800)
    assert [lost.key for _, lost in store.happenings.lost(0, 10)] == [KEY]
    store.close()
    assert not started(SqliteStore(folder / "replicator.sqlite")).unaccounted()


def test_a_write_that_is_lost_while_earlier_losses_are_counted_is_counted_too(tmp_path: Path) -> None:
    async def test() -> None:
        store = SqliteStore(tmp_path / "replicator.sqlite")
        core = started(store)
        engines = {region: Engine(region, UnixAddress(str(tmp_path / region))) for region in (EAST, WEST)}
        journals = JournalsWhileAnEngineDies(core)
        losses = Losses(core, store, engines, journals, lambda task: None, print)
        lose_everything(core)
        for region in (EAST, WEST):
            core.on_records(TABLE, region, [], Checkpoint(f"{450:020d}{4:010d}", exact=True), 450)
        assert core.unaccounted()
        losses.account_soon()
        while losses.busy:  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0)
        scan_all(core)
        losses.account_soon()
        while losses.busy:  # noqa: ASYNC110
            await asyncio.sleep(0)
        ((_, lost),) = store.happenings.lost(0, 10)
        assert (lost.key, lost.version.region, lost.reason) == (KEY, WEST, "not_captured")
        assert not core.unaccounted()
        store.close()

    asyncio.run(test())


def test_a_loss_that_is_not_counted_yet_is_counted_by_a_replicator_that_is_started_after_another_loss(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "replicator.sqlite")
    core = started(store)
    lose_everything(core)
    core.on_reset(WEST, 600)
    store.close()
    assert_the_next_one_counts(tmp_path, written_ms=500)


def test_a_gap_that_is_closed_before_a_loss_is_counted_leaves_the_loss_to_be_counted_by_the_next_replicator(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "replicator.sqlite")
    core = started(store)
    lose_everything(core)
    core.on_gap(TABLE, WEST, 450, f"{450:020d}{0:010d}")
    scan_all(core)
    store.close()
    assert_the_next_one_counts(tmp_path, written_ms=300)


def test_a_loss_of_which_nothing_is_known_yet_is_still_to_be_counted(tmp_path: Path) -> None:
    """Also of what was written before the table was replicated: nobody is known to have been filled with it."""
    store = SqliteStore(tmp_path / "replicator.sqlite")
    core = started(store)
    lose_everything(core)
    core.on_acknowledged([], 800, unknown=[WEST])
    assert core.unaccounted()
    core.on_acknowledged([Acknowledged(TABLE, KEY, 5, WEST, 5, of_this_run=False)], 900)
    assert [lost.key for _, lost in store.happenings.lost(0, 10)] == [KEY]
    assert not core.unaccounted()
    store.close()


def test_what_a_newer_write_outlived_is_not_lost_though_that_was_not_read_yet(tmp_path: Path) -> None:
    for captured in (False, True):
        for newer_ms, expected in ((550, []), (450, [KEY])):
            store = SqliteStore(tmp_path / f"{captured} {newer_ms}.sqlite")
            core = started(store)
            if captured:
                write = Record(KEY, 500, 5, b"{}", 7, None, 0)
                core.on_records(TABLE, WEST, [write], Checkpoint(f"{500:020d}{5:010d}", exact=True), 500)
            acknowledged = [
                Acknowledged(TABLE, KEY, 500, WEST, 5, of_this_run=False),
                Acknowledged(TABLE, KEY, newer_ms, EAST, 9, of_this_run=True),
            ]
            core.on_reset(WEST, 600, acknowledged)
            assert [lost.key for _, lost in store.happenings.lost(0, 10)] == expected
            store.close()


def test_what_is_left_after_a_loss_of_everything_is_told_when_all_streams_were_read_beyond_their_scans(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "replicator.sqlite")
    core = Replication(store)
    core.on_faults(FaultSet())
    core.on_tables(tables(10, (EAST, WEST, EU)))
    core.on_records(
        TABLE, EAST, [Record(KEY, 400, 1, b"{}", 7, None, 0)], Checkpoint(f"{400:020d}{1:010d}", exact=True), 400
    )
    for target in (WEST, EU):
        batch = core.next_batch(target, 400)
        assert batch is not None
        core.on_batch_done(batch, Outcome("applied", 1), 400)
    for region in (WEST, EU, EAST):
        core.on_reset(region, 500)
    for region in (EU, WEST):  # in the order of their names
        fill = core.next_fill()
        assert fill is not None and fill.target == region
        core.on_fill_page(fill, [], None, 0, 600)
        if region == EU:
            core.on_caught_up(TABLE, EU, 600)
    core.on_caught_up(TABLE, EU, 600)
    assert store.happenings.lost(0, 10) == []
    news = Record(KEY, 601, 1, b"[]", 8, None, 0)
    core.on_records(TABLE, WEST, [news], Checkpoint(f"{601:020d}{1:010d}", exact=True), 602)
    for region in (WEST, WEST, EU):
        core.on_caught_up(TABLE, region, 602)
    assert core.is_ready(TABLE, WEST) and core.is_ready(TABLE, EU)
    assert store.happenings.lost(0, 10) == []
    store.close()


def test_a_table_that_goes_while_it_is_compared_leaves_nothing_to_the_next_one_of_its_name(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "replicator.sqlite")
    core = started(store)
    core.on_gap(TABLE, EAST, 400, f"{400:020d}{0:010d}")
    fill = core.next_fill()
    assert fill is not None
    core.on_fill_page(fill, [], None, 0, 500)
    core.on_tables(Tables(()))
    core.on_tables(tables(created_ms=1000))
    write = Record(KEY, 2000, 1, b"{}", 7, None, 0)
    core.on_records(TABLE, EAST, [write], Checkpoint(f"{2000:020d}{1:010d}", exact=True), 2000)
    batch = core.next_batch(WEST, 2000)
    assert batch is not None
    core.on_batch_done(batch, Outcome("applied", 1), 2000)
    for _ in range(3):
        core.on_caught_up(TABLE, EAST, 2100)
    assert store.happenings.lost(0, 10) == []
    assert store.load(TABLE, KEY) is not None, "an item that every replica holds was forgotten"
    store.close()
