"""Whether a value is valid for its record type, with Route 53's messages.

The resolver's own parser judges (`core.route53.rdata`), so that what is accepted here can be answered there.
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html
"""

from __future__ import annotations

import ipaddress
import re

from lab.core.route53.rdata import RecordValueError, parse_value

VALUE_CHARACTERS_MAX = 4000
_QUOTED = re.compile(r'\s*"(?:[^"\\]|\\.)*"(?:\s+"(?:[^"\\]|\\.)*")*\s*')
_PROBLEMS = {
    "A": ("ARRDATAIllegalIPv4Address", "Value is not a valid IPv4 address"),
    "AAAA": ("AAAARRDATAIllegalIPv6Address", "Value is not a valid IPv6 address"),
    "TXT": ("InvalidCharacterString", "Value should be enclosed in quotation marks"),
    "SPF": ("InvalidCharacterString", "Value should be enclosed in quotation marks"),
}


def problem_with(record_type: str, value: str) -> str | None:
    """What is wrong with a value of a type, in Route 53's words; None if nothing is."""
    if len(value) > VALUE_CHARACTERS_MAX:
        return _fatal("InvalidLength", f"Value is longer than {VALUE_CHARACTERS_MAX} characters", value)
    if record_type in ("TXT", "SPF") and not _QUOTED.fullmatch(value):
        return _fatal(*_PROBLEMS[record_type], value)
    try:
        parse_value(record_type, value)
    except RecordValueError as error:
        if record_type in ("TXT", "SPF"):
            return _fatal(
                "CharacterStringTooLong" if "255" in str(error) else "InvalidCharacterString", str(error), value
            )
        name, what = _PROBLEMS.get(record_type, (f"{record_type}RRDATANotValid", str(error)))
        return _fatal(name, what, value)
    return None


def normal_value(record_type: str, value: str) -> str:
    """A valid value in the form that comparisons use: names and addresses in one spelling."""
    value = value.strip()
    if record_type in ("CNAME", "NS", "PTR"):
        return value.lower().rstrip(".") + "."
    if record_type == "AAAA":
        try:
            return str(ipaddress.IPv6Address(value))
        except ValueError:
            return value
    return value


def _fatal(name: str, what: str, value: str) -> str:
    shown = value if len(value) <= 100 else value[:100] + "..."
    return f"Invalid Resource Record: 'FATAL problem: {name} ({what}) encountered with '{shown}''"
