"""Replication under faults, in virtual time: ten thousand histories, and that the simulator itself can be trusted."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lab.sim.campaign import run_seeds
from lab.sim.plan import KINDS, REGIONS, Plan, PlannedFault, PlannedWrite, make_plan
from lab.sim.run import run_plan
from lab.sim.shrink import shrink

HISTORIES = 10_000
ROOT = Path(__file__).parents[2]


def test_ten_thousand_histories_end_as_the_last_writer_says() -> None:
    failed = run_seeds(range(HISTORIES), processes=2)
    assert not failed, f"again, and made smaller, with: python -m lab.sim --seed {failed[0]}"


def test_every_plan_has_three_regions_forty_writes_on_five_keys_and_two_kinds_of_fault() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(500):
        plan = make_plan(seed)
        assert len(plan.writes) >= 40
        assert len({write.key for write in plan.writes}) <= 5
        assert {write.region for write in plan.writes} == set(REGIONS)
        assert len({fault.kind for fault in plan.faults}) >= 2
        kinds.update({fault.kind for fault in plan.faults})
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > 50


def test_the_same_seed_gives_the_same_history() -> None:
    assert [run_plan(make_plan(seed)) for seed in range(20)] == [run_plan(make_plan(seed)) for seed in range(20)]


def test_faults_leave_conflicts_and_losses_behind() -> None:
    verdicts = [run_plan(make_plan(seed)) for seed in range(100)]
    assert sum(verdict.conflicts > 0 for verdict in verdicts) > 50
    assert sum(verdict.lost > 0 for verdict in verdicts) > 5


def test_a_failing_history_is_made_small() -> None:
    culprit = PlannedWrite(1, REGIONS[0], 0, b"7")

    def fails(plan: Plan) -> bool:
        return culprit in plan.writes and any(fault.kind == "cut" for fault in plan.faults)

    plan = make_plan(1)
    cut = PlannedFault("cut", 1, 2, REGIONS[0], REGIONS[1])
    small = shrink(replace(plan, writes=(*plan.writes, culprit), faults=(*plan.faults, cut)), fails)
    assert small.writes == (culprit,)
    assert [fault.kind for fault in small.faults] == ["cut"]


MUTATIONS = {
    "a tombstone lets older puts through": (
        "lab/core/item.py",
        "if version > item.winner:\n        if record.old_digest",
        "if version > item.winner or item.is_tombstone:\n        if record.old_digest",
    ),
    "a checkpoint is kept before what it stands for": (
        "lab/core/replication.py",
        "        self._ledger.expect(table, (record.key for record in records))\n",
        "        self._ledger.expect(table, ())\n"
        "        self._store.set_checkpoint(table, region, checkpoint)\n"
        "        self._store.commit()\n",
    ),
    "an apply that comes late goes unnoticed": (
        "lab/core/item.py",
        "held = _at_position(item.held, region, content)\n",
        "held = item.held\n",
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_core_with_a_fault_of_its_own_is_caught_within_a_thousand_seeds(mutation: str, tmp_path: Path) -> None:
    file, right, wrong = MUTATIONS[mutation]
    for source in (ROOT / "lab").rglob("*.py"):
        if source.relative_to(ROOT).parts[1] in ("core", "sim", "errors.py", "__init__.py"):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    text = (tmp_path / file).read_text()
    assert text.count(right) == 1
    (tmp_path / file).write_text(text.replace(right, wrong))
    command = [sys.executable, "-P", "-m", "lab.sim", "--histories", "1000"]
    found = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1, found.stdout + found.stderr
    assert re.search(r"again with: python -m lab\.sim --seed \d+", found.stdout)
    assert "smallest failing history" in found.stdout
