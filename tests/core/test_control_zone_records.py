"""Batches of changes as splices: what they make is what the changes say, in order, on both sides of a push."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.control.route53.change_batch import RecordChange, changed
from lab.control.route53.zone_records import ZoneRecords, key_of, sort_key
from lab.core import codec
from lab.core.route53.catalog import apex_records
from lab.core.zone import HostedZone, RecordSet, Zones
from lab.core.zone_change import (
    ChangeDoesNotFit,
    RecordSplice,
    ZonesChange,
    changed_zones,
    changed_zones_json,
)

APEX = tuple(sorted(apex_records("Z1", "example.com."), key=sort_key))
LABELS = ("a", "b", "*", "a.b", "z.a", "*.b", "_s")

labels = st.sampled_from(LABELS)
records = st.builds(
    lambda label, number, identifier: RecordSet(
        f"{label}.example.com.",
        "A",
        60,
        (f"192.0.2.{number}",),
        set_identifier=identifier,
        weight=1,
    ),
    labels,
    st.integers(1, 200),
    st.sampled_from(("one", "two", "three")),
)


def zone_of(made: list[RecordSet]) -> HostedZone:
    unique = {key_of(record): record for record in made}
    return HostedZone("Z1", "example.com.", tuple(sorted((*APEX, *unique.values()), key=sort_key)))


@given(st.lists(records, max_size=12), st.lists(records, min_size=1, max_size=8), st.lists(st.booleans()))
def test_a_batch_makes_what_its_changes_say_one_after_another(
    before: list[RecordSet], upserts: list[RecordSet], deletions: list[bool]
) -> None:
    zone = zone_of(before)
    expected = {key_of(record): record for record in zone.record_sets}
    gone = [r for r, wanted in zip(zone.record_sets[2:], deletions, strict=False) if wanted and r.name != zone.name]
    batch = [RecordChange("DELETE", record) for record in gone] + [RecordChange("UPSERT", record) for record in upserts]
    for record in gone:
        del expected[key_of(record)]
    expected |= {key_of(record): record for record in upserts}
    change = ZonesChange(changed(zone, batch, ()))
    after = changed_zones(Zones((zone,)), change)
    assert after.zones[0].record_sets == tuple(sorted(expected.values(), key=sort_key))
    pushed = orjson.loads(orjson.dumps(change))
    assert codec.decode(ZonesChange, pushed) == change
    assert changed_zones_json(codec.encode(Zones((zone,))), pushed) == codec.encode(after)


@given(st.lists(records, max_size=12), labels)
def test_the_records_of_a_name_are_found_among_all(before: list[RecordSet], label: str) -> None:
    zone, name = zone_of(before), f"{label}.example.com."
    assert ZoneRecords(zone).at(name) == [record for record in zone.record_sets if record.name == name]


@pytest.mark.parametrize(
    "splice",
    [
        RecordSplice("Z2", 0, 0, (), 2),
        RecordSplice("Z1", 3, 0, (), 2),
        RecordSplice("Z1", 1, 2, (), 0),
        RecordSplice("Z1", 0, 1, (), 2),
        RecordSplice("Z1", -1, 0, (), 2),
    ],
)
def test_a_change_for_other_zones_is_refused(splice: RecordSplice) -> None:
    zones = Zones((HostedZone("Z1", "example.com.", APEX),))
    with pytest.raises(ChangeDoesNotFit):
        changed_zones(zones, ZonesChange((splice,)))
