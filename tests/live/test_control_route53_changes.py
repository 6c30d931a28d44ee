"""Changes of record sets on their way to the resolver: one by one, in order, and whole where one was missed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from control_process import ControlLab, lab_fixture
from waiting import eventually

from lab.core.zone import HostedZone, RecordSet, Zones
from lab.core.zone_change import RecordSplice, ZonesChange
from lab.live.documents import DocumentStore
from lab.live.http_message import Request, Response

WWW = RecordSet("www.lab.test.", "A", 60, ("192.0.2.1",))
WHOLE = Zones((HostedZone("Z1", "lab.test.", (WWW,)),))


def request(method: str, body: Any, version: int, base: int | None = None) -> Request:
    headers = [("x-lab-version", str(version))]
    if base is not None:
        headers.append(("x-lab-base-version", str(base)))
    return Request(method, "/documents/zones", headers, orjson.dumps(body), None, None)


def status(store: DocumentStore, asked: Request) -> int:
    response = store.answer(asked)
    assert isinstance(response, Response)
    return response.status


def added(number: int, count: int) -> ZonesChange:
    record = RecordSet(f"x{number}.lab.test.", "A", 60, (f"192.0.2.{number}",))
    return ZonesChange((RecordSplice("Z1", count - 1, 0, (record,), count),))


def names(store: DocumentStore) -> list[str]:
    return [record.name for zone in store.get(Zones).zones for record in zone.record_sets]


def test_a_change_is_there_after_a_restart_without_control(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path)
    assert status(store, request("PUT", WHOLE, 1)) == 200
    assert status(store, request("PATCH", added(2, 2), 2, 1)) == 200
    assert status(store, request("PATCH", added(3, 3), 3, 2)) == 200
    wanted = ["www.lab.test.", "x2.lab.test.", "x3.lab.test."]
    assert names(store) == wanted
    assert names(DocumentStore(tmp_path)) == wanted


def test_a_whole_document_after_changes_is_what_stands(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path)
    status(store, request("PUT", WHOLE, 1))
    status(store, request("PATCH", added(2, 2), 2, 1))
    status(store, request("PUT", WHOLE, 3))
    assert names(store) == names(DocumentStore(tmp_path)) == ["www.lab.test."]


def test_a_change_for_another_version_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path)
    status(store, request("PUT", WHOLE, 5))
    assert status(store, request("PATCH", added(2, 2), 7, 6)) == 412
    assert status(store, request("PATCH", added(2, 9), 6, 5)) == 412
    assert status(store, request("PATCH", added(2, 2), 4, 3)) == 409
    assert names(store) == names(DocumentStore(tmp_path)) == ["www.lab.test."]


def test_half_a_line_that_a_crash_left_behind_is_forgotten(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path)
    status(store, request("PUT", WHOLE, 1))
    status(store, request("PATCH", added(2, 2), 2, 1))
    path = tmp_path / "zones.changes"
    path.write_bytes(path.read_bytes() + b'{"splices":[{"zone')
    again = DocumentStore(tmp_path)
    assert names(again) == ["www.lab.test.", "x2.lab.test."]
    status(again, request("PATCH", added(3, 3), 1, 0))
    assert names(DocumentStore(tmp_path)) == names(again) == ["www.lab.test.", "x2.lab.test.", "x3.lab.test."]


def test_changes_of_a_document_that_gave_way_are_not_made_in_its_successor(tmp_path: Path) -> None:
    store = DocumentStore(tmp_path)
    status(store, request("PUT", WHOLE, 1))
    status(store, request("PATCH", added(2, 2), 2, 1))
    later = Zones((HostedZone("Z1", "lab.test.", (WWW, RecordSet("y.lab.test.", "A", 60, ("192.0.2.9",)))),))
    (tmp_path / "zones.json").write_bytes(orjson.dumps(later))  # as a crash between the two files leaves them
    assert names(DocumentStore(tmp_path)) == ["www.lab.test.", "y.lab.test."]
    assert not (tmp_path / "zones.changes").exists()


# with control


@pytest.fixture
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


def upsert(lab: ControlLab, zone_id: str, number: int) -> None:
    record = {"Name": f"n{number}.c.test", "Type": "A", "TTL": 9, "ResourceRecords": [{"Value": f"192.0.2.{number}"}]}
    lab.client("route53").change_resource_record_sets(
        HostedZoneId=zone_id, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    )


def make_zone(lab: ControlLab) -> str:
    made = lab.client("route53").create_hosted_zone(Name="c.test", CallerReference="c")
    zone_id: str = made["HostedZone"]["Id"]
    return zone_id


def values(lab: ControlLab) -> set[str]:
    zones = lab.edge.document("zones").zones
    return {value for zone in zones for record in zone.record_sets if record.type == "A" for value in record.values}


def pushes(lab: ControlLab) -> list[str]:
    return [method for method, target in lab.edge.asked if target == "/documents/zones"]


def test_a_record_is_pushed_alone_and_control_has_it_after_it_was_killed(lab: ControlLab) -> None:
    zone_id = make_zone(lab)
    lab.edge.asked.clear()
    for number in range(1, 4):
        upsert(lab, zone_id, number)
    assert pushes(lab) == ["PATCH"] * 3
    wanted = {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
    assert values(lab) == wanted
    journal = lab.state / "control" / "route53.changes"
    journal.write_bytes(journal.read_bytes() + b'{"number":')  # a crash amid the next one
    lab.kill_and_restart()
    records = lab.client("route53").list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    assert {r["ResourceRecords"][0]["Value"] for r in records if r["Type"] == "A"} == wanted
    upsert(lab, zone_id, 4)
    lab.kill_and_restart()
    eventually(lambda: values(lab) == {*wanted, "192.0.2.4"}, "all records at the resolver")


def test_a_resolver_that_missed_changes_gets_everything(lab: ControlLab) -> None:
    zone_id = make_zone(lab)
    upsert(lab, zone_id, 1)
    lab.stop_part("edge")
    upsert(lab, zone_id, 2)
    lab.start_part("edge")  # which says no hello, and holds no version any more
    eventually(lambda: values(lab) == {"192.0.2.1", "192.0.2.2"}, "both records at the resolver")
    upsert(lab, zone_id, 3)
    assert values(lab) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"} and pushes(lab)[-1] == "PATCH"
