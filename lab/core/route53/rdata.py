"""Record values from their zone-file text to wire bytes, and whether a text is a value of its type at all.

Names inside the values of CNAME, NS, PTR, MX and SOA may be compressed in a packet, so these stay in parts; all
others are opaque bytes. https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from lab.core.route53.name import NameSyntaxError, to_wire
from lab.core.route53.service_parameters import parse_parameters

TYPE_NUMBERS = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "HINFO": 13,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "NAPTR": 35,
    "DS": 43,
    "SSHFP": 44,
    "TLSA": 52,
    "SVCB": 64,
    "HTTPS": 65,
    "SPF": 99,
    "CAA": 257,
}
TYPE_NAMES = {number: name for name, number in TYPE_NUMBERS.items()}


class RecordValueError(ValueError):
    """A text that is no value of its record type; the message says what was expected."""


@dataclass(frozen=True)
class Rdata:
    """A value on the wire: `before`, then `names` (wire form, compressible), then `after`."""

    before: bytes = b""
    names: tuple[bytes, ...] = ()
    after: bytes = b""


def character_strings(text: str) -> list[bytes]:
    r"""The strings of a TXT-like value: quoted ones with `\"`, `\\` and octal `\ooo`, or bare words."""
    out: list[bytes] = []
    index, end = 0, len(text)
    while index < end:
        if text[index] in " \t":
            index += 1
            continue
        quoted = text[index] == '"'
        index += quoted
        current = bytearray()
        while index < end and (text[index] != '"' if quoted else text[index] not in ' \t"'):
            if text[index] == "\\":
                octal = re.match(r"[0-3][0-7]{2}", text[index + 1 : index + 4])
                if octal:
                    current.append(int(octal.group(), 8))
                    index += 4
                    continue
                index += 1
                if index >= end:
                    raise RecordValueError("the value ends with a lone backslash")
            current += text[index].encode("utf-8")
            index += 1
        if quoted:
            if index >= end:
                raise RecordValueError("a quoted string is not closed")
            index += 1
        out.append(bytes(current))
    return out


def _strings_wire(text: str) -> bytes:
    strings = character_strings(text)
    if not strings:
        raise RecordValueError('expected one or more strings in quotation marks, like "v=spf1 -all"')
    return b"".join(_counted(string) for string in strings)


def _counted(string: bytes) -> bytes:
    if len(string) > 255:
        raise RecordValueError("a string is longer than 255 characters; split it into several quoted strings")
    return bytes([len(string)]) + string


def _number(text: str, what: str, bits: int) -> bytes:
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << bits:
        raise RecordValueError(f"{what} is {text!r}, expected a whole number from 0 to {(1 << bits) - 1}")
    return int(text).to_bytes(bits // 8, "big")


def _name(text: str) -> bytes:
    try:
        return to_wire(text)
    except NameSyntaxError as error:
        raise RecordValueError(str(error)) from None


def _words(text: str, count: int, form: str) -> list[str]:
    words = text.split()
    if len(words) != count:
        raise RecordValueError(f"expected {form}, got {text!r}")
    return words


def _hex(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise RecordValueError(f"{what} is {text!r}, expected hexadecimal digits") from None


def _naptr(text: str) -> Rdata:
    strings = character_strings(text)
    if len(strings) != 6:
        raise RecordValueError('expected: order preference "flags" "service" "regexp" replacement')
    order, preference, flags, service, regexp, replacement = strings
    before = _number(order.decode("latin-1"), "the order", 16) + _number(
        preference.decode("latin-1"), "the preference", 16
    )
    return Rdata(before + _counted(flags) + _counted(service) + _counted(regexp) + _name(replacement.decode("latin-1")))


def _caa(text: str) -> Rdata:
    match = re.fullmatch(r'(\d+)\s+([A-Za-z0-9]+)\s+("(?:[^"\\]|\\.)*"|\S+)', text.strip())
    if match is None:
        raise RecordValueError(f'expected: flags tag "value", like 0 issue "ca.example.net"; got {text!r}')
    flags, tag, value = match.groups()
    return Rdata(_number(flags, "the flags", 8) + _counted(tag.encode()) + character_strings(value)[0])


def _service(text: str) -> Rdata:
    words = text.split(None, 2)
    if len(words) < 2:
        raise RecordValueError(f"expected: priority target [parameters], got {text!r}")
    priority = _number(words[0], "the priority", 16)
    try:
        parameters = parse_parameters(words[2] if len(words) > 2 else "")
    except ValueError as error:
        raise RecordValueError(str(error)) from None
    return Rdata(priority + _name(words[1]) + parameters)


def _soa(text: str) -> Rdata:
    words = _words(text, 7, "primary-server hostmaster serial refresh retry expire minimum")
    return Rdata(
        b"", (_name(words[0]), _name(words[1])), b"".join(_number(w, "a number of the SOA", 32) for w in words[2:])
    )


def parse_value(rtype: str, text: str) -> Rdata:
    """The wire form of one value. Raises RecordValueError."""
    match rtype:
        case "A" | "AAAA":
            try:
                if "%" in text:
                    raise ValueError("a scope has no place in a record")
                packed = (ipaddress.IPv4Address if rtype == "A" else ipaddress.IPv6Address)(text.strip()).packed
            except ValueError:
                version = "IPv4" if rtype == "A" else "IPv6"
                raise RecordValueError(f"{text!r} is not a valid {version} address") from None
            return Rdata(packed)
        case "CNAME" | "NS" | "PTR":
            return Rdata(b"", (_name(_words(text, 1, "a domain name")[0]),))
        case "MX":
            preference, name = _words(text, 2, "preference and mail server")
            return Rdata(_number(preference, "the preference", 16), (_name(name),))
        case "SOA":
            return _soa(text)
        case "TXT" | "SPF" | "HINFO":
            return Rdata(_strings_wire(text))
        case "SRV":
            *numbers, target = _words(text, 4, "priority weight port target")
            return Rdata(b"".join(_number(n, "priority, weight or port", 16) for n in numbers) + _name(target))
        case "NAPTR":
            return _naptr(text)
        case "CAA":
            return _caa(text)
        case "DS":
            tag, algorithm, digest_type, digest = _words(text, 4, "key-tag algorithm digest-type digest")
            before = _number(tag, "the key tag", 16) + _number(algorithm, "the algorithm", 8)
            return Rdata(before + _number(digest_type, "the digest type", 8) + _hex(digest, "the digest"))
        case "SSHFP":
            algorithm, digest_type, digest = _words(text, 3, "algorithm type fingerprint")
            before = _number(algorithm, "the algorithm", 8) + _number(digest_type, "the type", 8)
            return Rdata(before + _hex(digest, "the fingerprint"))
        case "TLSA":
            *numbers, digest = _words(text, 4, "usage selector matching-type data")
            return Rdata(
                b"".join(_number(n, "usage, selector or matching type", 8) for n in numbers) + _hex(digest, "the data")
            )
        case "SVCB" | "HTTPS":
            return _service(text)
    raise RecordValueError(f"{rtype} is none of the record types {', '.join(sorted(TYPE_NUMBERS))}")
