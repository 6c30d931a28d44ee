"""Route 53's records on disk: a file with all of them, and beside it the changes of record sets since it was written.

A change of one record in ten thousand costs one line. A crash leaves the records before or after a change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from lab.control.record_file import RecordFile
from lab.control.route53.records import CHANGES_KEPT, Change, Route53Records
from lab.core import codec
from lab.core.zone import Zones
from lab.core.zone_change import ZonesChange, changed_zones
from lab.errors import LabFault
from lab.live.append import append_whole

JOURNAL_BYTES_MAX = 4_000_000
"""A longer journal gives way to the file with everything."""


@dataclass(frozen=True)
class _Line:
    """One change; it is in the file with everything already if that has this number or a later one."""

    number: int
    submitted: Change
    change: ZonesChange


class Route53File:
    """The records. `value` is what stands; what is told of a change is on disk."""

    def __init__(self, path: Path) -> None:
        """Read the files. Raises LabFault for one that does not fit."""
        self._file = RecordFile(path, Route53Records)
        self._journal_path = path.with_suffix(".changes")
        self._read_journal()

    @property
    def value(self) -> Route53Records:
        return self._file.value

    def replace(self, value: Route53Records) -> None:
        """Make `value` the current records."""
        self._file.replace(value)
        self._journal_path.unlink(missing_ok=True)

    def note(self, value: Route53Records) -> None:
        """Make `value` the current records without writing them: what changed matters to this run only."""
        self._file.value = value

    def change(self, change: ZonesChange, submitted: Change) -> None:
        """Change record sets. Raises ChangeDoesNotFit, and OSError with nothing changed."""
        line = _Line(self.value.journaled + 1, submitted, change)
        after = _after(self.value, line)
        long = append_whole(self._journal_path, orjson.dumps(line) + b"\n") > JOURNAL_BYTES_MAX
        self._file.value = after
        if long:
            self.replace(after)

    def _read_journal(self) -> None:
        try:
            *lines, rest = self._journal_path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        try:
            for text in lines:
                line = codec.decode(_Line, orjson.loads(text))
                if line.number > self.value.journaled:
                    self._file.value = _after(self.value, line)
        except ValueError as error:
            raise LabFault(
                f"{self._journal_path}: not changes of control's records: {error}; move the file away to start without"
            ) from error
        if rest:  # a crash cut it off, and nobody was told of it
            self.replace(self.value)


def _after(value: Route53Records, line: _Line) -> Route53Records:
    zones = changed_zones(Zones(value.zones), line.change).zones
    changes = (*value.changes, line.submitted)[-CHANGES_KEPT:]
    return replace(value, zones=zones, changes=changes, journaled=line.number)
