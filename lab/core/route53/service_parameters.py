"""The parameters of SVCB and HTTPS values, from text to wire bytes. RFC 9460 §2.1 and §7, appendix A."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re

KEYS = {
    "mandatory": 0,
    "alpn": 1,
    "no-default-alpn": 2,
    "port": 3,
    "ipv4hint": 4,
    "ech": 5,
    "ipv6hint": 6,
    "dohpath": 7,
}
_PARAMETER = re.compile(r'([a-z0-9-]+)(?:=("(?:[^"\\]|\\.)*"|[^\s"]*))?(?:\s+|$)')


def parse_parameters(text: str) -> bytes:
    """The wire form of `key=value ...`, in ascending order of keys. Raises ValueError."""
    found: dict[int, bytes] = {}
    index = 0
    text = text.strip()
    while index < len(text):
        match = _PARAMETER.match(text, index)
        if match is None:
            raise ValueError(f'expected a parameter like alpn="h2" at {text[index : index + 20]!r}')
        key, value = _key(match.group(1)), _unescape((match.group(2) or "").strip('"'))
        if key in found:
            raise ValueError(f"the parameter {match.group(1)} is given twice")
        found[key] = _value(key, match.group(1), value)
        index = match.end()
    missing = [key for key in _mandatory(found.get(0, b"")) if key not in found]
    if missing:
        raise ValueError(f"the mandatory parameter key{missing[0]} is not given")
    return b"".join(
        key.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for key, value in sorted(found.items())
    )


def _key(word: str) -> int:
    number = KEYS.get(word)
    if number is not None:
        return number
    if re.fullmatch(r"key(0|[1-9]\d{0,4})", word) and int(word[3:]) < 65535:
        return int(word[3:])
    raise ValueError(f"{word} is no service parameter; expected one of {', '.join(KEYS)} or keyNNNNN")


def _unescape(text: str) -> bytes:
    out = bytearray()
    index = 0
    while index < len(text):
        if text[index] == "\\":
            digits = text[index + 1 : index + 4]
            if re.fullmatch(r"[0-2]\d\d", digits) and int(digits) < 256:
                out.append(int(digits))
                index += 4
                continue
            index += 1
        out += text[index : index + 1].encode()
        index += 1
    return bytes(out)


def _mandatory(wire: bytes) -> list[int]:
    return [wire[n] << 8 | wire[n + 1] for n in range(0, len(wire), 2)]


def _value(key: int, word: str, value: bytes) -> bytes:
    parts = value.decode("latin-1").split(",")
    match key:
        case 0:
            numbers = sorted({_key(part) for part in parts})
            return b"".join(number.to_bytes(2, "big") for number in numbers)
        case 1:
            if not all(0 < len(part) < 256 for part in parts):
                raise ValueError("alpn needs protocol names, like h2,h3")
            return b"".join(bytes([len(part)]) + part.encode("latin-1") for part in parts)
        case 2:
            if value:
                raise ValueError("no-default-alpn takes no value")
            return b""
        case 3:
            if not parts[0].isdigit() or len(parts) > 1 or int(parts[0]) > 65535:
                raise ValueError(f"port is {parts[0]!r}, expected a number from 0 to 65535")
            return int(parts[0]).to_bytes(2, "big")
        case 4:
            return b"".join(ipaddress.IPv4Address(part).packed for part in parts)
        case 5:
            try:
                return base64.b64decode(value, validate=True)
            except binascii.Error:
                raise ValueError("ech is not base64") from None
        case 6:
            return b"".join(ipaddress.IPv6Address(part).packed for part in parts)
    return value
