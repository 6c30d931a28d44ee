"""Which records answer a question from an origin, and why: zones, CNAME chains, wildcards, delegation, alias trees.

The result is exact, not sampled: every outcome with its probability. Picking one (`choose`), the order of values and
packets are the callers' part, so the DNS server, TestDNSAnswer and `lab dig --explain` can never disagree.
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lab.core.endpoint_name import EndpointName
from lab.core.route53.catalog import Catalog, Group, ZoneTable
from lab.core.route53.name import NameSyntaxError, to_text, to_wire
from lab.core.route53.origin import Origin, Origins
from lab.core.route53.policy import Alternative, Tiers, policy_name, tiers
from lab.core.zone import AliasTarget, RecordSet

NAME_CHAIN_MAX = 16
ALIAS_DEPTH_MAX = 16
MULTIVALUE_MAX = 8


@dataclass(frozen=True)
class Reason:
    """One line of the tree that was walked, indented by `depth`."""

    depth: int
    text: str


@dataclass(frozen=True)
class RRset:
    """Resource records of one name and type. `pick_max` is how many random ones of the values are answered at most."""

    name: bytes
    type: str
    ttl: int
    values: tuple[str, ...]
    pick_max: int | None = None
    record: RecordSet | None = None


@dataclass(frozen=True)
class Outcome:
    """One possible answer, with its probability."""

    probability: float
    rcode: str
    authoritative: bool = True
    answer: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[RRset, ...] = ()
    reason: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Decision:
    """All that a question can be answered with; the probabilities add up to 1.

    `scope_bits` is the prefix length of the client's address for which this holds, 0 if the origin did not matter;
    `consulted` are the health checks whose status it depends on. `zone` is None if the name is in no zone.
    """

    outcomes: tuple[Outcome, ...]
    scope_bits: int = 0
    consulted: tuple[str, ...] = ()
    zone: ZoneTable | None = None


@dataclass(frozen=True)
class _Leaf:
    """Where a walk through one group ended; no RRset means that there is no answer of this type (NODATA)."""

    probability: float
    rrset: RRset | None
    reason: tuple[Reason, ...]


REFUSED = Outcome(1.0, "REFUSED", authoritative=False)


class Resolver:
    """Answers questions from a catalog. `health` tells a health check's status by its id; an unknown id is healthy.

    `endpoint_health` tells whether one of the lab's own resources (a load balancer, an API) is healthy, for aliases
    with EvaluateTargetHealth; for a regional API AWS says that it is, unless API Gateway itself is unavailable.
    """

    def __init__(
        self,
        catalog: Catalog,
        origins: Origins,
        health: Callable[[str], bool],
        endpoint_health: Callable[[EndpointName], bool] = lambda _: True,
    ) -> None:
        self.catalog = catalog
        self._origins = origins
        self._health = health
        self._endpoint_health = endpoint_health

    def decide(self, name: bytes, rtype: str, origin: Origin, *, explain: bool = False) -> Decision:
        """Every possible answer to a question of class IN."""
        zone = self.catalog.zone_of(name)
        if zone is None:
            text = f"{to_text(name)} is in none of the hosted zones"
            return Decision((replace(REFUSED, reason=(Reason(0, text),)) if explain else REFUSED,))
        walk = _Walk(self, self.catalog, self._origins, origin, explain)
        outcomes = walk.chain(zone, name, rtype, (), 1.0, ())
        return Decision(tuple(outcomes), walk.scope_bits, tuple(walk.consulted), zone)

    def is_healthy(self, zone: ZoneTable, record: RecordSet, consulted: dict[str, None], depth: int = 0) -> bool:
        """A record's health: its health check's status, and its target's where EvaluateTargetHealth is set.

        The health checks whose status was looked at are added to `consulted`.
        """
        if record.health_check_id is not None:
            consulted[record.health_check_id] = None
            if not self._health(record.health_check_id):
                return False
        alias = record.alias
        if alias is None or not alias.evaluate_target_health:
            return True
        if depth >= ALIAS_DEPTH_MAX:
            return False
        target_zone, group, endpoint = self.target(zone, alias, record.type)
        if endpoint is not None:
            return self._endpoint_health(endpoint)
        return any(self.is_healthy(target_zone, member, consulted, depth + 1) for member in group)

    def target(self, zone: ZoneTable, alias: AliasTarget, rtype: str) -> tuple[ZoneTable, Group, EndpointName | None]:
        """What an alias points to: a group of records of the zone that it names, or one of the lab's own names."""
        try:
            name = to_wire(alias.dns_name)
        except NameSyntaxError:
            return zone, (), None
        target_zone = self.catalog.zone_by_id(alias.hosted_zone_id)
        if target_zone is None:
            endpoint = self.catalog.endpoints.get(name)
            if endpoint is None and name.startswith(b"\x09dualstack"):
                endpoint = self.catalog.endpoints.get(name[10:])
            return zone, (), endpoint
        groups = target_zone.at(name)
        if groups is None:
            wildcard = target_zone.wildcard_for(name)
            groups = target_zone.at(wildcard) if wildcard is not None else None
        return target_zone, (groups or {}).get(rtype, ()), None

    def health_words(self, zone: ZoneTable, record: RecordSet) -> str:
        """Why a record is healthy or not, for a reader."""
        parts = []
        if record.health_check_id is not None:
            status = "healthy" if self._health(record.health_check_id) else "unhealthy"
            parts.append(f"health check {record.health_check_id} {status}")
        if record.alias is not None and record.alias.evaluate_target_health:
            without = replace(record, health_check_id=None)
            parts.append(f"target {'healthy' if self.is_healthy(zone, without, {}) else 'unhealthy'}")
        return " and ".join(parts) or "no health check, so healthy"


@dataclass
class _Walk:
    """One question's way through zones and groups; `scope_bits` grows when a policy looks at the origin."""

    resolver: Resolver
    catalog: Catalog
    origins: Origins
    origin: Origin
    explain: bool
    scope_bits: int = 0
    consulted: dict[str, None] = field(default_factory=dict)

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
        group = groups.get(rtype)
        if group is None and "CNAME" in groups and rtype != "CNAME":
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
        leaves: list[_Leaf] = []
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
        for tier in ranked.tiers:
            healthy = [a for a in tier if self.resolver.is_healthy(zone, a.record, self.consulted)]
            if self.explain and ranked.policy != "simple":
                for alternative in tier:
                    words = self.resolver.health_words(zone, alternative.record)
                    reason = self._note(reason, depth + 1, f"{_title(alternative.record)}: {alternative.note}; {words}")
            if healthy:
                return healthy, reason
        reason = self._note(reason, depth + 1, "no record is healthy: all are treated as healthy")
        return list(ranked.tiers[0]), reason

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
        target_zone, group, endpoint = self.resolver.target(zone, record.alias, record.type)
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


def negative_soa(zone: ZoneTable) -> RRset:
    """The SOA of a negative answer, with the TTL that RFC 2308 gives it: the lesser of its own and its minimum."""
    record = zone.groups[zone.name]["SOA"][0]
    value = record.values[0]
    minimum = int(value.split()[-1])
    return RRset(zone.name, "SOA", min(record.ttl or 0, minimum), (value,), None, record)


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


def choose(decision: Decision, rng: random.Random) -> Outcome:
    """One outcome, by probability."""
    outcomes = decision.outcomes
    if len(outcomes) == 1:
        return outcomes[0]
    return rng.choices(outcomes, [outcome.probability for outcome in outcomes])[0]


def shuffled(rrset: RRset, rng: random.Random) -> tuple[str, ...]:
    """An RRset's values as one answer carries them: in random order, at most `pick_max` of them."""
    values = rrset.values
    if len(values) < 2:
        return values
    count = len(values) if rrset.pick_max is None else min(rrset.pick_max, len(values))
    return tuple(rng.sample(values, count))
