"""How many files and sockets a process may have open: as many as it may ask for, where a shell allows it few.

A shell's usual limit of 1,024 would be reached by some five hundred connections through an accelerator, each of them
two sockets.
"""

from __future__ import annotations

import resource

WANTED = 65_536
NEEDED = 256
"""The edge of a lab of eight regions, with an environment a function each."""


def allow_many_open_files() -> None:
    """Raise this process's own limit, and that of its children, to what the system lets it have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def open_files_allowed() -> int | None:
    """How many files a process may have open at most; None if there is no limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard
