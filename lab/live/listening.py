"""Listening TCP sockets on the lab's addresses, and errors that say who is in the way.

Who accepts on them is the callers' business. Linux tells through /proc which process holds an address.
"""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path

from lab.errors import EnvironmentFailure


class AddressInUse(EnvironmentFailure):
    """Another process listens where the lab wants to."""

    exit_status = 3


def bind_tcp(address: str, port: int) -> socket.socket:
    """A bound, non-blocking socket, not yet listening. Raises AddressInUse, EnvironmentFailure."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise explain_bind_error(error, address, port) from error
    return sock


def explain_bind_error(error: OSError, address: str, port: int, *, protocol: str = "tcp") -> EnvironmentFailure:
    """The error to raise when binding failed: what was wanted, who has it, what to do."""
    where = f"{address}:{port}"
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(address, port, protocol=protocol)
        by = f" by {holder}" if holder else ""
        return AddressInUse(
            f"{where} ({protocol.upper()}) is in use{by}: stop it (`lab down` if it is a lab), or choose another block "
            "of addresses (`block` in lab.toml, `lab up --block 127.20`)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return EnvironmentFailure(
            f"this machine has no address {address}: the lab wants a loopback range as Linux has it (127.0.0.0/8); "
            "on macOS run it with Docker"
        )
    return EnvironmentFailure(f"cannot listen on {where}: {error.strerror or error}")


def holder_of(address: str, port: int, *, protocol: str = "tcp") -> str | None:
    """The process that holds an address, as "name (pid N)", if this user may see it."""
    inodes = _socket_inodes(address, port, protocol)
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            held = any(str(link.readlink()) in inodes for link in (process / "fd").iterdir())
            if held:
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:  # it ended, or is another user's
            continue
    return None


def _socket_inodes(address: str, port: int, protocol: str) -> set[str]:
    wanted = {f"{struct.unpack('<I', socket.inet_aton(a))[0]:08X}:{port:04X}" for a in (address, "0.0.0.0")}
    try:
        lines = Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    return {f"socket:[{row[9]}]" for row in rows if row[1] in wanted and row[3] in ("0A", "07")}
