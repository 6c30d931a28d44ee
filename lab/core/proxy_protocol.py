"""The PROXY protocol, versions 1 and 2: who a connection's client really is, said in its first bytes.

`lab curl --from PLACE` says it to accelerators and load balancers, and accelerators say it to load balancers, so that
a client has the address of its place although every socket is on loopback. IPv4 only.
https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

SIGNATURE_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
PREFIX_V1 = b"PROXY "
V1_BYTES_MAX = 107
V2_BYTES_MAX = 16 + 536


@dataclass(frozen=True)
class Preface:
    """`length` bytes of preface were read. `source` is None if it names nobody (LOCAL, UNKNOWN, not IPv4)."""

    length: int
    source: tuple[str, int] | None = None
    target: tuple[str, int] | None = None


NO_PREFACE = Preface(0)


class MalformedPreface(ValueError):
    """The bytes begin like a PROXY preface and are not one."""


def parse(data: bytes) -> Preface | None:
    """The preface at the start of `data`; length 0 if there is none; None if more bytes are needed to tell."""
    if data.startswith(SIGNATURE_V2):
        return _parse_v2(data)
    if data.startswith(PREFIX_V1):
        return _parse_v1(data)
    if data and (SIGNATURE_V2.startswith(data[:12]) or PREFIX_V1.startswith(data[:6])):
        return None
    return NO_PREFACE if data else None


def _parse_v1(data: bytes) -> Preface | None:
    end = data.find(b"\r\n", 0, V1_BYTES_MAX)
    if end < 0:
        if len(data) >= V1_BYTES_MAX or b"\n" in data:
            raise MalformedPreface("a PROXY line must end with CRLF within 107 bytes")
        return None
    words = data[:end].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Preface(end + 2)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise MalformedPreface("expected `PROXY TCP4 SOURCE TARGET SOURCE_PORT TARGET_PORT`")
    if words[1] == "TCP6":
        return Preface(end + 2)
    try:
        source, target = (str(ipaddress.IPv4Address(word)) for word in words[2:4])
        source_port, target_port = int(words[4]), int(words[5])
    except ValueError as error:
        raise MalformedPreface(f"PROXY line: {error}") from None
    if not (0 <= source_port <= 65535 and 0 <= target_port <= 65535):
        raise MalformedPreface("PROXY line: a port is 0 to 65535")
    return Preface(end + 2, (source, source_port), (target, target_port))


def _parse_v2(data: bytes) -> Preface | None:
    if len(data) < 16:
        return None
    version_command, family, length = struct.unpack_from("!BBH", data, 12)
    if version_command not in (0x20, 0x21):
        raise MalformedPreface(f"PROXY version 2: unknown version or command 0x{version_command:02x}")
    if 16 + length > V2_BYTES_MAX:
        raise MalformedPreface("PROXY version 2: the header is longer than 552 bytes")
    if len(data) < 16 + length:
        return None
    if version_command == 0x20 or family != 0x11:
        return Preface(16 + length)
    if length < 12:
        raise MalformedPreface("PROXY version 2: TCP over IPv4 needs 12 bytes of addresses")
    source, target, source_port, target_port = struct.unpack_from("!4s4sHH", data, 16)
    return Preface(16 + length, (_dotted(source), source_port), (_dotted(target), target_port))


def _dotted(address: bytes) -> str:
    return ".".join(map(str, address))


def format_v1(source: tuple[str, int], target: tuple[str, int]) -> bytes:
    """A version 1 preface for TCP over IPv4."""
    return f"PROXY TCP4 {source[0]} {target[0]} {source[1]} {target[1]}\r\n".encode()


def format_v2(source: tuple[str, int], target: tuple[str, int]) -> bytes:
    """A version 2 preface for TCP over IPv4, 28 bytes."""
    return (
        SIGNATURE_V2
        + b"\x21\x11\x00\x0c"
        + bytes(map(int, source[0].split(".")))
        + bytes(map(int, target[0].split(".")))
        + struct.pack("!HH", source[1], target[1])
    )
