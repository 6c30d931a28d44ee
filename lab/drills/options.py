"""What a person may choose of a drill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.core.history import Event


@dataclass(frozen=True)
class DrillOptions:
    """`region` fails (the first by default), `other_region` is the far end of a cut link, `places` send the load.

    `lose_data` makes an outage lose the region's data. `on_event` is told of each event as it happens.
    """

    region: str | None = None
    other_region: str | None = None
    places: tuple[str, ...] = ()
    lose_data: bool = False
    on_event: Callable[[Event], None] | None = None
