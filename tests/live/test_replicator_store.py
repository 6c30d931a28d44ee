"""The replicator's memory in SQLite beside the simulator's in dictionaries: the same, whatever is done to both."""

import random
from pathlib import Path

import pytest

from lab.core.conflict import Version
from lab.core.item import Held, Item
from lab.core.replication_store import all_pending
from lab.live.replicator import store as sqlite_store
from lab.live.replicator.store import SqliteStore
from lab.sim.store import SimStore

TABLES = ("one", "two")
REGIONS = ("us-east-1", "us-west-2")
KEYS = tuple(f'["k{n}"]'.encode() for n in range(12))
STEPS = 600


def item(chance: random.Random, number: int) -> Item:
    winner = Version(number, chance.choice(REGIONS), number)
    digest = chance.choice((0, number))
    held = {region: Held(winner, digest, number) for region in REGIONS if chance.random() < 0.5}
    return Item(winner, digest, None if digest == 0 else b"%d" % number, held)


def look(store: SqliteStore | SimStore, table: str, key: bytes) -> object:
    found = store.load(table, key)
    return found if found is None or found[1] else (found[0].winner, found[0].digest)


def everything(store: SqliteStore | SimStore) -> object:
    return [
        (
            [look(store, table, key) for key in KEYS],
            list(all_pending(store, table, page=3)),
            store.unseen(table, b"", 99),
        )
        for table in TABLES
    ]


def step(store: SqliteStore | SimStore, chance: random.Random, number: int) -> object:
    table, key = chance.choice(TABLES), chance.choice(KEYS)
    match chance.choice(
        ("save", "save", "save", "again", "again", "settle", "forget", "look", "expect", "pending", "drop")
    ):
        case "save":
            store.save(table, key, item(chance, number), pending=chance.random() < 0.6, news=True)
        case ("again" | "settle") as what:  # of the same winner
            found = store.load(table, key)
            if found is not None:
                known = found[0]
                held = {region: Held(known.winner, known.digest, number) for region in REGIONS}
                image = b"again %d" % number
                pending = what == "again"
                store.save(table, key, Item(known.winner, known.digest, image, held), pending=pending, news=False)
        case "forget":
            store.forget(table, key)
        case "look":
            return look(store, table, key)
        case "expect":
            store.expect(table, chance.sample(KEYS, 4))
        case "pending":
            return [(key, found) for _, key, found in store.pending(table, 0, 5)]
        case "drop" if chance.random() < 0.1:
            store.drop_table(table)
    return None


@pytest.mark.parametrize("seed", range(20))
def test_what_is_remembered_is_the_same_as_in_the_simulator_over_crashes_too(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "LATE_AT_MOST", 7)
    monkeypatch.setattr(sqlite_store, "PLACES_AT_MOST", 5)
    chance = random.Random(seed)
    ours, theirs = SqliteStore(tmp_path / "r.sqlite"), SimStore()
    for number in range(1, STEPS):
        if chance.random() < 0.1:
            ours.commit()
            theirs.commit()
        elif chance.random() < 0.03:
            ours._db.close()  # what was not committed is gone
            theirs.crash()
            ours = SqliteStore(tmp_path / "r.sqlite")
        else:
            state = chance.getstate()
            mine = step(ours, chance, number)
            chance.setstate(state)
            assert step(theirs, chance, number) == mine, number
        if number % 20 == 0:
            assert everything(ours) == everything(theirs), number
    ours.close()
