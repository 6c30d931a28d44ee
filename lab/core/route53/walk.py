"""The walk from a question to its answers: zones, CNAME chains, wildcards, delegation, alias trees.

Which records of a group come first is `policy`'s business, which are healthy `record_health`'s.
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from lab.core.route53.answer import Outcome, Reason, RRset, negative_soa
from lab.core.route53.catalog import Catalog, Group, ZoneTable
from lab.core.route53.name import to_text, to_wire
from lab.core.route53.origin import Origin, Origins
from lab.core.route53.policy import Alternative, Tier, Tiers, policy_name, tiers
from lab.core.route53.record_health import RecordHealth
from lab.core.zone import RecordSet

NAME_CHAIN_MAX = 16
ALIAS_DEPTH_MAX = 64
MULTIVALUE_MAX = 8
OUTCOMES_MAX = 4_096


class TooManyOutcomes(Exception):
    """A walk would end in more outcomes than are worth listing."""


@dataclass(frozen=True)
class _Leaf:
    """Where a walk through one group ended; no RRset means that there is no answer of this type (NODATA)."""

    probability: float
    rrset: RRset | None
    reason: tuple[Reason, ...]


@dataclass
class Walk:
    """One question's way through zones and groups; `scope_bits` grows when a policy looks at the origin.

    Without `rng` every alternative is followed (raises TooManyOutcomes); with it one is drawn where there is a choice.
    """

    catalog: Catalog
    origins: Origins
    health: RecordHealth
    origin: Origin
    explain: bool = False
    rng: random.Random | None = None
    scope_bits: int = 0
    _leaf_count: int = 0

    def _note(self, reason: tuple[Reason, ...], depth: int, text: str) -> tuple[Reason, ...]:
        return (*reason, Reason(depth, text)) if self.explain else reason

    def chain(
        self,
        zone: ZoneTable,
        name: bytes,
        rtype: str,
        before: tuple[RRset, ...],
        probability: float,
        reason: tuple[Reason, ...],
    ) -> list[Outcome]:
        """The outcomes for one name of a chain of CNAMEs; `before` is the chain so far."""
        depth = len(before)
        cut = zone.delegation_above(name)
        if cut is not None and not (cut == name and rtype == "DS"):
            return [self._referral(zone, cut, before, probability, reason)]
        groups = zone.at(name)
        if groups is None:
            wildcard = zone.wildcard_for(name)
            if wildcard is None:
                text = f"{to_text(name)} does not exist in {zone.text}" if self.explain else ""
                return [self._negative(zone, "NXDOMAIN", before, probability, self._note(reason, depth, text))]
            reason = self._note(reason, depth, f"{to_text(wildcard)} covers {to_text(name)}" if self.explain else "")
            groups = zone.at(wildcard) or {}
        # ANY matches the CNAME itself (RFC 1034, 3.6.2): it is not followed.
        group = groups.get("CNAME" if rtype == "ANY" else rtype)
        if group is None and "CNAME" in groups:
            return self._through_cname(zone, name, rtype, groups["CNAME"], before, probability, reason)
        if group is None:
            text = f"{to_text(name)} exists but has no {rtype} records" if self.explain else ""
            return [self._negative(zone, "NOERROR", before, probability, self._note(reason, depth, text))]
        outcomes = []
        for leaf in self._leaves(zone, name, group, probability, reason, depth, 0):
            if leaf.rrset is None:
                outcomes.append(self._negative(zone, "NOERROR", before, leaf.probability, leaf.reason))
            else:
                outcomes.append(Outcome(leaf.probability, "NOERROR", answer=(*before, leaf.rrset), reason=leaf.reason))
        return outcomes

    def _through_cname(
        self,
        zone: ZoneTable,
        name: bytes,
        rtype: str,
        group: Group,
        before: tuple[RRset, ...],
        probability: float,
        reason: tuple[Reason, ...],
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for leaf in self._leaves(zone, name, group, probability, reason, len(before), 0):
            if leaf.rrset is None:
                outcomes.append(self._negative(zone, "NOERROR", before, leaf.probability, leaf.reason))
                continue
            chain = (*before, leaf.rrset)
            target = to_wire(leaf.rrset.values[0])
            seen = any(rrset.name == target for rrset in chain)
            # Route 53 follows a CNAME inside its zone; beyond it the client's resolver asks again.
            if seen or len(chain) >= NAME_CHAIN_MAX or self.catalog.zone_of(target) is not zone:
                outcomes.append(Outcome(leaf.probability, "NOERROR", answer=chain, reason=leaf.reason))
                continue
            followed = self._note(leaf.reason, len(chain), f"CNAME to {to_text(target)}" if self.explain else "")
            outcomes += self.chain(zone, target, rtype, chain, leaf.probability, followed)
        return outcomes

    def _leaves(
        self,
        zone: ZoneTable,
        owner: bytes,
        group: Group,
        probability: float,
        reason: tuple[Reason, ...],
        depth: int,
        aliases: int,
    ) -> list[_Leaf]:
        """Where the walk through one group can end, for the name `owner`."""
        ranked = tiers(group, self.origin, self.origins, self.catalog.collections)
        self.scope_bits = max(self.scope_bits, ranked.scope_bits)
        if self.explain:
            text = f"{group[0].name} {group[0].type}: {ranked.policy}, {len(group)} record" + "s" * (len(group) > 1)
            if ranked.scope_bits:
                text += f", for {self.origin}"
            reason = self._note(reason, depth, text)
        if not ranked.tiers:
            return [
                _Leaf(probability, None, self._note(reason, depth + 1, "no record is for this location: no answer"))
            ]
        alternatives, reason = self._eligible(zone, ranked, reason, depth)
        if ranked.merge:
            return [_Leaf(probability, _merged(owner, alternatives), reason)]
        total = sum(alternative.weight for alternative in alternatives)
        if self.rng is not None:
            alternatives = self.rng.choices(alternatives, [alternative.weight for alternative in alternatives])
        leaves: list[_Leaf] = []
        self._leaf_count += len(alternatives)
        if self._leaf_count > OUTCOMES_MAX:
            raise TooManyOutcomes
        for alternative in alternatives:
            share = probability * alternative.weight / total
            chosen = reason
            if self.explain and ranked.policy != "simple":
                chosen = self._note(reason, depth + 1, _chosen(alternative, total))
            leaves += self._record_leaves(zone, owner, alternative.record, share, chosen, depth + 1, aliases)
        return leaves

    def _eligible(
        self, zone: ZoneTable, ranked: Tiers, reason: tuple[Reason, ...], depth: int
    ) -> tuple[list[Alternative], tuple[Reason, ...]]:
        """The alternatives of the first tier with a healthy one; all of the best tier when nothing is healthy."""
        telling = self.explain and ranked.policy != "simple"
        for number, tier in enumerate(ranked.tiers):
            healthy = [a for a in tier if self.health.is_healthy(zone, a.record)]
            if telling:
                reason = self._judged(zone, tier, reason, depth + 1)
            if healthy:
                for later in ranked.tiers[number + 1 :] if telling else ():
                    reason = self._judged(zone, later, reason, depth + 1, ", comes after")
                return healthy, reason
        reason = self._note(reason, depth + 1, "no record is healthy: all are treated as healthy")
        return list(ranked.tiers[0]), reason

    def _judged(
        self, zone: ZoneTable, tier: Tier, reason: tuple[Reason, ...], depth: int, rank: str = ""
    ) -> tuple[Reason, ...]:
        """What is to be said of each alternative of a tier: what ranks it, and its health."""
        for alternative in tier:
            words = self.health.words(zone, alternative.record)
            text = f"{_title(alternative.record)}: {alternative.note}; {words}{rank}"
            reason = self._note(reason, depth, text)
        return reason

    def _record_leaves(
        self,
        zone: ZoneTable,
        owner: bytes,
        record: RecordSet,
        probability: float,
        reason: tuple[Reason, ...],
        depth: int,
        aliases: int,
    ) -> list[_Leaf]:
        if record.alias is None:
            return [_Leaf(probability, RRset(owner, record.type, record.ttl or 0, record.values, None, record), reason)]
        target_zone, group, endpoint = self.health.target(zone, record.alias, record.type)
        if endpoint is not None and record.type == "A" and endpoint.addresses:
            reason = self._note(reason, depth + 1, f"alias to {endpoint.name} ({endpoint.kind})")
            return [_Leaf(probability, RRset(owner, "A", endpoint.ttl, endpoint.addresses, None, record), reason)]
        if not group or aliases >= ALIAS_DEPTH_MAX:
            text = f"alias to {record.alias.dns_name}, which has no {record.type} records: no answer"
            return [_Leaf(probability, None, self._note(reason, depth + 1, text))]
        reason = self._note(reason, depth + 1, f"alias to {record.alias.dns_name}")
        return self._leaves(target_zone, owner, group, probability, reason, depth + 1, aliases + 1)

    def _negative(
        self, zone: ZoneTable, rcode: str, before: tuple[RRset, ...], probability: float, reason: tuple[Reason, ...]
    ) -> Outcome:
        return Outcome(probability, rcode, answer=before, authority=(negative_soa(zone),), reason=reason)

    def _referral(
        self, zone: ZoneTable, cut: bytes, before: tuple[RRset, ...], probability: float, reason: tuple[Reason, ...]
    ) -> Outcome:
        groups = zone.at(cut) or {}
        record = groups["NS"][0]
        servers = RRset(cut, "NS", record.ttl or 0, record.values, None, record)
        glue = []
        for value in record.values:
            name = to_wire(value)
            for rtype in ("A", "AAAA"):
                for address in (zone.at(name) or {}).get(rtype, ())[:1]:
                    if address.alias is None:
                        glue.append(RRset(name, rtype, address.ttl or 0, address.values, None, address))
        reason = self._note(reason, len(before), f"{to_text(cut)} is delegated" if self.explain else "")
        return Outcome(probability, "NOERROR", bool(before), before, (servers,), tuple(glue), reason=reason)


def _title(record: RecordSet) -> str:
    return record.set_identifier or policy_name(record)


def _chosen(alternative: Alternative, total: float) -> str:
    share = "" if alternative.weight == total else f" with probability {alternative.weight / total:.3g}"
    return f"{_title(alternative.record)}: chosen{share}"


def _merged(owner: bytes, alternatives: list[Alternative]) -> RRset:
    """Multivalue: up to eight of all values, any eight."""
    record = alternatives[0].record
    values = tuple(dict.fromkeys(value for alternative in alternatives for value in alternative.record.values))
    return RRset(owner, record.type, record.ttl or 0, values, MULTIVALUE_MAX, record)
