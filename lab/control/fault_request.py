"""Whether a fault that somebody asks for makes sense in this lab, and the fault that it makes. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, get_args

from lab.core import codec
from lab.core.faults import Effect, Fault
from lab.core.health_check import CHECKER_REGIONS
from lab.errors import UserError

DELAY_MS_MAX = 600_000
SKEW_MS_MAX = 365 * 24 * 3600 * 1000


@dataclass(frozen=True)
class FaultScope:
    """What faults may name."""

    regions: tuple[str, ...]
    places: tuple[str, ...]
    health_checks: Collection[str]


def fault_of(given: Any, fault_id: str, since_ms: int, scope: FaultScope) -> Fault:
    """The fault from a request's JSON. Raises UserError that says what is wrong and what was expected."""
    if not isinstance(given, dict):
        raise UserError("expected a JSON object with `effect`")
    effects = get_args(Effect)
    if given.get("effect") not in effects:
        raise UserError(f"effect: {given.get('effect')!r} is none of {', '.join(effects)}")
    for name in ("fault_id", "since_ms"):
        if name in given:
            raise UserError(f"{name} is given by the lab")
    try:
        fault = codec.decode(Fault, {**given, "fault_id": fault_id, "since_ms": since_ms})
    except codec.CodecError as error:
        raise UserError(str(error).removeprefix("Fault: ").removeprefix("Fault.")) from error
    _check_names(fault, scope)
    _check_effect(fault, scope)
    return fault


def same(one: Fault, other: Fault) -> bool:
    """Whether two faults ask for the same, whenever and under whatever label."""
    ignored = {"fault_id", "since_ms", "label"}
    return {k: v for k, v in vars(one).items() if k not in ignored} == {
        k: v for k, v in vars(other).items() if k not in ignored
    }


def describe(fault: Fault) -> str:
    """A fault in a few words, for the history."""
    if fault.label:
        return fault.label
    words = [fault.effect, fault.region, fault.target and f"to {fault.target}", fault.service, fault.operation]
    return " ".join(word for word in words if word)


def _check_names(fault: Fault, scope: FaultScope) -> None:
    for name, region in (("region", fault.region), ("target", fault.target)):
        if region is not None and region not in scope.regions and not _is_checkers_end(fault, region, scope):
            raise UserError(f"{name}: this lab has no region {region!r}, it has {', '.join(scope.regions)}")
    if fault.place is not None and fault.place not in scope.places:
        raise UserError(f"place: unknown place {fault.place!r}")


def _is_checkers_end(fault: Fault, region: str, scope: FaultScope) -> bool:
    """Whether a region outside of the lab is one end of a link on which Route 53's health checkers probe the other."""
    ends = (fault.region, fault.target)
    return fault.effect == "cut" and region in CHECKER_REGIONS and any(end in scope.regions for end in ends)


def _check_effect(fault: Fault, scope: FaultScope) -> None:
    effect = fault.effect
    if effect in ("down", "hang", "cut", "replication_paused", "clock_skew") and fault.region is None:
        raise UserError(f"region: a fault with the effect {effect} needs one of {', '.join(scope.regions)}")
    if effect == "cut":
        if fault.target is None or fault.target == fault.region:
            raise UserError("target: a cut link needs its other end, another region than `region`")
    elif fault.target is not None:
        raise UserError(f"target: only a cut link has one, not {effect}")
    if fault.lose_data and (effect != "down" or fault.service is not None):
        raise UserError("lose_data: only a region that is down as a whole can lose its data")
    if (effect == "delay") != (fault.delay_ms > 0) or fault.delay_ms > DELAY_MS_MAX:
        raise UserError(f"delay_ms: expected 1 to {DELAY_MS_MAX} with the effect delay, and nothing otherwise")
    if effect == "error" and not fault.error_code:
        raise UserError("error_code: expected AWS's name of an error, such as InternalServerError")
    if not 0 < fault.probability <= 1:
        raise UserError(f"probability: expected a number above 0 and at most 1, got {fault.probability:g}")
    if effect == "clock_skew" and not 0 < abs(fault.skew_ms) <= SKEW_MS_MAX:
        raise UserError(
            f"skew_ms: expected milliseconds with the effect clock_skew, not 0, at most {SKEW_MS_MAX} (a year)"
        )
    if effect == "health_reported":
        if fault.health_check_id not in scope.health_checks:
            raise UserError(f"health_check_id: there is no health check {fault.health_check_id!r}")
        if fault.healthy is None:
            raise UserError("healthy: expected true or false with the effect health_reported")
