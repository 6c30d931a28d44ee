"""DNS names as lower-case wire bytes (length-prefixed labels, final zero), and their text as Route 53 writes it.

Wire bytes are the key of every table of the resolver: no escape is ambiguous in them, and a packet's name is one slice.
"""

from __future__ import annotations

import functools

NAME_BYTES_MAX = 255
LABEL_BYTES_MAX = 63

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/@#+:&=~$!^,;?<>[]{}|%'`")


class NameSyntaxError(ValueError):
    """A text that is no domain name; the message says why."""


def _labels(text: str) -> list[bytes]:
    labels: list[bytes] = []
    label = bytearray()
    index = 0
    raw = text.encode("utf-8")
    while index < len(raw):
        byte = raw[index]
        if byte == 0x2E:
            labels.append(bytes(label))
            label.clear()
        elif byte == 0x5C:
            digits = raw[index + 1 : index + 4]
            if len(digits) == 3 and all(0x30 <= digit <= 0x37 for digit in digits) and int(digits, 8) < 256:
                label.append(int(digits, 8))
                index += 3
            elif index + 1 < len(raw):
                label.append(raw[index + 1])
                index += 1
            else:
                raise NameSyntaxError(f"{text!r} ends with a lone backslash")
        else:
            label.append(byte)
        index += 1
    if label:
        labels.append(bytes(label))
    return labels


@functools.lru_cache(maxsize=65536)
def to_wire(text: str) -> bytes:
    r"""The lower-case wire form of a name as text, with or without its final dot; `\ooo` is octal, as on AWS.

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html. Raises NameSyntaxError.
    """
    if text in ("", "."):
        return b"\0"
    out = bytearray()
    for label in _labels(text):
        if not label:
            raise NameSyntaxError(f"{text!r} has an empty label")
        if len(label) > LABEL_BYTES_MAX:
            raise NameSyntaxError(f"{text!r} has a label of more than {LABEL_BYTES_MAX} bytes")
        out.append(len(label))
        out += label
    out.append(0)
    if len(out) > NAME_BYTES_MAX:
        raise NameSyntaxError(f"{text!r} is longer than {NAME_BYTES_MAX} bytes")
    return bytes(out).lower()


def to_text(wire: bytes) -> str:
    r"""The text of a wire name, ending with a dot; bytes that are not plain are written `\ooo`, except a label `*`."""
    if wire == b"\0":
        return "."
    parts: list[str] = []
    index = 0
    while wire[index]:
        label = wire[index + 1 : index + 1 + wire[index]]
        parts.append("*" if label == b"*" else "".join(chr(b) if b in _PLAIN else f"\\{b:03o}" for b in label))
        index += 1 + wire[index]
    return ".".join(parts) + "."


def parent(wire: bytes) -> bytes:
    """The name without its first label; the root's parent is the root."""
    return wire[1 + wire[0] :] if wire[0] else wire


def ancestors(wire: bytes) -> list[bytes]:
    """The name itself, its parent, and so on to the root."""
    found = [wire]
    while wire[0]:
        wire = wire[1 + wire[0] :]
        found.append(wire)
    return found


def is_at_or_below(wire: bytes, zone: bytes) -> bool:
    """Whether a name is a zone's apex or inside it, by whole labels."""
    return zone in ancestors(wire)
