"""The replicator's memory in SQLite: clocks, what waits to be shipped with its images, checkpoints, replicas.

One connection, one process. Items are told to the database many at once, at the latest with the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from lab.core.conflict import Conflict, LostWrite, Version
from lab.core.item import Held, Item
from lab.core.replication_store import Checkpoint, ReplicaState
from lab.live.replicator.database import open_database
from lab.live.replicator.happenings import Happenings

EXPECT_AT_ONCE = 250
LATE_AT_MOST = 2_000
PLACES_AT_MOST = 8_000
_IN_OUTBOX = "o.table_id = i.table_id AND o.place = i.place AND o.key = i.key"
_LOAD = (
    "SELECT i.key, i.time_ms, i.region_id, i.counter, i.digest, o.held, o.image, o.place FROM items i"
    f" LEFT JOIN outbox o ON {_IN_OUTBOX}"
)


class _Late(NamedTuple):
    """A saved item that the database has not been told of yet."""

    item: Item
    pending: bool
    news: bool
    place: int


class SqliteStore:
    """A `ReplicationStore` in the file at `path`. A file of another version is replaced."""

    def __init__(self, path: Path) -> None:
        self._db = open_database(path)
        self._names: dict[str, int] = {}
        self._codes: dict[int, str] = {}
        for number, name in self._db.execute("SELECT id, name FROM names"):
            self._names[name], self._codes[number] = number, name
        self._open = False
        self._late: dict[tuple[int, bytes], _Late] = {}
        self._expected: dict[tuple[int, bytes], tuple[Any, ...] | None] = {}
        self._places: dict[tuple[int, bytes], int] = {}
        self._left: list[tuple[int, int]] = []
        (self._last_place,) = self._db.execute("SELECT COALESCE(MAX(place), 0) FROM outbox").fetchone()
        self.happenings = Happenings(self._db, self._begin)
        self._checkpoints: dict[tuple[str, str], Checkpoint] = {
            (self._codes[table], self._codes[region]): Checkpoint(sequence, bool(exact))
            for table, region, sequence, exact in self._db.execute(
                "SELECT table_id, region_id, sequence, exact FROM checkpoints"
            )
        }
        self._replicas = {
            (self._codes[table], self._codes[region]): ReplicaState(
                created_ms, bool(filled), to, compare, bound_ms, bool(unaccounted)
            )
            for table, region, created_ms, filled, to, compare, bound_ms, unaccounted in self._db.execute(
                "SELECT * FROM replicas"
            )
        }

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self._db.close()

    # ReplicationStore

    def load(self, table: str, key: bytes) -> tuple[Item, bool] | None:
        entry = (self._id(table), key)
        late = self._late.get(entry)
        if late is not None:
            item = late.item if late.pending else Item(late.item.winner, late.item.digest, None, {})
            return item, late.pending
        row = self._expected[entry] if entry in self._expected else self._read(entry)
        self._remember_place(entry, row)
        if row is None:
            return None
        _, time_ms, region, counter, digest, held, image, _ = row
        winner = Version(time_ms, self._codes[region], counter)
        return Item(winner, digest, image, {} if held is None else _decode_held(held)), held is not None

    def _read(self, entry: tuple[int, bytes]) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._db.execute(f"{_LOAD} WHERE i.table_id = ? AND i.key = ?", entry).fetchone()
        return row

    def _remember_place(self, entry: tuple[int, bytes], row: tuple[Any, ...] | None) -> int:
        """Where an item waits in the outbox, from its row; 0 if it does not."""
        if len(self._places) >= PLACES_AT_MOST:
            self._places.clear()
        place = self._places[entry] = 0 if row is None or row[7] is None else row[7]
        return place

    def expect(self, table: str, keys: Sequence[bytes]) -> None:
        table_id = self._id(table)
        wanted = [key for key in keys if (table_id, key) not in self._late and (table_id, key) not in self._expected]
        for start in range(0, len(wanted), EXPECT_AT_ONCE):
            chunk = wanted[start : start + EXPECT_AT_ONCE]
            self._expected.update(dict.fromkeys((table_id, key) for key in chunk))
            marks = ",".join("?" * len(chunk))
            rows = self._db.execute(f"{_LOAD} WHERE i.table_id = ? AND i.key IN ({marks})", (table_id, *chunk))
            self._expected.update({(table_id, row[0]): row for row in rows})

    def save(self, table: str, key: bytes, item: Item, *, pending: bool, news: bool) -> None:
        self._begin()
        entry = (self._id(table), key)
        before = self._late.get(entry)
        if before is not None:
            place, news = before.place, news or before.news
        else:
            known = self._places.get(entry)
            place = self._remember_place(entry, self._read(entry)) if known is None else known
        if pending and not place:
            place = self._last_place = self._last_place + 1
            news = True
        elif place and not pending:
            self._left.append((entry[0], place))
            place = 0
        self._late[entry] = _Late(item, pending, news, place)
        if len(self._late) > LATE_AT_MOST:
            self._flush()

    def _flush(self) -> None:
        """Have the transaction take what was saved: many rows at once cost a third of one after the other."""
        self._expected.clear()
        if not self._late:
            return
        late, self._late = self._late, {}
        self._db.executemany(
            "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (*entry, w.time_ms, self._id(w.region), w.counter, kept.item.digest, kept.place)
                for entry, kept in late.items()
                if kept.news
                for w in (kept.item.winner,)
            ],
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (table_id, kept.place, key, w.time_ms, self._id(w.region), w.counter, item.digest, held, item.image)
                for (table_id, key), kept in late.items()
                if kept.pending
                for item in (kept.item,)
                for w, held in ((item.winner, _encode_held(item)),)
            ],
        )
        left, self._left = self._left, []
        self._db.executemany("DELETE FROM outbox WHERE table_id = ? AND place = ?", left)
        if len(self._places) >= PLACES_AT_MOST:
            self._places.clear()
        self._places.update({entry: kept.place for entry, kept in late.items()})

    def forget(self, table: str, key: bytes) -> None:
        self._begin()
        self._flush()
        entry = (self._id(table), key)
        place = self._remember_place(entry, self._read(entry))
        self._db.execute("DELETE FROM outbox WHERE table_id = ? AND place = ?", (entry[0], place))
        self._db.execute("DELETE FROM items WHERE table_id = ? AND key = ?", entry)
        self._places.pop(entry)

    def pending(self, table: str, after: int, limit: int) -> list[tuple[int, bytes, Item]]:
        self._flush()
        table_id = self._id(table)
        rows = self._db.execute(
            "SELECT place, key, time_ms, region_id, counter, digest, held, image FROM outbox"
            " WHERE table_id = ? AND place > ? ORDER BY place LIMIT ?",
            (table_id, after, limit),
        ).fetchall()
        if len(self._places) >= PLACES_AT_MOST:
            self._places.clear()
        self._places.update({(table_id, row[1]): row[0] for row in rows})
        return [
            (place, key, Item(Version(time_ms, self._codes[region], counter), digest, image, _decode_held(held)))
            for place, key, time_ms, region, counter, digest, held, image in rows
        ]

    def mark_seen(self, table: str, key: bytes) -> None:
        self._begin()
        self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (self._id(table), key))

    def unseen(self, table: str, after: bytes, limit: int) -> list[bytes]:
        self._flush()
        rows = self._db.execute(
            "SELECT key FROM items i WHERE table_id = ? AND key > ?"
            f" AND (digest <> 0 OR EXISTS (SELECT 1 FROM outbox o WHERE {_IN_OUTBOX})) AND NOT EXISTS"
            " (SELECT 1 FROM seen s WHERE s.table_id = i.table_id AND s.key = i.key) ORDER BY key LIMIT ?",
            (self._id(table), after, limit),
        )
        return [key for (key,) in rows]

    def clear_seen(self, table: str) -> None:
        self._begin()
        self._db.execute("DELETE FROM seen WHERE table_id = ?", (self._id(table),))

    def checkpoint(self, table: str, region: str) -> Checkpoint | None:
        return self._checkpoints.get((table, region))

    def set_checkpoint(self, table: str, region: str, checkpoint: Checkpoint | None) -> None:
        self._begin()
        where = (self._id(table), self._id(region))
        if checkpoint is None:
            self._checkpoints.pop((table, region), None)
            self._db.execute("DELETE FROM checkpoints WHERE table_id = ? AND region_id = ?", where)
        elif self._checkpoints.get((table, region)) != checkpoint:
            self._checkpoints[table, region] = checkpoint
            self._db.execute(
                "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)",
                (*where, checkpoint.sequence, checkpoint.exact),
            )

    def replicas(self) -> Mapping[tuple[str, str], ReplicaState]:
        return self._replicas

    def set_replica(self, table: str, region: str, state: ReplicaState | None) -> None:
        self._begin()
        where = (self._id(table), self._id(region))
        if state is None:
            self._replicas.pop((table, region), None)
            self._db.execute("DELETE FROM replicas WHERE table_id = ? AND region_id = ?", where)
        else:
            self._replicas[table, region] = state
            scan = (state.filled, state.scanned_to, state.compare, state.bound_ms)
            self._db.execute(
                "INSERT OR REPLACE INTO replicas VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*where, state.created_ms, *scan, state.unaccounted),
            )

    def drop_table(self, table: str) -> None:
        self._begin()
        self._flush()
        self._places.clear()
        for name in ("items", "outbox", "checkpoints", "replicas", "seen"):
            self._db.execute(f"DELETE FROM {name} WHERE table_id = ?", (self._id(table),))
        for known in (self._checkpoints, self._replicas):
            for entry in [entry for entry in known if entry[0] == table]:
                del known[entry]

    def add_conflict(self, conflict: Conflict) -> None:
        self.happenings.add_conflict(conflict)

    def add_lost(self, lost: LostWrite) -> None:
        self.happenings.add_lost(lost)

    def remove_lost(self, table: str, key: bytes, version: Version) -> None:
        self.happenings.remove_lost(table, key, version)

    def commit(self) -> None:
        if self._open:
            self._flush()
            self._open = False
            self._db.execute("COMMIT")

    # What the shell keeps

    def boot(self, region: str) -> str | None:
        """The run of a region's engine that was seen last."""
        row = self._db.execute("SELECT boot FROM boots WHERE region_id = ?", (self._id(region),)).fetchone()
        return None if row is None else str(row[0])

    def set_boot(self, region: str, boot: str) -> None:
        """Remember the run of a region's engine, with the next commit."""
        self._begin()
        self._db.execute("INSERT OR REPLACE INTO boots VALUES (?, ?)", (self._id(region), boot))

    def collect_tombstones(self, before_ms: int) -> int:
        """Drop settled tombstones older than this, with the next commit; how many."""
        self._begin()
        self._flush()
        self._db.execute("INSERT OR REPLACE INTO settings VALUES ('tombstones_since_ms', ?)", (str(before_ms),))
        return self._db.execute(
            f"DELETE FROM items AS i WHERE digest = 0 AND time_ms < ? AND NOT EXISTS (SELECT 1 FROM outbox o"
            f" WHERE {_IN_OUTBOX})",
            (before_ms,),
        ).rowcount

    def tombstones_since_ms(self) -> int:
        """Deletes older than this may have been forgotten."""
        row = self._db.execute("SELECT value FROM settings WHERE name = 'tombstones_since_ms'").fetchone()
        return 0 if row is None else int(row[0])

    def _begin(self) -> None:
        if not self._open:
            self._open = True
            self._db.execute("BEGIN")

    def _id(self, name: str) -> int:
        number = self._names.get(name)
        if number is None:
            self._begin()
            number = self._db.execute("INSERT INTO names (name) VALUES (?)", (name,)).lastrowid
            assert number is not None
            self._names[name], self._codes[number] = number, name
        return number


def _encode_held(item: Item) -> bytes:
    return orjson.dumps({region: [*held.version, held.digest, held.position] for region, held in item.held.items()})


def _decode_held(data: bytes) -> dict[str, Held]:
    found: dict[str, list[Any]] = orjson.loads(data)
    return {region: Held(Version(*values[:3]), *values[3:]) for region, values in found.items()}
