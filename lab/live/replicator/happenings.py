"""What the replicator tells people: conflicts, lost writes, and regions of which it is not known what they lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from lab.core.conflict import Conflict, LostWrite, Version


class Happenings:
    """Kept in the replicator's database. `begin` begins a transaction, unless there is one; another commits it."""

    def __init__(self, db: sqlite3.Connection, begin: Callable[[], None]) -> None:
        self._db, self._begin = db, begin
        self._unknown_losses: dict[str, tuple[str, int]] = {
            region: (reason, since_ms)
            for region, reason, since_ms in db.execute("SELECT region, reason, since_ms FROM unknown_losses")
        }

    def add_conflict(self, conflict: Conflict) -> None:
        """Note a conflict, once."""
        self._begin()
        self._db.execute(
            "INSERT OR IGNORE INTO conflicts (table_name, key, winner_ms, winner_region, winner_counter,"
            " loser_ms, loser_region, loser_counter, detected_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (conflict.table, conflict.key, *conflict.winner, *conflict.loser, conflict.detected_ms),
        )

    def add_lost(self, lost: LostWrite) -> None:
        """Note a lost write, once."""
        self._begin()
        self._db.execute(
            "INSERT OR IGNORE INTO lost (table_name, key, time_ms, region, counter, reason, detected_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (lost.table, lost.key, *lost.version, lost.reason, lost.detected_ms),
        )

    def remove_lost(self, table: str, key: bytes, version: Version) -> None:
        """A write is not lost after all."""
        self._begin()
        self._db.execute(
            "DELETE FROM lost WHERE table_name = ? AND key = ? AND time_ms = ? AND region = ? AND counter = ?",
            (table, key, *version),
        )

    def conflicts(self, after: int, limit: int, *, unknown: bool = False) -> list[tuple[int, Conflict, bool | None]]:
        """Conflicts beyond number `after`, and whether the loser had been acknowledged (None: not known).

        Only those of which it is not known, if `unknown`.
        """
        which = " AND acknowledged IS NULL" if unknown else ""
        rows = self._db.execute(f"SELECT * FROM conflicts WHERE n > ?{which} ORDER BY n LIMIT ?", (after, limit))
        return [
            (
                n,
                Conflict(table, key, Version(*winner), Version(*loser), detected_ms),
                None if acknowledged is None else bool(acknowledged),
            )
            for n, table, key, *rest in rows
            for winner, loser, (detected_ms, acknowledged) in [(rest[:3], rest[3:6], rest[6:])]
        ]

    def set_acknowledged(self, n: int, acknowledged: bool) -> None:
        """Note whether the loser of a conflict had been acknowledged."""
        self._begin()
        self._db.execute("UPDATE conflicts SET acknowledged = ? WHERE n = ?", (acknowledged, n))

    def lost(self, after: int, limit: int) -> list[tuple[int, LostWrite]]:
        """Lost writes beyond number `after`."""
        rows = self._db.execute("SELECT * FROM lost WHERE n > ? ORDER BY n LIMIT ?", (after, limit))
        return [
            (n, LostWrite(table, key, Version(time_ms, region, counter), reason, detected_ms))
            for n, table, key, time_ms, region, counter, reason, detected_ms in rows
        ]

    def unknown_losses(self) -> Mapping[str, tuple[str, int]]:
        """Regions of which it is not known what was lost: why, and since when."""
        return self._unknown_losses

    def set_unknown_losses(self, region: str, reason: str | None, now_ms: int) -> None:
        """Note why a region's losses are not known, with the next commit; `reason` None: they are known again."""
        if reason is None and region not in self._unknown_losses:
            return
        self._begin()
        self._db.execute("DELETE FROM unknown_losses WHERE region = ?", (region,))
        _, since_ms = self._unknown_losses.pop(region, ("", now_ms))
        if reason is not None:
            self._unknown_losses[region] = (reason, since_ms)
            self._db.execute("INSERT INTO unknown_losses VALUES (?, ?, ?)", (region, reason, since_ms))

    def counts(self) -> dict[str, int]:
        """How many conflicts and lost writes there were."""
        names = ("conflicts", "lost")
        return {name: self._db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in names}
