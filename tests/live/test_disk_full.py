"""What parts keep on disk when the disk is full: nothing is half written, and nothing stops for good.

Files may not grow (RLIMIT_FSIZE) where a full disk is meant: the kernel then takes a part of a write, or none.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from replicator_lab import DEADLINE_S, ReplicatorLab

from lab.control.history_log import HistoryLog
from lab.control.route53.records import Change, Route53Records
from lab.control.route53.records_file import Route53File
from lab.core.history import Event
from lab.core.zone import HostedZone, RecordSet, Zones
from lab.core.zone_change import RecordSplice, ZonesChange
from lab.live.documents import DocumentStore
from lab.live.journal import Journal
from lab.live.part_log import guard_log


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file of this process grows beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_journal_has_no_half_entries_and_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(1, "users", [{"pk": {"S": "a"}}])
    size = path.stat().st_size
    for room in (0, 10):
        with files_end_at(size + room), pytest.raises(OSError, match="too large"):
            journal.append(2, "users", [{"pk": {"S": "lost"}}])
        assert path.stat().st_size == size
    assert journal.append(3, "users", [{"pk": {"S": "b"}}]) == 2
    assert [(entry["n"], entry["keys"]) for entry in journal.read(0)] == [
        (1, [{"pk": {"S": "a"}}]),
        (2, [{"pk": {"S": "b"}}]),
    ]
    journal.close()
    assert Journal(path).last == 2


def test_a_change_of_the_zones_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path)
    store.put("zones", orjson.dumps(Zones((HostedZone("Z1", "a.test.", (record("one"),)),))))
    store.patch("zones", added("two", 2))
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with files_end_at(len(kept["zones.changes"]) + 10), pytest.raises(OSError, match="too large"):
        store.patch("zones", added("three", 3))
    with files_end_at(10), pytest.raises(OSError, match="too large"):
        store.put("zones", orjson.dumps(Zones()))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert names(store) == ["one", "two"]
    store.patch("zones", added("four", 3))
    assert names(DocumentStore(tmp_path)) == ["one", "two", "four"]


def record(name: str) -> RecordSet:
    return RecordSet(f"{name}.a.test.", "A", 60, ("192.0.2.1",))


def added(name: str, count: int) -> bytes:
    return orjson.dumps(splice(name, count))


def splice(name: str, count: int) -> ZonesChange:
    return ZonesChange((RecordSplice("Z1", count - 1, 0, (record(name),), count),))


def names(store: DocumentStore) -> list[str]:
    return [r.name.partition(".")[0] for zone in store.get(Zones).zones for r in zone.record_sets]


def test_a_change_of_route_53s_records_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """Half of one would keep control from starting again."""
    records = Route53File(tmp_path / "route53.json")
    records.replace(Route53Records(zones=(HostedZone("Z1", "a.test.", (record("one"),)),)))
    records.change(splice("two", 2), Change("C1", 1))
    size = (tmp_path / "route53.changes").stat().st_size
    with files_end_at(size + 10), pytest.raises(OSError, match="too large"):
        records.change(splice("three", 3), Change("C2", 2))
    records.change(splice("four", 3), Change("C3", 3))
    for found in (records, Route53File(tmp_path / "route53.json")):
        assert [r.name for r in found.value.zones[0].record_sets] == ["one.a.test.", "two.a.test.", "four.a.test."]


def test_readers_have_an_event_that_the_file_has_no_room_for(tmp_path: Path) -> None:
    told: list[str] = []
    history = HistoryLog(tmp_path / "history.jsonl", told.append)
    with files_end_at(0):
        number = history.append(Event(1, "fault", "us-east-1"))
    assert [entry["n"] for entry in history.after(0)] == [number]
    assert len(told) == 1 and "is not kept" in told[0]
    history.close()


def test_what_a_part_says_is_dropped_while_it_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    stderr = sys.stderr
    try:
        guard_log(descriptor)
        assert isinstance(sys.stderr, io.TextIOWrapper)
        print("before", file=sys.stderr, flush=True)
        with files_end_at(path.stat().st_size):
            print("in vain", file=sys.stderr, flush=True)
        print("after", file=sys.stderr, flush=True)
    finally:
        sys.stderr = stderr
        os.close(descriptor)
    assert path.read_text() == "before\nafter\n"


def test_a_replicator_that_can_keep_nothing_ends_and_the_next_one_goes_on_where_it_was() -> None:
    """One that lived on would have in memory what its file has not, or read no more and say that all is shipped."""

    async def main() -> None:
        async with ReplicatorLab("us-east-1", "eu-west-1") as lab:
            await lab.create_global("users")
            await lab.put("us-east-1", "users", "before", "1")
            await lab.agree("users")
            process = lab.processes["replicator"]
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
            await lab.put("us-east-1", "users", "while full", "2")
            await asyncio.to_thread(process.wait, DEADLINE_S)
            await lab.restart("replicator")
            assert sorted(await lab.agree("users")) == ["before", "while full"]

    asyncio.run(main())
