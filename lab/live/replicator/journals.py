"""What the fronts have acknowledged, read from their journals: for losses, and for the losers of conflicts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from lab.core.conflict import Conflict
from lab.core.replication_work import Acknowledged
from lab.core.table import KeyAttribute
from lab.live.http_client import CallFailed, HttpClient
from lab.live.replicator.image import key_if_any


class JournalUnreadable(Exception):
    """A region's journal cannot be read now; the text says why."""


@dataclass
class Journals:
    """The journals of all regions. `key_of` gives a table's key, None if it is no global table."""

    fronts: dict[str, HttpClient]
    key_of: Callable[[str], tuple[KeyAttribute, ...] | None]
    log: Callable[[str], None]

    async def acknowledged(self, region: str, boot_ms: int) -> list[Acknowledged]:
        """A region's acknowledged writes; its engine's present run began at `boot_ms`.

        An entry without a sequence number changed nothing. The items of one call have numbers one after another. Keys
        that the table does not have were written to another of its name.
        Raises JournalUnreadable.
        """
        found: list[Acknowledged] = []
        async for entry in self._entries(region):
            sequence, key = entry.get("sequence"), self.key_of(entry["table"])
            if sequence and key is not None:
                time_ms, counter = int(sequence[:20]), int(sequence[20:])
                of_this_run = time_ms >= boot_ms
                found.extend(
                    Acknowledged(entry["table"], encoded, time_ms, region, counter, of_this_run)
                    for attributes in entry["keys"]
                    if (encoded := key_if_any(key, attributes)) is not None
                )
        return found

    async def acknowledged_losers(self, conflicts: dict[int, Conflict]) -> dict[int, bool]:
        """Of these conflicts, by number: whether the loser had been acknowledged. Those left out are not known."""
        known: dict[int, bool] = {}
        for region in sorted({conflict.loser.region for conflict in conflicts.values()} & self.fronts.keys()):
            wanted = {n: c for n, c in conflicts.items() if c.loser.region == region}
            try:
                known.update(await self._acknowledged_of(region, wanted))
            except JournalUnreadable as unreadable:
                self.log(f"{region}: whether losers of conflicts had been acknowledged: {unreadable}")
        return known

    async def _acknowledged_of(self, region: str, conflicts: dict[int, Conflict]) -> dict[int, bool]:
        spans: dict[tuple[str, bytes], list[tuple[int, int]]] = {}
        last = -1
        async for entry in self._entries(region):
            sequence, key = entry.get("sequence"), self.key_of(entry["table"])
            if sequence and key is not None:
                first = int(sequence[20:])
                last = max(last, first)
                for attributes in entry["keys"]:
                    encoded = key_if_any(key, attributes)
                    if encoded is not None:
                        span = (first, first + max(1, len(entry["keys"])))
                        spans.setdefault((entry["table"], encoded), []).append(span)
        known: dict[int, bool] = {}
        for n, conflict in conflicts.items():
            counter = conflict.loser.counter
            found = any(low <= counter < high for low, high in spans.get((conflict.table, conflict.key), ()))
            if found or counter < last:
                known[n] = found
        return known

    async def _entries(self, region: str) -> AsyncIterator[dict[str, Any]]:
        """Every entry of a region's journal, oldest first. Raises JournalUnreadable."""
        after = 0
        while True:
            try:
                response = await self.fronts[region].call("GET", f"/journal/{region}?after={after}", timeout_s=5.0)
            except CallFailed as failure:
                raise JournalUnreadable(f"the journal of {region} cannot be read: {failure}") from failure
            if response.status != 200:
                said = f"its front answered with status {response.status}"
                raise JournalUnreadable(f"the journal of {region} cannot be read: {said}")
            entries = orjson.loads(response.body)["entries"]
            for entry in entries:
                yield entry
            if not entries:
                return
            after = entries[-1]["n"]

    async def trim(self, region: str, before_ms: int) -> None:
        """Have a front forget its writes from before a time; they are in every region."""
        through = 0
        try:
            async for entry in self._entries(region):
                if entry["time_ms"] >= before_ms:
                    break
                through = entry["n"]
        except JournalUnreadable as unreadable:
            self.log(f"{region}: nothing is trimmed: {unreadable}")
            return
        if through:
            try:
                await self.fronts[region].call("POST", f"/journal/{region}/trim?through={through}", timeout_s=5.0)
            except CallFailed as failure:
                self.log(f"{region}: its journal cannot be trimmed: {failure}")

    def close(self) -> None:
        """Drop the connections."""
        for front in self.fronts.values():
            front.close()
