"""Publishes control's documents to the other parts, so that each part has them before the caller hears of the change.

Pushes to one part go one after another and always carry the newest content, with a version that a part compares (an
older push that was held up somewhere never wins). Where only a few records changed and the part has a version that is
known, it gets the changes since then instead of the whole document. A part that does not answer is away: callers stop
waiting for it, and the newest documents are tried again in the background until it takes them or says hello.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from lab.live.clock import now_ms
from lab.live.documents import BASE_HEADER, VERSION_HEADER
from lab.live.http_client import Address, CallFailed, HttpClient

PUSH_TIMEOUT_S = 3.0
RETRY_FIRST_S = 0.1
RETRY_LAST_S = 2.0
CHANGES_KEPT = 200
WAIT_FOR_ABSENT_S = 0.25
"""How long a caller waits for a part that is known to be away: it may be back just now."""

SUBSCRIBERS: dict[str, tuple[str, ...]] = {
    "edge": (
        "zones",
        "endpoints",
        "health_checks",
        "functions",
        "apis",
        "tables",
        "faults",
        "load_balancers",
        "accelerators",
    ),
    "replicator": ("tables", "faults"),
}
"""Which part gets which documents (docs/architecture.md); each part of an edge that is several gets the edge's."""


class _Subscriber:
    """One part: what it should have (`wanted` versions), what it has, and the task that closes the gap."""

    def __init__(
        self,
        name: str,
        client: HttpClient,
        content: Callable[[str], tuple[int, bytes]],
        changes: Callable[[str, int], list[tuple[int, bytes]]],
        raise_version: Callable[[str, int], None],
    ) -> None:
        self.name, self._client, self._content, self._raise_version = name, client, content, raise_version
        self._changes = changes
        self.documents = SUBSCRIBERS.get(name, SUBSCRIBERS["edge"])
        self.held: dict[str, int] = {}
        self.wanted: dict[str, int] = {}
        self.problem: str | None = None
        self._attempts = 0
        self._waited_for: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._attempted = asyncio.Condition()

    def want(self, document: str, version: int) -> None:
        self.wanted[document] = version
        self._changed.set()

    def forget(self) -> None:
        """It has started anew, or says so: it is there and has nothing."""
        self.held.clear()
        self.problem = None
        self._changed.set()

    def behind(self) -> list[str]:
        return [name for name, version in self.wanted.items() if self.held.get(name, -1) < version]

    async def settled(self) -> None:
        """Until the part has all that is wanted now, or an attempt to give it that has failed."""
        goal = dict(self.wanted)
        attempts = self._attempts
        if self.problem is not None and goal == self._waited_for:
            return  # it is away, and whoever changed something for it has waited already
        self._waited_for = goal

        def over() -> bool:
            has_all = all(self.held.get(name, -1) >= version for name, version in goal.items())
            return has_all or (self.problem is not None and self._attempts > attempts)

        limit_s = None if self.problem is None else WAIT_FOR_ABSENT_S
        try:
            async with asyncio.timeout(limit_s), self._attempted:
                await self._attempted.wait_for(over)
        except TimeoutError:
            return  # it stays away; `run` goes on trying

    async def run(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            self._changed.clear()
            behind = self.behind()
            if behind:
                try:
                    for document in behind:
                        await self._push(document)
                    self.problem, retry_s = None, RETRY_FIRST_S
                except CallFailed as error:
                    self.problem = str(error)
                except Exception as error:  # a bug must be seen and must not end the publishing
                    self.problem = f"{type(error).__name__}: {error}"
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": f"publishing to {self.name} failed", "exception": error}
                    )
                async with self._attempted:
                    self._attempts += 1
                    self._attempted.notify_all()
            if self.problem is None:
                if not self.behind():
                    await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(retry_s):
                    await self._changed.wait()
            except TimeoutError:
                retry_s = min(retry_s * 2, RETRY_LAST_S)

    async def _push(self, document: str) -> None:
        for version, change in self._changes(document, self.held.get(document, -1)):
            headers = [
                ("Content-Type", "application/json"),
                (VERSION_HEADER, str(version)),
                (BASE_HEADER, str(self.held[document])),
            ]
            response = await self._client.call(
                "PATCH", f"/documents/{document}", headers, change, timeout_s=PUSH_TIMEOUT_S, idempotent=True
            )
            if response.status != 200:
                break  # it has another version than it is thought to have: it gets the whole document
            self.held[document] = version
        if document in self.behind():
            await self._push_whole(document)

    async def _push_whole(self, document: str) -> None:
        version, body = self._content(document)
        headers = [("Content-Type", "application/json"), (VERSION_HEADER, str(version))]
        response = await self._client.call(
            "PUT", f"/documents/{document}", headers, body, timeout_s=PUSH_TIMEOUT_S, idempotent=True
        )
        if response.status == 409:  # the machine's clock went back since an earlier control pushed to it
            self._raise_version(document, int(orjson.loads(response.body)["version"]))
            return
        if response.status not in (200, 204):
            raise CallFailed(
                f"{self.name} refused the document {document}: {response.status} {response.body[:200]!r}",
                maybe_executed=True,
            )
        self.held[document] = version


class Publisher:
    """All documents and the parts that want them. `sources` make a document's current content."""

    def __init__(
        self,
        address_of: Callable[[str], Address],
        sources: dict[str, Callable[[], Any]],
        edge_parts: Iterable[str] = ("edge",),
    ) -> None:
        self._sources = sources
        start = now_ms() * 1000  # later than every version of an earlier control
        self._versions = dict.fromkeys(sources, start)
        self._encoded: dict[str, tuple[int, bytes]] = {}
        self._changes: dict[str, deque[tuple[int, bytes]]] = {}
        self._clients = {
            name: HttpClient(address_of(name), connect_timeout_s=1.0) for name in (*edge_parts, "replicator")
        }
        self._parts = {
            name: _Subscriber(name, client, self._content, self._changes_since, self._raise_version)
            for name, client in self._clients.items()
        }
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to push; every part gets every document."""
        for part in self._parts.values():
            for document in part.documents:
                part.want(document, self._versions[document])
            self._tasks.append(asyncio.create_task(part.run(), name=f"publish to {part.name}"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients.values():
            client.close()

    def mark(self, documents: Iterable[str]) -> None:
        """These documents have changed: push them."""
        for document in documents:
            self._versions[document] += 1
            for part in self._parts.values():
                if document in part.documents:
                    part.want(document, self._versions[document])

    def mark_change(self, document: str, change: bytes) -> None:
        """A document has changed by no more than this (its `PATCH` body)."""
        self.mark([document])
        self._changes.setdefault(document, deque(maxlen=CHANGES_KEPT)).append((self._versions[document], change))

    def _changes_since(self, document: str, version: int) -> list[tuple[int, bytes]]:
        """What made the current content of a version; nothing if that is not known."""
        gap = self._versions[document] - version
        found = [change for change in self._changes.get(document, ()) if change[0] > version]
        return found if len(found) == gap else []

    def _raise_version(self, document: str, held: int) -> None:
        self._versions[document] = max(self._versions[document], held)
        self.mark([document])

    async def settle(self) -> None:
        """Wait until every part has what was marked, or has turned out to be away."""
        await asyncio.gather(*(part.settled() for part in self._parts.values() if part.behind()))

    async def hello(self, name: str) -> bool:
        """A part has (re)started: push everything to it. False for a part that gets no documents."""
        part = self._parts.get(name)
        if part is None:
            return False
        part.forget()
        await part.settled()
        return True

    def version(self, document: str) -> int:
        """The version of a document's current content."""
        return self._versions[document]

    def holds(self, name: str, document: str, version: int) -> bool:
        """Whether a part has taken this version of a document, or a later one."""
        return self._parts[name].held.get(document, -1) >= version

    def behind(self, document: str) -> dict[str, str]:
        """The parts that have not got a document as it is now, with the reason."""
        return {
            name: part.problem or "it has not answered yet"
            for name, part in self._parts.items()
            if document in part.behind()
        }

    def status(self) -> dict[str, Any]:
        """By part: the documents that it has not got yet, and why."""
        return {
            name: {"behind": part.behind(), "problem": part.problem if part.behind() else None}
            for name, part in self._parts.items()
        }

    def _content(self, document: str) -> tuple[int, bytes]:
        version = self._versions[document]
        cached = self._encoded.get(document)
        if cached is None or cached[0] != version:
            cached = (version, orjson.dumps(self._sources[document]()))
            self._encoded[document] = cached
        return cached
