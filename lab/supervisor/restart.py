"""When a part that died is started again: at once, then ever later, and at once again after it has run well."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY_MS = 100
DELAY_MS_MAX = 10_000
GOOD_RUN_MS = 30_000


@dataclass(frozen=True)
class RestartPolicy:
    """`failures` counts the deaths in a row, each within GOOD_RUN_MS of its start."""

    failures: int = 0

    def after_death(self, ran_ms: int) -> RestartPolicy:
        """The policy after a part died that had run for so long."""
        return RestartPolicy(1 if ran_ms >= GOOD_RUN_MS else self.failures + 1)

    @property
    def delay_ms(self) -> int:
        """How long to wait before the next start."""
        return min(DELAY_MS_MAX, FIRST_DELAY_MS * 2 ** min(self.failures - 1, 10)) if self.failures else 0
