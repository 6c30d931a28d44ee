"""Makes the health checks of one region's target groups and keeps what they come to.

When a check is due and what its result means is `lab.core.alb_health`'s decision. Only groups that a listener uses are
checked. At idle there is one timer for all targets.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence

from lab.core.alb_health import (
    DISABLED,
    NOT_IN_USE,
    CheckResult,
    TargetHealth,
    TargetMachine,
    TargetState,
    balancer_verdict,
)
from lab.core.faults import FaultSet
from lab.core.load_balancer import LoadBalancer, LoadBalancers, Target, TargetGroup
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.load_balancer.targets import Targets

Key = tuple[str, Target]


class HealthChecks:
    """The targets' health in one region. `changed(group, target, health)` hears of every change of a state."""

    def __init__(
        self,
        region: str,
        store: DocumentStore,
        clock: Clock,
        targets: Targets,
        changed: Callable[[TargetGroup, Target, TargetHealth], None],
    ) -> None:
        self._region, self._store, self._clock, self._targets, self._changed = region, store, clock, targets, changed
        self._machines: dict[Key, TargetMachine] = {}
        self._used: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def lab_ms(self) -> int:
        """The machines' clock: lab milliseconds."""
        return int(asyncio.get_running_loop().time() * 1000 * self._clock.speed)

    def apply(self) -> None:
        """Take the published target groups."""
        published = self._store.get(LoadBalancers)
        self._used = {arn for b in published.of_region(self._region) for arn in b.target_group_arns}
        wanted = {
            (group.arn, target): group
            for group in published.target_groups
            if group.region == self._region and group.health_check_enabled and group.arn in self._used
            for target in group.targets
        }
        for key in self._machines.keys() - wanted.keys():
            del self._machines[key]
        for key, group in wanted.items():
            machine = self._machines.get(key)
            if machine is None:
                self._machines[key] = TargetMachine(group, now_ms=self.lab_ms())
            else:
                machine.on_settings(group)
        self._schedule()

    async def close(self) -> None:
        """Stop checking."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [at for machine in self._machines.values() if (at := machine.next_wake_ms()) is not None]
        if due and not self._closed:
            wait_s = self._clock.wait_s(max(0, min(due) - self.lab_ms()) + 1)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        now = self.lab_ms()
        for key, machine in self._machines.items():
            for check in machine.on_wake(now):
                task = asyncio.get_running_loop().create_task(self._check(key, machine, check.number))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        self._schedule()

    async def _check(self, key: Key, machine: TargetMachine, number: int) -> None:
        group = machine.group
        result = await self._result(group, key[1])
        if self._machines.get(key) is not machine:
            return
        if machine.on_result(number, result, self.lab_ms()):
            self._changed(group, key[1], machine.health)
        self._schedule()

    async def _result(self, group: TargetGroup, target: Target) -> CheckResult:
        condition = self._store.get(FaultSet).region_condition(self._region)
        if condition == "down":
            return CheckResult(failure="the region is down")
        try:
            async with asyncio.timeout(self._clock.deadline_s(group.health_check_timeout_s * 1000)):
                if condition == "hang":
                    await asyncio.Event().wait()
                return await self._targets.check(group, target)
        except TimeoutError:
            return CheckResult(timed_out=True)
        except Exception as error:  # a bug must neither end a target's checks nor pass in silence
            print(f"health check of {target.id}: {error!r}", file=sys.stderr, flush=True)
            return CheckResult(failure=f"the load balancer failed: {error!r}")

    def targets_of(self, group: TargetGroup) -> list[tuple[Target, TargetHealth]]:
        """A group's targets with their health."""
        if group.arn not in self._used:
            return [(target, NOT_IN_USE) for target in group.targets]
        if not group.health_check_enabled:
            return [(target, DISABLED) for target in group.targets]
        return [
            (target, machine.health)
            for target in group.targets
            if (machine := self._machines.get((group.arn, target))) is not None
        ]

    def verdict(self, balancer: LoadBalancer) -> bool | None:
        """Whether a load balancer is healthy; None while that is not known yet."""
        groups = {group.arn: group for group in self._store.get(LoadBalancers).target_groups}
        states: dict[str, Sequence[TargetState]] = {
            arn: [health.state for _, health in self.targets_of(groups[arn])]
            for arn in balancer.target_group_arns
            if arn in groups
        }
        return balancer_verdict(balancer, states)
