"""The replicator's database: one file of SQLite, its tables, and how it is opened.

A write-ahead log without waiting for the disk: a killed process loses nothing that was committed, a machine that loses
its power would, but then the engines have lost their memory as well.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

SCHEMA_VERSION = 4
CACHE_KIB = 8 * 1024
CHECKPOINT_PAGES = 6_000
"""Of the log before it goes into the file: keys come in no order, and more changes of one page go there at once."""
SCHEMA = """
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE items (
  table_id INTEGER NOT NULL, key BLOB NOT NULL, time_ms INTEGER NOT NULL, region_id INTEGER NOT NULL,
  counter INTEGER NOT NULL, digest INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (table_id, key)) WITHOUT ROWID;
CREATE INDEX tombstones ON items (time_ms) WHERE digest = 0;
CREATE TABLE outbox (
  table_id INTEGER NOT NULL, place INTEGER NOT NULL, key BLOB NOT NULL, time_ms INTEGER NOT NULL,
  region_id INTEGER NOT NULL, counter INTEGER NOT NULL, digest INTEGER NOT NULL, held BLOB NOT NULL, image BLOB,
  PRIMARY KEY (table_id, place)) WITHOUT ROWID;
CREATE TABLE checkpoints (
  table_id INTEGER NOT NULL, region_id INTEGER NOT NULL, sequence TEXT NOT NULL, exact INTEGER NOT NULL,
  PRIMARY KEY (table_id, region_id)) WITHOUT ROWID;
CREATE TABLE replicas (
  table_id INTEGER NOT NULL, region_id INTEGER NOT NULL, created_ms INTEGER NOT NULL, filled INTEGER NOT NULL,
  scanned_to BLOB, compare TEXT NOT NULL, bound_ms INTEGER NOT NULL, unaccounted INTEGER NOT NULL,
  PRIMARY KEY (table_id, region_id)) WITHOUT ROWID;
CREATE TABLE seen (table_id INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (table_id, key)) WITHOUT ROWID;
CREATE TABLE unknown_losses (region TEXT PRIMARY KEY, reason TEXT NOT NULL, since_ms INTEGER NOT NULL);
CREATE TABLE boots (region_id INTEGER PRIMARY KEY, boot TEXT NOT NULL);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE conflicts (
  n INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, key BLOB NOT NULL,
  winner_ms INTEGER, winner_region TEXT, winner_counter INTEGER,
  loser_ms INTEGER, loser_region TEXT, loser_counter INTEGER, detected_ms INTEGER, acknowledged INTEGER,
  UNIQUE (table_name, key, winner_ms, winner_region, winner_counter, loser_ms, loser_region, loser_counter));
CREATE TABLE lost (
  n INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, key BLOB NOT NULL,
  time_ms INTEGER, region TEXT, counter INTEGER, reason TEXT, detected_ms INTEGER,
  UNIQUE (table_name, key, time_ms, region, counter));
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file, or make it; one of another version is replaced. Transactions are begun and ended by hand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, cached_statements=64)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version not in (0, SCHEMA_VERSION):
        db.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        db = sqlite3.connect(path, isolation_level=None, cached_statements=64)
        version = 0
    for pragma in (
        "journal_mode = WAL",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        "synchronous = OFF",
        f"cache_size = -{CACHE_KIB}",
        "temp_store = MEMORY",
    ):
        db.execute(f"PRAGMA {pragma}")
    if version == 0:
        db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    return db
