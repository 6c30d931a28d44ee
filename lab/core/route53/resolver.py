"""Which records answer a question from an origin, and why. One function for DNS, TestDNSAnswer and explanations alike.

The result is exact, not sampled: every outcome with its probability. Picking one, the order of values and packets are
the callers' part.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from lab.core.endpoint_name import EndpointName
from lab.core.route53.answer import REFUSED, Decision, Reason
from lab.core.route53.catalog import Catalog, ZoneTable
from lab.core.route53.name import parent, to_text
from lab.core.route53.origin import Origin, Origins
from lab.core.route53.record_health import RecordHealth
from lab.core.route53.walk import TooManyOutcomes, Walk


class Resolver:
    """Answers questions from a catalog. `health` tells a health check's status by its id; an unknown id is healthy.

    `endpoint_health` tells whether one of the lab's own resources (a load balancer, an API) is healthy, for aliases
    with EvaluateTargetHealth. `rng` is drawn from only for explanations and for trees of thousands of outcomes;
    `exists`, also for explanations, tells whether there is a health check with an id.
    """

    def __init__(
        self,
        catalog: Catalog,
        origins: Origins,
        health: Callable[[str], bool],
        rng: random.Random,
        endpoint_health: Callable[[EndpointName], bool] = lambda _: True,
        exists: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.catalog = catalog
        self._origins = origins
        self._health = health
        self._rng = rng
        self._endpoint_health = endpoint_health
        self._exists = exists

    def decide(self, name: bytes, rtype: str, origin: Origin) -> Decision:
        """Every possible answer to a question of class IN; `name` is lower-case wire form."""
        zone = self._zone_for(name, rtype)
        if zone is None:
            return Decision((REFUSED,))
        walk = self._walk(origin)
        try:
            outcomes = walk.chain(zone, name, rtype, (), 1.0, ())
        except TooManyOutcomes:
            return replace(self._drawn(zone, name, rtype, origin, explain=False), sampled=True)
        return Decision(tuple(outcomes), walk.scope_bits, tuple(walk.health.consulted), zone)

    def explain(self, name: bytes, rtype: str, origin: Origin) -> Decision:
        """One possible answer, drawn by chance, with the reasons for it."""
        zone = self._zone_for(name, rtype)
        if zone is None:
            reason = Reason(0, f"{to_text(name)} is in none of the hosted zones")
            return Decision((replace(REFUSED, reason=(reason,)),))
        return self._drawn(zone, name, rtype, origin, explain=True)

    def _zone_for(self, name: bytes, rtype: str) -> ZoneTable | None:
        """The zone that answers a question: at a zone cut the DS record is the parent's (RFC 4035, 3.1.4.1)."""
        zone = self.catalog.zone_of(name)
        if rtype == "DS" and zone is not None and zone.name == name and name[0]:
            above = self.catalog.zone_of(parent(name))
            return above if above is not None and name in above.delegations else zone
        return zone

    def _drawn(self, zone: ZoneTable, name: bytes, rtype: str, origin: Origin, *, explain: bool) -> Decision:
        walk = self._walk(origin)
        walk.rng, walk.explain = self._rng, explain
        outcomes = walk.chain(zone, name, rtype, (), 1.0, ())
        return Decision(tuple(outcomes), walk.scope_bits, tuple(walk.health.consulted), zone)

    def _walk(self, origin: Origin) -> Walk:
        health = RecordHealth(self.catalog, self._health, self._endpoint_health, self._exists)
        return Walk(self.catalog, self._origins, health, origin)
