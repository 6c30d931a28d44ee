"""Items, keys and stream records of DynamoDB's JSON as the core takes them: canonical bytes and digests.

Two images of one content have the same bytes: attributes sorted, sets sorted, numbers of keys in one form.
"""

from __future__ import annotations

from decimal import Context, Decimal
from hashlib import blake2b
from typing import Any

import orjson

from lab.core.conflict import Version
from lab.core.item import Record
from lab.core.table import KeyAttribute

EXACT = Context(prec=40)
"""DynamoDB's numbers have up to 38 digits, more than Python's arithmetic keeps unless it is told."""
SETS = ("SS", "NS", "BS")


def encode_image(item: dict[str, Any]) -> tuple[bytes, int]:
    """The canonical bytes of an item, and their digest: 63 bits, never 0."""
    data = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
    if b'"SS"' in data or b'"NS"' in data or b'"BS"' in data:
        data = orjson.dumps({name: _sorted_sets(value) for name, value in item.items()}, option=orjson.OPT_SORT_KEYS)
    return data, digest_of(data)


def digest_of(data: bytes) -> int:
    """63 bits of a hash, never 0."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") >> 1 or 1


def _sorted_sets(value: Any) -> Any:
    ((kind, content),) = value.items()
    if kind in SETS:
        return {kind: sorted(content)}
    if kind == "L":
        return {kind: [_sorted_sets(element) for element in content]}
    if kind == "M":
        return {kind: {name: _sorted_sets(element) for name, element in content.items()}}
    return value


def encode_key(key: tuple[KeyAttribute, ...], item: dict[str, Any]) -> bytes:
    """The canonical bytes of an item's primary key; `decode_key` gives back what DynamoDB takes."""
    return orjson.dumps([_key_value(attribute, item[attribute.name][attribute.type]) for attribute in key])


def key_if_any(key: tuple[KeyAttribute, ...], item: dict[str, Any]) -> bytes | None:
    """As `encode_key`; None of an item without this key, as of another table of that name that is gone."""
    try:
        return encode_key(key, item)
    except KeyError:
        return None


def decode_key(key: tuple[KeyAttribute, ...], data: bytes) -> dict[str, Any]:
    """The primary key as DynamoDB's JSON."""
    return {a.name: {a.type: value} for a, value in zip(key, orjson.loads(data), strict=True)}


def _key_value(attribute: KeyAttribute, value: str) -> str:
    if attribute.type != "N":
        return value
    if value.isdigit() and len(value) < 20 and (value == "0" or value[0] != "0"):
        return value
    number = EXACT.normalize(Decimal(value))
    return format(number, "f") if number else "0"  # of two zeros


def decode_record(key: bytes, record: dict[str, Any], legacy_region: str | None = None) -> Record:
    """A record of `GetRecords` of an item with this key; `legacy_region` if the table is of version 2017.11.29."""
    change = record["dynamodb"]
    sequence: str = change["SequenceNumber"]
    new, old = change.get("NewImage"), change.get("OldImage")
    image, digest = encode_image(new) if new else (None, 0)
    held_digest = None
    if legacy_region is not None and new and "lab" not in record:
        held_digest = digest
        image, digest = encode_image({**new, **replication_attributes(legacy_region, int(sequence[:20]))})
    old_image, old_digest = encode_image(old) if old else (None, 0)
    return Record(
        key=key,
        time_ms=int(sequence[:20]),
        position=int(sequence[20:]),
        image=image,
        digest=digest,
        old_image=old_image,
        old_digest=old_digest,
        mark=decode_version(record["lab"]) if "lab" in record else None,
        held_digest=held_digest,
    )


def replication_attributes(region: str, time_ms: int) -> dict[str, Any]:
    """What DynamoDB's global tables of version 2017.11.29 write into an item after it was written in a region.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables_HowItWorks.html
    """
    return {
        "aws:rep:deleting": {"BOOL": False},
        "aws:rep:updateregion": {"S": region},
        "aws:rep:updatetime": {"N": f"{time_ms // 1000}.{time_ms % 1000:03d}001"},
    }


def encode_version(version: Version) -> str:
    """A version as a mark on a stream record; it has no space."""
    return f"{version.time_ms}.{version.counter}.{version.region}"


def decode_version(mark: str) -> Version:
    """The version that a mark stands for."""
    time_ms, counter, region = mark.split(".", 2)
    return Version(int(time_ms), region, int(counter))
