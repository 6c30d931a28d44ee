"""A block of loopback addresses for a lab of a test's own."""

from __future__ import annotations

import random
import socket

BLOCKS = range(60, 100)
PORTS = (4566, 5300)
"""The global endpoint's, and DNS's, which a lab without control has."""


def free_block() -> str:
    """A block that no lab has just now."""
    for number in random.sample(BLOCKS, len(BLOCKS)):
        if all(_is_free(f"127.{number}.0.1", port) for port in PORTS):
            return f"127.{number}"
    raise AssertionError("no free block of addresses")


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
