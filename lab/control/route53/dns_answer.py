"""TestDNSAnswer: what the DNS server would answer, asked of the DNS server's own decision.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_TestDNSAnswer.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53 import names
from lab.control.route53.delegation_sets import delegation_set_of
from lab.control.route53.state import Route53State
from lab.core.geography import Geography, great_circle_km
from lab.core.topology import Topology
from lab.core.whole_number import whole_number

DEFAULT_BITS = {4: 24, 6: 64}
Resolve = Callable[[dict[str, str]], Awaitable[dict[str, Any]]]
"""Parameters of `GET /resolve` (docs/architecture.md) to its answer, with `error` if there is none."""


class DnsAnswerPlane:
    """The operation. `default_resolver` is the address of a resolver in us-east-1."""

    def __init__(self, state: Route53State, resolve: Resolve, default_resolver: str) -> None:
        self._state, self._resolve, self._default_resolver = state, resolve, default_resolver

    async def test_dns_answer(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        zone = self._state.zone(given["HostedZoneId"])
        name, record_type = names.kept(given["RecordName"]), given["RecordType"]
        if not names.lies_in(name, zone.name):
            raise AwsError("InvalidInput", f"The name {names.shown(name)} is not in the hosted zone {zone.name}")
        query = {"name": name, "type": record_type, "resolver": self._default_resolver}
        if given.get("ResolverIP"):
            query["resolver"] = str(_address("ResolverIP", given["ResolverIP"]))
        subnet = _subnet(given)
        if subnet is not None:
            query["client"] = subnet
        answer = await self._resolve(query)
        if "error" in answer:
            raise AwsError("ServiceUnavailable", f"the DNS server does not answer: {answer['error']}", status=503)
        return {
            "Nameserver": delegation_set_of(zone, self._state.value.delegation_sets)["NameServers"][0],
            "RecordName": names.shown(name).rstrip("."),
            "RecordType": record_type,
            "RecordData": [record["value"] for record in answer["answers"]],
            "ResponseCode": answer["rcode"],
            "Protocol": "UDP",
        }


def resolver_near(region: str, topology: Topology, geography: Geography) -> str:
    """The address of a resolver in the place that is nearest to a region."""
    here = geography.regions[region]
    if not topology.places:
        return "127.0.0.1"
    place = min(topology.places, key=lambda place: (great_circle_km(place.coordinates, here), place.name))
    return str(ipaddress.ip_network(place.subnet).network_address + 1)


def _address(member: str, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        if "%" in text:
            raise ValueError("a scope has no place in it")
        return ipaddress.ip_address(text)
    except ValueError:
        raise AwsError("InvalidInput", f"Invalid {member} {text!r}: expected an IPv4 or IPv6 address") from None


def _subnet(given: dict[str, Any]) -> str | None:
    text, mask = given.get("EDNS0ClientSubnetIP"), given.get("EDNS0ClientSubnetMask")
    if not text:
        if mask:
            raise AwsError("InvalidInput", "EDNS0ClientSubnetMask needs an EDNS0ClientSubnetIP")
        return None
    address = _address("EDNS0ClientSubnetIP", text)
    bits = DEFAULT_BITS[address.version] if mask is None else whole_number(mask)
    if bits is None or bits > address.max_prefixlen:
        raise AwsError("InvalidInput", f"Invalid EDNS0ClientSubnetMask {mask!r}: expected 0 to {address.max_prefixlen}")
    return f"{address}/{bits}"
