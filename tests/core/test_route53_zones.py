"""Names in zones: existence, wildcards, CNAME chains, delegation, several zones, name syntax."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from route53_world import World, record

from lab.core.endpoint_name import EndpointNames
from lab.core.route53.catalog import Catalog, apex_records, name_servers
from lab.core.route53.name import NameSyntaxError, ancestors, parent, to_text, to_wire
from lab.core.zone import HostedZone, RecordSet, Zones


def rcode(world: World, name: str, type: str = "A") -> tuple[str, int]:
    (outcome,) = world.decide(name, type).outcomes
    return outcome.rcode, len(outcome.answer)


WILD = World(
    record("*", "192.0.2.1"),
    record("real", "192.0.2.2", type="TXT"),
    record("a.deep", "192.0.2.3"),
    record("*.sub", "192.0.2.4"),
    record("*", "10 mail.lab.test.", type="MX"),
)


@pytest.mark.parametrize(
    ("name", "type", "expected"),
    [
        ("anything", "A", {"192.0.2.1": 1.0}),
        ("several.labels.down", "A", {"192.0.2.1": 1.0}),
        ("anything", "MX", {"10 mail.lab.test.": 1.0}),
        ("anything", "TXT", {"NOERROR": 1.0}),
        ("real", "A", {"NOERROR": 1.0}),  # a name that exists is not covered
        ("below.real", "A", {"NXDOMAIN": 1.0}),  # nor is what is below it
        ("deep", "A", {"NOERROR": 1.0}),  # an empty non-terminal exists
        ("b.deep", "A", {"NXDOMAIN": 1.0}),
        ("x.sub", "A", {"192.0.2.4": 1.0}),
        ("*", "A", {"192.0.2.1": 1.0}),
    ],
)
def test_a_wildcard_covers_what_does_not_exist_at_its_closest_encloser(
    name: str, type: str, expected: dict[str, float]
) -> None:
    assert WILD.answers(name, type) == expected


def test_a_wildcard_answer_carries_the_name_that_was_asked() -> None:
    (outcome,) = WILD.decide("anything").outcomes
    assert outcome.answer[0].name == to_wire("anything.lab.test")


def test_a_wildcard_as_aws_writes_it_is_the_same() -> None:
    assert World(record(r"\052", "192.0.2.1")).answers("x") == {"192.0.2.1": 1.0}


def test_a_chain_of_cnames_is_followed_and_shown() -> None:
    world = World(
        record("a", "b.lab.test.", type="CNAME"),
        record("b", "c.lab.test.", type="CNAME"),
        record("c", "192.0.2.1"),
    )
    (outcome,) = world.decide("a").outcomes
    assert [rrset.type for rrset in outcome.answer] == ["CNAME", "CNAME", "A"]
    (own,) = world.decide("a", "CNAME").outcomes
    assert [rrset.values for rrset in own.answer] == [("b.lab.test.",)]


def test_a_chain_to_a_name_that_does_not_exist_is_nxdomain_with_the_chain() -> None:
    world = World(record("a", "gone.lab.test.", type="CNAME"))
    assert rcode(world, "a") == ("NXDOMAIN", 1)


def test_cnames_in_a_circle_end() -> None:
    world = World(record("a", "b.lab.test.", type="CNAME"), record("b", "a.lab.test.", type="CNAME"))
    assert rcode(world, "a") == ("NOERROR", 2)


def test_a_cname_out_of_the_zone_is_left_to_the_client() -> None:
    assert rcode(World(record("a", "www.example.com.", type="CNAME")), "a") == ("NOERROR", 1)


def test_weighted_cnames_lead_to_their_own_ends() -> None:
    world = World(
        record("a", "b.lab.test.", type="CNAME", set_identifier="b", weight=1),
        record("a", "c.lab.test.", type="CNAME", set_identifier="c", weight=3),
        record("b", "192.0.2.1"),
        record("c", "192.0.2.2"),
    )
    assert world.answers("a") == {"192.0.2.1": 0.25, "192.0.2.2": 0.75}


CHILD = World(
    record("eu", ("ns1.eu.lab.test.", "ns.example.com."), type="NS"),
    record("ns1.eu", "192.0.2.53"),
    record("eu", "1 8 2 " + "ab" * 32, type="DS"),
)


@pytest.mark.parametrize("name", ["eu", "www.eu", "a.b.eu"])
def test_a_delegated_name_gets_a_referral_with_glue_and_without_authority(name: str) -> None:
    (outcome,) = CHILD.decide(name).outcomes
    assert (outcome.rcode, outcome.authoritative, outcome.answer) == ("NOERROR", False, ())
    assert [(rrset.type, rrset.name) for rrset in outcome.authority] == [("NS", to_wire("eu.lab.test"))]
    assert [(rrset.type, rrset.values) for rrset in outcome.additional] == [("A", ("192.0.2.53",))]


def test_the_ds_record_at_a_zone_cut_is_the_parents_to_answer() -> None:
    (outcome,) = CHILD.decide("eu", "DS").outcomes
    assert (outcome.authoritative, outcome.answer[0].type) == (True, "DS")


def test_the_ds_record_is_the_parents_where_both_zones_are_hosted() -> None:
    child = HostedZone("Z2", "eu.lab.test.", ())
    ds = "1 8 2 " + "ab" * 32
    world = World(record("eu", "ns.example.com.", type="NS"), record("eu", ds, type="DS"), zones=[child])
    assert world.answers("eu", "DS") == {ds: 1.0}
    assert world.answers("eu", "NS") != {"ns.example.com.": 1.0}  # that is the child's
    (outcome,) = World(zones=[child]).decide("eu", "DS").outcomes
    assert (outcome.rcode, outcome.authority[0].name) == ("NOERROR", to_wire("eu.lab.test"))


def test_the_longest_zone_that_holds_a_name_answers_it() -> None:
    child = HostedZone("Z2", "eu.lab.test.", (RecordSet("www.eu.lab.test.", "A", 60, ("192.0.2.2",)),))
    world = World(record("www", "192.0.2.1"), zones=[child])
    assert world.answers("www.eu") == {"192.0.2.2": 1.0}
    assert world.answers("other.eu") == {"NXDOMAIN": 1.0}
    assert world.decide("other.eu").outcomes[0].authority[0].name == to_wire("eu.lab.test")
    assert world.answers("www") == {"192.0.2.1": 1.0}


def test_a_zones_own_soa_and_ns_records_are_used_if_it_has_them() -> None:
    soa = RecordSet("lab.test.", "SOA", 300, ("ns.x. host.x. 5 1 2 3 60",))
    world = World(soa)
    assert world.answers("", "SOA") == {"ns.x. host.x. 5 1 2 3 60": 1.0}
    assert world.decide("nope").outcomes[0].authority[0].ttl == 60  # the lesser of TTL and minimum


RECORDS = st.lists(
    st.builds(
        lambda name, type, value: record(name, value, type=type),
        st.sampled_from(["", "a", "b.a", "c.b.a", "*", "*.a", "c.*.a", "x.y.z", "z", "d"]),
        st.sampled_from(["A", "TXT", "NS"]),
        st.sampled_from(["192.0.2.1", "192.0.2.2"]),
    ),
    max_size=8,
    unique_by=lambda made: (made.name, made.type),
)


@settings(deadline=None)
@given(RECORDS, RECORDS, st.integers(0, 8), st.integers(0, 8))
def test_a_catalog_made_from_the_one_before_is_the_same_as_a_new_one(
    before: list[RecordSet], put: list[RecordSet], at: int, gone: int
) -> None:
    keys = {(made.name, made.type) for made in put}
    kept = [made for made in before[:at] + before[at + gone :] if (made.name, made.type) not in keys]
    after = (*kept[:at], *put, *kept[at:])
    first = Catalog(Zones((HostedZone("Z1", "lab.test.", tuple(before)),)), EndpointNames())
    zones = Zones((HostedZone("Z1", "lab.test.", after),))
    changed, anew = Catalog(zones, EndpointNames(), first), Catalog(zones, EndpointNames())
    (one,), (other,) = changed.zones.values(), anew.zones.values()
    assert one.groups == other.groups
    assert one.delegations == other.delegations
    assert one.children == other.children
    assert one.wildcard_count == other.wildcard_count


def test_a_zones_name_servers_are_four_and_always_the_same() -> None:
    servers = name_servers("Z1")
    assert servers == name_servers("Z1") != name_servers("Z2")
    assert [server.rsplit(".awsdns-")[1][3:] for server in servers] == ["com.", "net.", "org.", "co.uk."]
    ns, soa = apex_records("Z1", "lab.test.")
    assert (ns.ttl, soa.ttl) == (172800, 900)


@pytest.mark.parametrize("text", ["a..b", ".a", "a" * 64 + ".test", ".".join(["a" * 60] * 5), "a\\"])
def test_a_text_that_is_no_name_is_told_so(text: str) -> None:
    with pytest.raises(NameSyntaxError):
        to_wire(text)


LABELS = st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=6)


@settings(deadline=None)
@given(LABELS)
def test_any_wire_name_survives_its_text(labels: list[bytes]) -> None:
    wire = b"".join(bytes([len(label)]) + label for label in labels).lower() + b"\0"
    assert to_wire(to_text(wire)) == wire
    assert parent(wire) == wire[1 + wire[0] :]
    assert ancestors(wire)[-1] == b"\0"
