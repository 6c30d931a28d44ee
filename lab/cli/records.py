"""Records that control pages through, such as conflicts and losses: read whole, shown as a table or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lab.cli.project import RunningLab

Record = dict[str, Any]


def pages(lab: RunningLab, what: str) -> list[Record]:
    """All records of `GET /api/WHAT`, oldest first."""
    found: list[Record] = []
    after = 0
    while page := lab.call("GET", f"/api/{what}", query={"after": str(after)})[what]:
        found.extend(page)
        after = page[-1]["n"]
    return found


def key_text(key: Any) -> str:
    """A key in DynamoDB's JSON in few characters: `id=7`."""
    if not isinstance(key, dict):
        return str(key)
    return " ".join(f"{name}={next(iter(typed.values()))}" for name, typed in key.items())


def moment(time_ms: int) -> str:
    """A time of day in UTC, to the millisecond."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def print_records(
    rows: Sequence[Record],
    columns: Mapping[str, Callable[[Record], str]],
    *,
    as_json: bool,
    name: str,
    none: str,
) -> None:
    """Print a table with a column a heading, or `{name: rows}` as JSON, or `none` where there is nothing."""
    if as_json:
        print(json.dumps({name: list(rows)}, indent=2))
        return
    if not rows:
        print(none)
        return
    from rich.table import Table

    from lab.report import console

    table = Table()
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(text(row) for text in columns.values()))
    console().print(table)
