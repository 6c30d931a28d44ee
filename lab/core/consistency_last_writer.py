"""Whether the last writer won: what the final value of a key that several regions wrote may be.

A global table keeps, per item, the write with the newest time of the region that took it
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html). Clients see only
when their calls began and ended, so two writes whose calls overlap may be in either order.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.consistency import Finding, judged
from lab.core.history import History, Operation


@dataclass(frozen=True)
class Contest:
    """One key, the writes that competed for it, those that may have been last, and the value that each region has.

    `winner` is None as long as replicas disagree or hold what no write can explain.
    """

    key: str
    writes: tuple[Operation, ...]
    candidates: tuple[Operation, ...]
    values: dict[str, str | None]
    winner: Operation | None

    @property
    def agreed(self) -> bool:
        """Whether every region has the same value."""
        return len(dict.fromkeys(self.values.values())) == 1

    @property
    def certain(self) -> bool:
        """Whether only one value could have won."""
        return len({op.value: None for op in self.candidates}) == 1


def last_candidates(writes: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """The writes that may have been the last: those that did not certainly end before an acknowledged one began.

    A failed write is none. One of unknown outcome may have been last, but forces nothing out.
    """
    happened = [op for op in writes if op.outcome != "fail"]
    latest_begin = max((op.begun_ms for op in happened if op.outcome == "ok"), default=0)
    # A write of unknown outcome has no known end: it may have been executed long after its client gave up.
    return tuple(op for op in happened if op.outcome == "unknown" or op.ended_ms >= latest_begin)


def contests(history: History) -> tuple[Contest, ...]:
    """Every key that more than one region wrote, in the order of the first writes."""
    by_key: dict[str, list[Operation]] = {}
    for op in history.operations:
        if op.action == "write" and op.key is not None and op.outcome != "fail":
            by_key.setdefault(op.key, []).append(op)
    found = []
    for key, writes in by_key.items():
        if len({op.region: None for op in writes}) < 2:
            continue
        candidates = last_candidates(tuple(writes))
        values = {
            region: copy[key].value if key in copy else None
            for region, copy in sorted((history.replicas or {}).items())
        }
        final = dict.fromkeys(values.values())
        winner = next((op for op in reversed(candidates) if len(final) == 1 and op.value in final), None)
        found.append(Contest(key, tuple(writes), candidates, values, winner))
    return tuple(found)


def last_writer_won(history: History) -> Finding:
    """Every contested key holds, in every region, the value of a write that may have been the last one."""
    name = "the last writer won"
    found = contests(history)
    if not found:
        return Finding(name, "unknown", "no key was written in two regions")
    if not history.replicas:
        return Finding(name, "unknown", "no replica was read after recovery")
    wrong = []
    for contest in found:
        if contest.winner is None:
            wrong.append(
                f"{contest.key}: "
                + ", ".join(f"{region} has {value!r}" for region, value in contest.values.items())
                + "; the last write was "
                + " or ".join(f"{op.value!r} ({op.region})" for op in contest.candidates)
            )
    certain = sum(contest.certain for contest in found)
    return judged(
        name,
        wrong,
        good=f"{len(found)} contested keys hold their last write, {certain} of them with only one possible winner",
        bad=f"{len(wrong)} of {len(found)} contested keys do not hold their last write everywhere",
    )


def replicas_diverged(history: History) -> Finding:
    """While the link was cut, each side really read its own write: without it, a split brain proves nothing.

    Evidence is a key that two regions served with different values between the first `cut` event and its `healed`.
    """
    name = "replicas diverged while cut"
    cut = history.first("cut")
    if cut is None:
        return Finding(name, "unknown", "no link was cut")
    healed = history.first("healed", after_ms=cut.time_ms)
    seen: dict[str, dict[str | None, str | None]] = {}
    for op in history.operations:
        during = op.begun_ms >= cut.time_ms and (healed is None or op.ended_ms <= healed.time_ms)
        if op.action == "read" and op.outcome == "ok" and op.key is not None and during:
            seen.setdefault(op.key, {})[op.region] = op.value
    read_twice = {key: values for key, values in seen.items() if len(values) > 1}
    if not read_twice:
        return Finding(name, "unknown", "no key was read in two regions during the cut")
    wrong = [
        f"{key} was {next(iter(values.values()))!r} everywhere"
        for key, values in read_twice.items()
        if len(dict.fromkeys(values.values())) == 1
    ]
    return judged(
        name,
        wrong,
        good=f"{len(read_twice)} keys had a different value in each region",
        bad=f"{len(wrong)} of {len(read_twice)} keys were the same in all regions: the cut let writes through",
    )
