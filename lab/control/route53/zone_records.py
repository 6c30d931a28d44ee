"""A zone's record sets in Route 53's order, while a batch of changes is tried on them; found without a look at all.

What a batch may do is `change_batch`'s business.
"""

from __future__ import annotations

from bisect import bisect_left

from lab.control.route53 import names
from lab.core.zone import HostedZone, RecordSet
from lab.core.zone_change import RecordSplice

Key = tuple[str, str, str | None]


def key_of(record: RecordSet) -> Key:
    """What tells a record set from all others of its zone."""
    return record.name, record.type, record.set_identifier


def sort_key(record: RecordSet) -> tuple[tuple[str, ...], str, str]:
    """Route 53's order of record sets."""
    return _order(key_of(record))


def _order(key: Key) -> tuple[tuple[str, ...], str, str]:
    return names.order(key[0]), key[1], key[2] or ""


class ZoneRecords:
    """The record sets of a zone, which are in order, with changes that are not yet made."""

    def __init__(self, zone: HostedZone) -> None:
        self._zone_id, self._records = zone.zone_id, zone.record_sets
        self._changed: dict[str, dict[Key, RecordSet | None]] = {}
        self._count = len(zone.record_sets)

    def __len__(self) -> int:
        return self._count

    def get(self, key: Key) -> RecordSet | None:
        """The record set with a key."""
        changed = self._changed.get(key[0], {})
        return changed[key] if key in changed else self._standing(key)

    def at(self, name: str) -> list[RecordSet]:
        """All record sets of a name."""
        changed = self._changed.get(name, {})
        found = [record for record in changed.values() if record is not None]
        order = names.order(name)
        number = bisect_left(self._records, order, key=lambda record: names.order(record.name))
        while number < len(self._records) and self._records[number].name == name:
            if key_of(self._records[number]) not in changed:
                found.append(self._records[number])
            number += 1
        return sorted(found, key=sort_key)

    def put(self, record: RecordSet) -> None:
        """Create a record set, or put it in the place of the one with its key."""
        key = key_of(record)
        self._count += self.get(key) is None
        self._changed.setdefault(record.name, {})[key] = record

    def remove(self, key: Key) -> None:
        """Remove a record set that is there."""
        self._count -= 1
        self._changed.setdefault(key[0], {})[key] = None

    def splices(self) -> tuple[RecordSplice, ...]:
        """What makes the changed record sets of those that stand."""
        found: list[RecordSplice] = []
        growth = 0
        changes = [(key, record) for changed in self._changed.values() for key, record in changed.items()]
        for key, record in sorted(changes, key=lambda change: _order(change[0])):
            start = bisect_left(self._records, _order(key), key=sort_key)
            removed = int(self._standing(key) is not None)
            made = () if record is None else (record,)
            if not removed and not made:
                continue
            found.append(
                RecordSplice(
                    self._zone_id, start + growth, removed, made, len(self._records) + growth + len(made) - removed
                )
            )
            growth += len(made) - removed
        return tuple(found)

    def _standing(self, key: Key) -> RecordSet | None:
        number = bisect_left(self._records, _order(key), key=sort_key)
        if number < len(self._records) and key_of(self._records[number]) == key:
            return self._records[number]
        return None
