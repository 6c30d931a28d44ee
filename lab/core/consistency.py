"""What a recorded history proves about data: acknowledged writes survived, reads were right, replicas agree.

Each checker takes a history and returns a `Finding`. A checker that saw no evidence says `unknown`, never `pass`.
Who wins a conflict is judged in `lab.core.consistency_last_writer`; availability in `lab.core.drill_availability`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lab.core.history import History, Operation, Replicas

Verdict = Literal["pass", "fail", "unknown"]
EVIDENCE_MAX = 10
"""A finding names at most so many examples."""
EXIT_STATUS: dict[Verdict, int] = {"pass": 0, "fail": 1, "unknown": 2}


@dataclass(frozen=True)
class Finding:
    """What one checker found. `evidence` are examples, each a line for a person."""

    checker: str
    verdict: Verdict
    summary: str
    evidence: tuple[str, ...] = ()


def overall(findings: Iterable[Finding]) -> Verdict:
    """`fail` if any failed, else `unknown` if any saw nothing or there is none at all, else `pass`."""
    verdicts = [finding.verdict for finding in findings]
    if "fail" in verdicts:
        return "fail"
    return "unknown" if "unknown" in verdicts or not verdicts else "pass"


def judged(checker: str, wrong: list[str], *, good: str, bad: str) -> Finding:
    """A finding that fails with the first examples if anything is wrong."""
    if wrong:
        return Finding(checker, "fail", bad, tuple(wrong[:EVIDENCE_MAX]))
    return Finding(checker, "pass", good)


def losses_unknown(checker: str, history: History, evidence: Iterable[str] = ()) -> Finding:
    """What a checker says that would have to know what was lost, where the lab could not tell."""
    why = "; ".join(history.losses_unknown[region] for region in sorted(history.losses_unknown))
    summary = f"what {', '.join(sorted(history.losses_unknown))} lost is not known: {why}"
    return Finding(checker, "unknown", summary, tuple(evidence)[:EVIDENCE_MAX])


def _absent(key: str, replicas: Replicas) -> list[str]:
    return [region for region in sorted(replicas) if key not in replicas[region]]


def _expected(history: History) -> dict[str, str | None]:
    """What must be in every replica, with its value: what was there before, and every acknowledged write."""
    expected: dict[str, str | None] = {}
    before = history.before or {}
    for region in sorted(before):
        expected.update({key: item.value for key, item in before[region].items()})
    expected.update({op.key: op.value for op in history.writes("ok") if op.key is not None})
    return expected


def acknowledged_writes_survive(history: History) -> Finding:
    """Every acknowledged write is in every region with its value, or missing everywhere and reported as lost.

    For drills that write each key once. A write that is in some regions only is neither: it fails. One that is missing
    everywhere while losses are not known is neither right nor wrong.
    """
    name = "acknowledged writes survive"
    replicas = history.replicas
    if not history.writes("ok"):
        return Finding(name, "unknown", "no write was acknowledged")
    if not replicas:
        return Finding(name, "unknown", "no replica was read after recovery")
    expected, lost = _expected(history), {write.key for write in history.lost}
    wrong: list[str] = []
    unexplained: list[str] = []
    for key, value in expected.items():
        absent = _absent(key, replicas)
        if key in lost:
            if len(absent) < len(replicas):
                held = ", ".join(region for region in sorted(replicas) if region not in absent)
                wrong.append(f"{key} was reported as lost, yet {held} has it")
        elif history.losses_unknown and len(absent) == len(replicas):
            unexplained.append(f"{key} is missing everywhere")
        elif absent:
            wrong.append(f"{key} is missing in {', '.join(absent)} and was not reported as lost")
        else:
            wrong.extend(
                f"{key} is {replicas[region][key].value!r} in {region}; acknowledged was {value!r}"
                for region in sorted(replicas)
                if replicas[region][key].value != value
            )
    if unexplained and not wrong:
        return losses_unknown(name, history, unexplained)
    kept = len(expected) - len(lost & expected.keys())
    missing = f", {len(lost & expected.keys())} reported as lost" if lost else ""
    return judged(
        name,
        wrong,
        good=f"{kept} of {len(expected)} are in every region{missing}",
        bad=f"{len(wrong)} of {len(expected)} acknowledged writes are wrong",
    )


def losses_are_accounted(history: History) -> Finding:
    """Everything reported as lost was written by somebody, in the region it was reported for.

    A loss that is no acknowledged write of the history must stand for a write whose outcome its client never learned
    (the region had acknowledged it to the handler, and the answer died with the region).
    """
    name = "reported losses are real"
    if history.replicas is None:
        return Finding(name, "unknown", "the drill ended before losses were read")
    acknowledged = {op.key: op for op in history.writes("ok")}
    before = {key for copy in (history.before or {}).values() for key in copy}
    wrong: list[str] = []
    unexplained = 0
    for write in history.lost:
        operation = acknowledged.get(write.key)
        if operation is None:
            unexplained += write.key not in before
        elif operation.region != write.region:
            wrong.append(f"{write.key} was acknowledged by {operation.region}, reported as lost in {write.region}")
    unknown = len(history.writes("unknown"))
    if unexplained > unknown:
        wrong.append(f"{unexplained} reported losses are no write of this drill; {unknown} writes had no known outcome")
    if history.losses_unknown and not wrong:
        return losses_unknown(name, history)
    good = f"{len(history.lost)} reported, {unexplained} of them of writes without a known outcome"
    return judged(name, wrong, good=good, bad="the report of losses does not fit the writes")


def no_phantom_items(history: History) -> Finding:
    """Nothing is in the table that nobody wrote: items beyond the acknowledged ones are at most the unknown writes."""
    name = "no phantom items"
    if not history.replicas:
        return Finding(name, "unknown", "no replica was read after recovery")
    expected = _expected(history)
    present = {key: None for region in sorted(history.replicas) for key in history.replicas[region]}
    extra = [key for key in present if key not in expected]
    unknown = len(history.writes("unknown"))
    wrong = [f"{key} was never acknowledged to anybody" for key in extra] if len(extra) > unknown else []
    return judged(
        name,
        wrong,
        good=f"{len(extra)} items of {unknown} writes without a known outcome",
        bad=f"{len(extra)} items beyond the acknowledged writes, but only {unknown} writes without a known outcome "
        "(does another client write to this table?)",
    )


def replicas_agree(history: History) -> Finding:
    """All replicas hold the same items, attribute by attribute."""
    name = "replicas agree"
    replicas = history.replicas or {}
    if len(replicas) < 2:
        return Finding(name, "unknown", "fewer than two replicas were read")
    keys = {key: None for region in sorted(replicas) for key in replicas[region]}
    if not keys:
        return Finding(name, "unknown", "the replicas are empty")
    wrong: list[str] = []
    for key in keys:
        images = {region: replicas[region][key].image for region in sorted(replicas) if key in replicas[region]}
        if len(images) < len(replicas):
            wrong.append(f"{key} is missing in {', '.join(_absent(key, replicas))}")
        elif len(dict.fromkeys(images.values())) > 1:
            wrong.append(f"{key} differs: " + "; ".join(f"{region} has {image}" for region, image in images.items()))
    return judged(
        name,
        wrong,
        good=f"{len(keys)} items are equal in {', '.join(sorted(replicas))}",
        bad=f"{len(wrong)} of {len(keys)} items differ between replicas",
    )


def reads_were_right(history: History) -> Finding:
    """No read returned a value that was never written there, or missed a write of the region that served it.

    A miss in another region than the one that acknowledged is lag, which eventual consistency allows; it is counted.
    A region that lost its data may miss its own reported losses, and anything until it is refilled.
    """
    name = "reads were right"
    written = {op.key: op for op in history.writes("ok") if op.key is not None}
    data_loss_ms = {e.region: e.time_ms for e in history.events if e.kind == "data_lost"}
    wrong: list[str] = []
    seen = stale = 0
    for op in history.operations:
        if op.action != "read" or op.outcome != "ok" or op.key not in written:
            continue
        seen += 1
        write = written[op.key]
        if op.value is None:
            stale += 1
            if _missed_own_write(op, write, data_loss_ms):
                wrong.append(
                    f"{op.region} acknowledged {op.key} and did not find it {op.begun_ms - write.ended_ms} ms later"
                )
        elif op.value != write.value:
            wrong.append(f"{op.key} was read as {op.value!r} in {op.region}; written was {write.value!r}")
    if not seen:
        return Finding(name, "unknown", "no acknowledged write was read back")
    return judged(
        name,
        wrong,
        good=f"{seen} reads, {stale} of them before the write had arrived in that region",
        bad=f"{len(wrong)} of {seen} reads were wrong",
    )


def _missed_own_write(read: Operation, write: Operation, data_loss_ms: dict[str | None, int]) -> bool:
    if read.region != write.region or read.begun_ms <= write.ended_ms:
        return False
    return read.region not in data_loss_ms or read.ended_ms < data_loss_ms[read.region]
