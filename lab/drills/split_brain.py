"""The split-brain drill on a running lab: cut, write the same keys on both sides, heal, see who won."""

from __future__ import annotations

import time
import uuid
from typing import Any

from lab.core.deployment import TablePlan
from lab.core.drill_report import Report, split_brain_report
from lab.core.drill_split_brain import contested_key, contested_writes
from lab.core.history import Operation
from lab.core.outcome import outcome_of_status
from lab.core.scenario import SplitBrainScenario, two_regions
from lab.drills.options import DrillOptions
from lab.drills.recorder import Recorder
from lab.drills.replicas import VALUE, drilled_table, read_replicas
from lab.drills.settling import require_no_faults, settle
from lab.errors import LabError, UserError
from lab.live.clock import now_ms
from lab.testing.lab import Lab

TABLE = "feedback"


def run_split_brain(lab: Lab, options: DrillOptions) -> Report:
    """Two living regions lose the link between them while both write the same keys."""
    if options.lose_data:
        raise UserError("a split brain loses no data: use region_outage with lose_data")
    region_a, region_b = two_regions(lab.topology, options.region, options.other_region)
    scenario = SplitBrainScenario(region_a, region_b)
    table = drilled_table(lab, TABLE)
    require_no_faults(lab)
    settle(lab, None, table.name)
    recorder = Recorder(options.on_event)
    lost_before = max((write.number for write in lab.lost()), default=0)
    conflicts_before = max((conflict["n"] for conflict in lab.conflicts()), default=0)
    try:
        _cut(lab, scenario, recorder)
        _write_both_sides(lab, scenario, table, recorder)
    finally:
        lab.heal()
    recorder.event("healed")
    _await_convergence(lab, table, recorder, conflicts_before)
    recorder.replicas = read_replicas(lab, table)
    recorder.lost = tuple(write for write in lab.lost(after=lost_before) if write.table == table.name)
    recorder.losses_unknown = lab.losses_unknown()
    return split_brain_report("split_brain", scenario, recorder.history(), speed=lab.speed)


def _cut(lab: Lab, scenario: SplitBrainScenario, recorder: Recorder) -> None:
    """Cut the first region off from all others: a third one would carry writes around a cut between two."""
    for other in lab.regions:
        if other.code != scenario.region_a:
            lab.cut(scenario.region_a, other.code)
    recorder.event("cut", detail=f"{scenario.region_a} and {scenario.region_b} both live on")


def _write_both_sides(lab: Lab, scenario: SplitBrainScenario, table: TablePlan, recorder: Recorder) -> None:
    prefix = f"split-{uuid.uuid4().hex[:8]}"
    key_name = table.key[0].name
    for write in contested_writes(scenario, prefix):
        client = lab.region(write.region).client("dynamodb")
        item = {key_name: {"S": write.key}, VALUE: {"S": write.value}}
        recorder.operation(_put(client, table.name, item, write.region, write.key, write.value))
        _next_millisecond()
    for n in range(scenario.keys):
        key = contested_key(prefix, n)
        for region in (scenario.region_a, scenario.region_b):
            client = lab.region(region).client("dynamodb")
            recorder.operation(_get(client, table.name, key_name, region, key))


def _put(client: Any, table: str, item: dict[str, Any], region: str, key: str, value: str) -> Operation:
    from botocore.exceptions import BotoCoreError, ClientError

    begun_ms = now_ms()
    try:
        client.put_item(TableName=table, Item=item)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        outcome = outcome_of_status("write", status)
        return Operation(region, "write", begun_ms, now_ms(), outcome, key, value, region, status, str(error))
    except BotoCoreError as error:
        return Operation(region, "write", begun_ms, now_ms(), "unknown", key, value, region, None, str(error))
    return Operation(region, "write", begun_ms, now_ms(), "ok", key, value, region, 200)


def _get(client: Any, table: str, key_name: str, region: str, key: str) -> Operation:
    from botocore.exceptions import BotoCoreError, ClientError

    begun_ms = now_ms()
    try:
        item = client.get_item(TableName=table, Key={key_name: {"S": key}}, ConsistentRead=True).get("Item", {})
    except (BotoCoreError, ClientError) as error:
        return Operation(region, "read", begun_ms, now_ms(), "fail", key, None, region, None, str(error))
    return Operation(region, "read", begun_ms, now_ms(), "ok", key, item.get(VALUE, {}).get("S"), region, 200)


def _next_millisecond() -> None:
    """Two writes never share a millisecond, so that every contest has one possible winner."""
    ended_ms = now_ms()
    while now_ms() <= ended_ms + 1:
        time.sleep(0.001)


def _await_convergence(lab: Lab, table: TablePlan, recorder: Recorder, conflicts_before: int) -> None:
    try:
        lab.converged(table.name)
    except LabError as error:
        recorder.event("not_converged", detail=str(error))
        return
    recorder.event("converged", detail=f"{len(lab.conflicts(after=conflicts_before))} conflicts recorded")
