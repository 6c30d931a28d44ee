"""The address that a probe goes to: as configured, from the table of the lab's names, or through its zones."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable

from lab.core.checkers import Checker
from lab.core.endpoint_name import EndpointNames
from lab.core.health_check import HealthCheck
from lab.core.route53.answer import choose, shuffled
from lab.core.route53.catalog import Catalog
from lab.core.route53.name import NameSyntaxError, to_wire
from lab.core.route53.origin import Origin, Origins
from lab.core.route53.resolver import Resolver
from lab.core.topology import Place, Topology
from lab.core.zone import Zones
from lab.data import geography
from lab.live.documents import DocumentStore


class ProbeTargets:
    """Looks targets up in the current documents. `health` is what aliases and records are judged by."""

    def __init__(self, topology: Topology, store: DocumentStore, health: Callable[[str], bool]) -> None:
        self._topology = topology
        self._store = store
        self._health = health
        self._resolver: Resolver | None = None
        self._catalog: Catalog | None = None
        self._names: dict[str, str] | None = None
        self._rng = random.Random(f"{topology.seed}/probe-targets")

    def forget(self) -> None:
        """The documents have changed."""
        self._resolver = self._names = None

    def address(self, check: HealthCheck, checker: Checker) -> str | None:
        """An IPv4 or IPv6 address, or None if the name has no A record. Names are looked up at every probe."""
        if check.ip_address is not None:
            return check.ip_address
        name = (check.fully_qualified_domain_name or "").lower().rstrip(".") + "."
        if self._names is None:
            endpoints = self._store.get(EndpointNames).names
            self._names = {endpoint.name: endpoint.addresses[0] for endpoint in endpoints if endpoint.addresses}
        return self._names.get(name) or self._through_zones(name, checker)

    def _through_zones(self, name: str, checker: Checker) -> str | None:
        if self._resolver is None:
            # Built from the one before: a zone of ten thousand records anew would hold up the answers of this process.
            self._catalog = Catalog(self._store.get(Zones), self._store.get(EndpointNames), self._catalog)
            self._resolver = Resolver(self._catalog, Origins(self._topology, geography()), self._health, self._rng)
        try:
            decision = self._resolver.decide(to_wire(name), "A", _origin(checker))
        except NameSyntaxError:
            return None
        answer = choose(decision, self._rng).answer
        addresses = [value for rrset in answer if rrset.type == "A" for value in shuffled(rrset, self._rng)]
        return addresses[0] if addresses else None


def _origin(checker: Checker) -> Origin:
    """A checker asks from its region."""
    place = Place(checker.region, geography().regions[checker.region], "", "", None, f"{checker.address}/32")
    return Origin(place, ipaddress.IPv4Network(checker.address), 32, True)
