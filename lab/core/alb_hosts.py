"""The Host names that a load balancer of the lab answers to.

AWS's answers to any. Here a web page whose owner points its name at a loopback address (DNS rebinding) must not be
able to read what the lab serves, so a name has to be one that the lab knows: addresses, load balancers', accelerators',
names in the lab's hosted zones, and what the load balancer's own host-header rules name.
"""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass

from lab.core.accelerator import Accelerators
from lab.core.alb_rules import RuleRequest, condition_holds
from lab.core.load_balancer import Condition, LoadBalancer
from lab.core.zone import Zones


@dataclass(frozen=True)
class KnownHosts:
    """The names of one load balancer, lower case without a final dot; `suffixes` begin with a dot."""

    names: frozenset[str]
    suffixes: tuple[str, ...]
    conditions: tuple[Condition, ...]

    def allows(self, host: str) -> bool:
        """Whether `host`, a name in lower case without port, is known."""
        if host in self.names or host.endswith(self.suffixes) or is_address(host):
            return True
        asked = RuleRequest("GET", host, "/", (), (), "127.0.0.1")
        return any(condition_holds(condition, asked) for condition in self.conditions)


@functools.lru_cache(maxsize=1024)
def is_address(host: str) -> bool:
    """Whether a Host is an address, which no DNS can point elsewhere."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def known_hosts(balancer: LoadBalancer, zones: Zones, accelerators: Accelerators, domain: str) -> KnownHosts:
    """What a load balancer answers to; `domain` is the lab's own."""
    zone_names = [domain, *(zone.name.rstrip(".").lower() for zone in zones.zones)]
    names = {"localhost", balancer.dns_name.lower(), *zone_names}
    names.update(accelerator.dns_name.rstrip(".").lower() for accelerator in accelerators.accelerators)
    conditions = tuple(
        condition
        for listener in balancer.listeners
        for rule in listener.rules
        for condition in rule.conditions
        # A pattern such as "*" would let every name in.
        if condition.field == "host-header" and not condition.regex_values and "*" not in condition.values
    )
    return KnownHosts(frozenset(names), (".localhost", *(f".{name}" for name in zone_names)), conditions)
