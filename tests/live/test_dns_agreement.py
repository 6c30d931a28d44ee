"""What `GET /resolve` tells (TestDNSAnswer, `lab dig --explain`) is what the DNS server answers, whatever is asked."""

from __future__ import annotations

import ipaddress
import random
from pathlib import Path

import pytest
from dns_lab import ENDPOINTS, Lab, run

from lab.core.zone import (
    AliasTarget,
    CidrCollection,
    CidrLocation,
    CidrRouting,
    GeoLocation,
    GeoProximityLocation,
    HostedZone,
    RecordSet,
    Zones,
)
from lab.data import places
from lab.live.dns_client import make_query, parse_reply

CHECKS = [f"check-{n}" for n in range(6)]
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "sa-east-1")
LOCATIONS = [GeoLocation(c) for c in ("EU", "NA", "AS")] + [GeoLocation(None, c) for c in ("US", "IE", "JP", "*")]
LOCATIONS.append(GeoLocation(None, "US", "CA"))
SUBNETS = [place.subnet for place in places()]
COLLECTION = CidrCollection(
    "c",
    "c",
    (
        CidrLocation("near", (*SUBNETS[:3], "2001:db8::/32")),
        CidrLocation("wide", ("198.18.0.0/16", "2001:db8:1::/48")),
    ),
)
POINTS = [GeoProximityLocation("us-east-1", bias=20), GeoProximityLocation("eu-west-1", bias=-30)]
POINTS += [GeoProximityLocation(latitude=35.0, longitude=139.0), GeoProximityLocation(None, "us-west-2-lax-1")]
NAMES = ("", "a", "b", "c", "deep.tree", "*.wild", "k.wild", "sub", "x.sub")
ASKED = (*NAMES[:5], "tree", "any.wild", "k.wild", "y.k.wild", "sub", "x.sub", "z.x.sub", "none", "A.DEEP.Tree")
CLIENTS = [*SUBNETS[:6], "198.18.0.0/16", "198.18.1.7/32", "0.0.0.0/0", "203.0.113.0/24", "2001:db8:1::/56", "::/0"]


def conditions(rng: random.Random) -> list[dict[str, object]]:
    """What the record sets of one group are chosen by; always so that chance decides nothing but orders."""
    match rng.choice(("simple", "weighted", "latency", "failover", "geo", "proximity", "cidr", "multivalue")):
        case "weighted":
            return [{"weight": weight} for weight in rng.choice(((7, 0), (7,), (0,)))]
        case "latency":
            return [{"region": region} for region in rng.sample(REGIONS, rng.randint(1, 4))]
        case "failover":
            return [{"failover": half} for half in ("PRIMARY", "SECONDARY")[: rng.randint(1, 2)]]
        case "geo":
            return [{"geo_location": place} for place in rng.sample(LOCATIONS, rng.randint(1, 5))]
        case "proximity":
            return [{"geoproximity": place} for place in rng.sample(POINTS, rng.randint(1, 4))]
        case "cidr":
            names = rng.sample(("near", "wide", "*"), rng.randint(1, 3))
            return [{"cidr": CidrRouting("c", name)} for name in names]
        case "multivalue":
            return [{"multivalue": True} for _ in range(rng.randint(1, 8))]
    return [{}]


def value(rng: random.Random, rtype: str) -> str:
    number = rng.randrange(1, 250)
    match rtype:
        case "A":
            return f"192.0.2.{number}"
        case "AAAA":
            return f"2001:db8::{number:x}"
        case "TXT":
            return f'"text {number}"'
        case "MX":
            return f"{number} mail.lab.test."
    return f"{rng.choice(NAMES[1:5])}.lab.test." if rng.random() < 0.8 else "elsewhere.example."


def a_zone(rng: random.Random) -> HostedZone:
    """Names with record sets of every type and policy, and aliases between them; circles and dead ends too."""
    records: list[RecordSet] = []
    for label in NAMES:
        name = f"{label}.lab.test." if label else "lab.test."
        cname = bool(label) and rng.random() < 0.2
        for rtype in ("CNAME",) if cname else rng.sample(("A", "AAAA", "TXT", "MX"), rng.randint(0, 3)):
            group = [{}] if rtype == "MX" else conditions(rng)
            for number, condition in enumerate([{}] if cname and "multivalue" in group[0] else group):
                alias = rtype in ("A", "AAAA") and "multivalue" not in condition and rng.random() < 0.4
                target = AliasTarget("Z1", f"{rng.choice(NAMES[:5])}.lab.test.".lstrip("."), rng.random() < 0.7)
                values = {value(rng, rtype) for _ in range(rng.randint(1, 3) if not condition else 1)}
                records.append(
                    RecordSet(
                        name,
                        rtype,
                        None if alias else rng.choice((0, 30, 60)),
                        () if alias else tuple(sorted(values)[: 1 if rtype == "CNAME" else None]),
                        target if alias else None,
                        str(number) if condition else None,
                        health_check_id=rng.choice((None, *CHECKS)),
                        **condition,  # type: ignore[arg-type]
                    )
                )
        if label == "sub" and rng.random() < 0.5:
            records = [record for record in records if record.name != name]
            records.append(RecordSet(name, "NS", 60, ("ns1.sub.lab.test.", "ns.elsewhere.example.")))
    return HostedZone("Z1", "lab.test.", tuple(records))


async def disagreement(lab: Lab, name: str, rtype: str, client: str | None) -> str | None:
    """What the DNS server answers otherwise than is told."""
    asked = {"name": name, "type": rtype, "resolver": "127.0.0.1", **({"client": client} if client else {})}
    told = lab.server.explain(asked)
    subnet = None if client is None else ipaddress.ip_network(client, strict=False)
    answers = sorted((a["name"].lower(), a["type"], a["ttl"], a["value"]) for a in told["answers"])
    query = make_query(7, name, rtype, subnet)
    for tcp in (False, False, True):  # the second time the answer is a ready one
        packet = await lab.exchange(query, tcp=tcp)
        reply = parse_reply(packet, query)
        assert reply is not None
        found = sorted((r.name, r.type, r.ttl, r.value) for r in reply.records)
        if (reply.rcode, found) != (told["rcode"], answers):
            return f"{asked} tcp={tcp}: told {told['rcode']} {answers}, answered {reply.rcode} {found}"
    return None


@pytest.mark.parametrize("seed", range(8))
def test_what_is_told_is_what_is_answered(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)

    async def body(lab: Lab) -> None:
        questions = [(rng.choice(ASKED), rng.choice(("A", "AAAA", "TXT", "CNAME", "MX", "NS"))) for _ in range(40)]
        for _ in range(2):
            lab.publish(Zones((a_zone(rng),), (COLLECTION,)), ENDPOINTS)
            for check in ("", *rng.sample(CHECKS, 2)):
                if check:  # what was kept ready must be forgotten
                    lab.flip(check, healthy=check in lab.down)
                for label, rtype in questions:
                    name = f"{label}.lab.test".lstrip(".")
                    found = await disagreement(lab, name, rtype, rng.choice((None, *CLIENTS)))
                    assert found is None, found

    run(tmp_path, body)
