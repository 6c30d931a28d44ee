"""Ending with the parent, however the parent ends: for processes that must not outlive who started them."""

from __future__ import annotations

import os
import signal
import sys

PARENT_VARIABLE = "LAB_PARENT_PID"
OWNER_VARIABLE = "LAB_OWNER_PID"
"""A detached lab that belongs to a process, a test session or a drill, ends when that does, however it ends."""
LOCK_VARIABLE = "LAB_LOCK_DESCRIPTOR"
"""The descriptor of the state folder's lock (`lab.supervisor.instance.lock_state`), which the parent passes on."""
PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent ends, if the parent named itself (Linux only)."""
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is None or sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != int(parent):  # it went before the call
        raise SystemExit(1)


def open_owner() -> int | None:
    """A descriptor that is readable once the owner has ended, or None without one. Raises ProcessLookupError."""
    owner = os.environ.pop(OWNER_VARIABLE, None)
    return None if owner is None or sys.platform != "linux" else os.pidfd_open(int(owner))


def inherited_lock() -> int | None:
    """The lock that whoever started this process took for it and passed on, so that nobody could come between."""
    descriptor = os.environ.pop(LOCK_VARIABLE, None)
    if descriptor is None:
        return None
    os.set_inheritable(int(descriptor), False)
    return int(descriptor)
