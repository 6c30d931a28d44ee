"""One zone as a table: which record sets a name has, where a wildcard or a delegation stands.

Built from a published zone, or from the table before it where little changed. Which record of a group answers is
`policy`'s and `walk`'s business.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace

from lab.core.route53.name import NameSyntaxError, ancestors, parent, to_text, to_wire
from lab.core.route53.rdata import TYPE_NUMBERS
from lab.core.zone import HostedZone, RecordSet

NS_TTL_S = 172800
SOA_TTL_S = 900
CHANGES_MAX = 2_000
_WILDCARD = b"\x01*"
Group = tuple[RecordSet, ...]


def name_servers(zone_id: str) -> tuple[str, ...]:
    """Four server names of the form that Route 53 gives to a zone, always the same for one zone."""
    number = zlib.crc32(zone_id.encode())
    return tuple(
        f"ns-{512 * n + (number >> (5 * n)) % 512}.awsdns-{(number >> (3 * n)) % 64:02d}.{tld}."
        for n, tld in enumerate(("com", "net", "org", "co.uk"))
    )


def apex_records(zone_id: str, name: str) -> tuple[RecordSet, RecordSet]:
    """The NS and SOA record sets of a new zone.

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html
    """
    servers = name_servers(zone_id)
    soa = f"{servers[0]} awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
    return RecordSet(name, "NS", NS_TTL_S, servers), RecordSet(name, "SOA", SOA_TTL_S, (soa,))


@dataclass
class ZoneTable:
    """One zone. `groups` is keyed by wire name, then type; a name with an empty dict is an empty non-terminal.

    `children` counts the names one label below a name that has some. `skipped` are complaints about records that cannot
    be answered; `source` is what the table was made from.
    """

    zone_id: str
    name: bytes
    text: str
    groups: dict[bytes, dict[str, Group]] = field(default_factory=dict)
    delegations: set[bytes] = field(default_factory=set)
    children: dict[bytes, int] = field(default_factory=dict)
    wildcard_count: int = 0
    skipped: tuple[str, ...] = ()
    source: HostedZone | None = None

    def at(self, name: bytes) -> dict[str, Group] | None:
        """The groups of exactly this name; None if the name does not exist."""
        return self.groups.get(name)

    @property
    def wildcards(self) -> bool:
        """Whether there is any wildcard."""
        return self.wildcard_count > 0

    def wildcard_for(self, name: bytes) -> bytes | None:
        """The wildcard that covers a name which does not exist (RFC 4592: at the closest encloser only)."""
        if not self.wildcard_count:
            return None
        while name != self.name:
            name = parent(name)
            if name in self.groups:
                wildcard = _WILDCARD + name
                return wildcard if wildcard in self.groups else None
        return None

    def delegation_above(self, name: bytes) -> bytes | None:
        """The zone cut at or above a name, the one nearest to the apex."""
        if not self.delegations:
            return None
        cut = None
        for ancestor in ancestors(name):
            if ancestor == self.name:
                break
            if ancestor in self.delegations:
                cut = ancestor
        return cut


def build_zone_table(zone: HostedZone) -> ZoneTable:
    """The table of a zone."""
    apex = to_wire(zone.name)
    table = ZoneTable(zone.zone_id, apex, to_text(apex), source=zone)
    grouped, table.skipped = _grouped(zone.record_sets)
    _put(table, apex, grouped.pop(apex, {}))
    for name, types in grouped.items():
        _put(table, name, types)
    return table


def changed_zone_table(before: ZoneTable, zone: HostedZone) -> ZoneTable | None:
    """The table of a zone that differs little from the one before; None if it must be built anew."""
    if before.source is None or before.skipped or (before.zone_id, before.source.name) != (zone.zone_id, zone.name):
        return None
    old, new = before.source.record_sets, zone.record_sets
    shorter = min(len(old), len(new))
    head = next((n for n, pair in enumerate(zip(old, new, strict=False)) if pair[0] is not pair[1]), shorter)
    tail = 0
    while tail < shorter - head and old[-1 - tail] is new[-1 - tail]:
        tail += 1
    gone, come = _differing(old[head : len(old) - tail], new[head : len(new) - tail])
    if len(gone) + len(come) > CHANGES_MAX:
        return None
    texts = dict.fromkeys(record.name for record in (*gone, *come))
    grouped, skipped = _grouped(tuple(record for record in new if record.name in texts))
    if skipped:
        return None
    table = replace(
        before,
        groups=dict(before.groups),
        delegations=set(before.delegations),
        children=dict(before.children),
        source=zone,
    )
    for name in map(to_wire, texts):
        _put(table, name, grouped.get(name, {}))
    return table


def _differing(old: Group, new: Group) -> tuple[Group, Group]:
    """What is only in the one and only in the other; what changed at two ends of a zone leaves the rest alone."""
    stay = set(map(id, old)) & set(map(id, new))
    return tuple(r for r in old if id(r) not in stay), tuple(r for r in new if id(r) not in stay)


def _grouped(records: tuple[RecordSet, ...]) -> tuple[dict[bytes, dict[str, Group]], tuple[str, ...]]:
    lists: dict[bytes, dict[str, list[RecordSet]]] = {}
    skipped: list[str] = []
    for record in records:
        try:
            name = to_wire(record.name)
        except NameSyntaxError as error:
            skipped.append(str(error))
            continue
        if record.type not in TYPE_NUMBERS:
            skipped.append(f"{record.name} has the unknown type {record.type}")
            continue
        lists.setdefault(name, {}).setdefault(record.type, []).append(record)
    return {name: {t: tuple(g) for t, g in types.items()} for name, types in lists.items()}, tuple(skipped)


def _put(table: ZoneTable, name: bytes, types: dict[str, Group]) -> None:
    """Let a name have these records and no others; the names above it come and go with it."""
    if name == table.name:
        types = {**{record.type: (record,) for record in apex_records(table.zone_id, table.text)}, **types}
    elif "NS" in types:
        table.delegations.add(name)
    else:
        table.delegations.discard(name)
    groups, children = table.groups, table.children
    known = name in groups
    groups[name] = types
    while not known and name != table.name and name[0]:
        table.wildcard_count += name.startswith(_WILDCARD)
        name = parent(name)
        children[name] = children.get(name, 0) + 1
        known = name in groups
        groups.setdefault(name, {})
    while not groups[name] and name not in children and name != table.name and name[0]:
        del groups[name]
        table.wildcard_count -= name.startswith(_WILDCARD)
        name = parent(name)
        children[name] -= 1
        if not children[name]:
            del children[name]
