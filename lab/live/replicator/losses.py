"""What is lost with an engine: notices that an engine is another run than before, and counts what nobody has of it.

What had been acknowledged is read from the fronts' journals, which outlive the engines. As long as one cannot be read,
the losses of its region are not known, and that is what is told; the account is made when it can be read again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab.core.replication import Replication
from lab.core.replication_work import Acknowledged
from lab.live.clock import now_ms
from lab.live.http_client import CallFailed
from lab.live.replicator.engine import Engine, EngineError, EngineRestarted
from lab.live.replicator.journals import Journals, JournalUnreadable
from lab.live.replicator.store import SqliteStore

CONFLICTS_AT_ONCE = 1000
RETRY_MS = 1_000


@dataclass
class Losses:
    """The runs of all engines as they are known, and the accounts of what earlier ones took along.

    `on_task_end` is given to each task that is begun here.
    """

    core: Replication
    store: SqliteStore
    engines: Mapping[str, Engine]
    journals: Journals
    on_task_end: Callable[[asyncio.Task[None]], None]
    log: Callable[[str], None]
    _meeting: dict[str, asyncio.Lock] = field(default_factory=dict)
    _accounting: asyncio.Task[None] | None = None
    _retry_ms: int = 0

    async def on_answer_of(self, engine: Engine, boot: str) -> bool:
        """An engine answers that is another run than the last one that answered; whether that was news.

        The tables of one that was restarted are empty, and filled from the others.
        """
        async with self._meeting.setdefault(engine.region, asyncio.Lock()):
            if engine.boot == boot:
                return False
            known = self.store.boot(engine.region)
            if known is None:
                earlier = await self._journal_of(engine.region, boot)
                self.core.on_met(engine.region, earlier, now_ms())
            elif known != boot:
                self.log(f"{engine.region}: the engine was restarted; its tables are filled from the others")
                acknowledged = await self._acknowledged_now({engine.region: boot})
                self.store.set_boot(engine.region, boot)
                self.core.on_reset(engine.region, now_ms(), acknowledged)
            engine.boot = boot
            self.store.set_boot(engine.region, boot)
            self.core.commit()
            return True

    def account_soon(self) -> None:
        """Count what was lost with regions that nothing was known to have survived, if this is known now.

        So too what was lost according to journals that could not be read then.
        """
        due = self.core.unaccounted() or (self.unknown and not self.core.is_busy())
        if due and now_ms() >= self._retry_ms and self._accounting is None:
            self._accounting = asyncio.create_task(self._account())
            self._accounting.add_done_callback(self.on_task_end)

    @property
    def busy(self) -> bool:
        """Whether an account is being made."""
        return self._accounting is not None

    @property
    def unknown(self) -> bool:
        """Whether it is not known what some region lost: an account of it is still to be made."""
        return bool(self.store.happenings.unknown_losses())

    async def look_up_losers(self) -> None:
        """Find out of the losers of conflicts whether they had been acknowledged."""
        rows = self.store.happenings.conflicts(0, CONFLICTS_AT_ONCE, unknown=True)
        unknown = {n: conflict for n, conflict, known in rows if known is None}
        if unknown:
            for n, acknowledged in (await self.journals.acknowledged_losers(unknown)).items():
                self.store.happenings.set_acknowledged(n, acknowledged)
            self.store.commit()

    async def _account(self) -> None:
        acknowledged = await self._acknowledged_now({})
        self._accounting = None
        if self.core.is_busy():
            return  # another reset has come between, and a later account is of both
        self.core.on_acknowledged(acknowledged, now_ms(), self.store.happenings.unknown_losses())

    async def _acknowledged_now(self, boots: Mapping[str, str]) -> list[Acknowledged]:
        """What all fronts have acknowledged, as seen by the runs of all engines that are known when this returns.

        An engine that is met meanwhile as another run than before makes what was read out of date: its earlier writes
        would pass for some that are still to be read from its stream.
        """
        while True:
            resets = self.core.resets
            acknowledged = await self._acknowledged(boots)
            if resets == self.core.resets:
                return acknowledged

    async def _acknowledged(self, boots: Mapping[str, str]) -> list[Acknowledged]:
        """What all fronts have acknowledged; `boots` are runs of engines that are not known otherwise yet."""
        kept_ms = self.store.tombstones_since_ms()
        found: list[Acknowledged] = []
        for region, engine in self.engines.items():
            boot = boots.get(region) or self.store.boot(region) or "0"
            until_ms = await self._next_run_ms(engine, boot)
            journal = await self._journal_of(region, boot)
            found.extend(write for write in journal if kept_ms <= write.time_ms < until_ms)
        return found

    async def _journal_of(self, region: str, boot: str) -> list[Acknowledged]:
        """What a region's front has acknowledged; nothing, and a note that losses are not known, if it cannot tell."""
        try:
            found = await self.journals.acknowledged(region, _began_ms(boot))
        except JournalUnreadable as unreadable:
            self.log(f"{region}: what was lost is not known: {unreadable}")
            self._retry_ms = now_ms() + RETRY_MS
            self.store.happenings.set_unknown_losses(region, str(unreadable), now_ms())
            return []
        self.store.happenings.set_unknown_losses(region, None, now_ms())
        return found

    async def _next_run_ms(self, engine: Engine, boot: str) -> float:
        """When a run of an engine began that is not known yet, if there is one."""
        try:
            await engine.read("ListTables", {"Limit": 1})
        except EngineRestarted as restarted:
            if restarted.boot != boot:
                return _began_ms(restarted.boot)
        except (CallFailed, EngineError):
            pass  # it does not run now; what it has acknowledged was of the run that is known
        return math.inf


def _began_ms(boot: str) -> int:
    return int(boot.partition("-")[0])
