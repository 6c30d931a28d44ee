"""What is to be shipped from one region to another, for one table: keys in order of arrival, each once.

A queue is bounded. What does not fit stays in the store, and the queue is filled from there when it has run empty;
so memory does not grow with a backlog. What an item is when its turn comes is looked up then: quick writes combine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

QUEUE_LIMIT = 5_000


class Waiting(NamedTuple):
    """A key's place: not before `due_ms`; written at `since_ms` (0 when it is not news, as in a fill)."""

    due_ms: int
    since_ms: int


@dataclass(slots=True)
class ShippingQueue:
    """Keys waiting for one (table, source, target).

    `more_in_store` says that the store may have pending items for this pair that are not here; `sweep_after` is
    the place in the store beyond which to look for them.
    """

    limit: int = QUEUE_LIMIT
    waiting: dict[bytes, Waiting] = field(default_factory=dict)
    more_in_store: bool = False
    sweep_after: int = 0
    last_due_ms: int = 0

    def add(self, key: bytes, due_ms: int, since_ms: int) -> None:
        """Put a key at the end, unless it is here already or there is no room."""
        if key in self.waiting:
            return
        if len(self.waiting) >= self.limit:
            self.leave_in_store()
            return
        self.last_due_ms = max(self.last_due_ms, due_ms)
        self.waiting[key] = Waiting(self.last_due_ms, since_ms)

    def leave_in_store(self) -> None:
        """Remember that the store has an item for this pair."""
        self.more_in_store = True
        self.sweep_after = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to ship, here or in the store."""
        return not self.waiting and not self.more_in_store

    def head(self) -> tuple[bytes, Waiting] | None:
        """The first key, if any."""
        return next(iter(self.waiting.items()), None)

    def pop(self, key: bytes) -> Waiting:
        """Take a key out."""
        return self.waiting.pop(key)

    def clear(self) -> None:
        """Forget all keys; the store still has them."""
        self.waiting.clear()
        self.leave_in_store()
