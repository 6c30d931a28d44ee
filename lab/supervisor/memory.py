"""The memory of the lab's processes, as the kernel accounts it: proportional set size, which can be summed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessMemory:
    """One process; `pss_kb` is None where the kernel does not tell."""

    pid: int
    parent: int
    pss_kb: int | None


def pss_kb(pid: int) -> int | None:
    """A process's proportional set size in KiB, or None if it ended or the kernel does not tell."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return None


def descendants(root: int) -> tuple[ProcessMemory, ...]:
    """A process and all that came from it, parents first; empty where there is no /proc."""
    return tuple(ProcessMemory(pid, parent, pss_kb(pid)) for pid, parent in process_tree(root))


def process_tree(*roots: int) -> list[tuple[int, int]]:
    """Processes and all that came from them as (pid, parent), parents first; the roots' parent is 0."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = [(root, 0) for root in roots]
    for pid, _ in found:
        found.extend((child, pid) for child in sorted(children.get(pid, [])))
    return found
