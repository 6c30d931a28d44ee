"""Whether a request's XML is of the form that AWS's model gives it: known elements, each once, values of their types.

AWS checks requests against a schema before anything else (https://docs.aws.amazon.com/Route53/latest/APIReference/).
The parser takes what it finds: a misspelt member would be dropped and `maybe` would be false. Left out: the namespace,
and the order of elements. Missing members, enums, lengths and ranges are `validation`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from lab.control.aws_error import AwsError

_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")


def check_xml(shape: Any, body: bytes) -> None:
    """Raises AwsError (InvalidInput, MalformedInput) for a body that is not of an operation's input `shape`."""
    name = shape.serialization.get("name")
    if not body or name is None:
        return
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two are of unknown encodings
        raise AwsError("MalformedInput", f"The request body is not XML: {error}") from error
    if _tag(root) != name:
        problem: str | None = f"the document is {_tag(root)}, expected {name}"
    else:
        members = {key: member for key, member in shape.members.items() if "location" not in member.serialization}
        problem = next(_structure_problems(members, root), None)
    if problem is not None:
        raise AwsError("InvalidInput", f"Invalid XML: {problem}")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _structure_problems(members: dict[str, Any], element: ElementTree.Element) -> Iterator[str]:
    known = {member.serialization.get("name", key): member for key, member in members.items()}
    seen: set[str] = set()
    yield from _text_problems(element)
    for child in element:
        tag = _tag(child)
        if tag not in known:
            yield f"{_tag(element)} has no member {tag}, only {', '.join(known)}"
        elif tag in seen:
            yield f"{tag} is given twice in {_tag(element)}"
        else:
            seen.add(tag)
            yield from _problems(known[tag], child)


def _problems(shape: Any, element: ElementTree.Element) -> Iterator[str]:
    tag, text = _tag(element), element.text or ""
    match shape.type_name:
        case "structure":
            yield from _structure_problems(shape.members, element)
        case "list":
            wanted = shape.member.serialization.get("name", "member")
            yield from _text_problems(element)
            for child in element:
                if _tag(child) != wanted:
                    yield f"{tag} has {_tag(child)}, expected {wanted}"
                yield from _problems(shape.member, child)
        case _ if len(element):
            yield f"{tag} has the element {_tag(element[0])}, expected a value"
        case "boolean" if text not in ("true", "false"):
            yield f"{tag} is {text!r:.200}, expected true or false"
        case "integer" | "long" if not _WHOLE.fullmatch(text.strip()):
            yield f"{tag} is {text!r:.200}, expected a whole number"


def _text_problems(element: ElementTree.Element) -> Iterator[str]:
    """Text has no place where elements are expected."""
    texts = (element.text, *(child.tail for child in element))
    found = next((text.strip() for text in texts if text and text.strip()), None)
    if found is not None:
        yield f"{_tag(element)} has the text {found!r:.200}, expected elements"
