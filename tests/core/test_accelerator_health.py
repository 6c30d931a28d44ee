"""When an accelerator acts on what a load balancer says of itself; PROXY prefaces; distances."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core import proxy_protocol
from lab.core.accelerator_health import EndpointHealth
from lab.core.accelerator_path import accelerated_path, round_trip_ms
from lab.core.proxy_protocol import MalformedPreface, Preface
from lab.core.topology import RoundTrip, Topology, regional_addresses
from lab.data import geography, places


def test_the_first_verdict_is_taken_at_once() -> None:
    health = EndpointHealth(30_000)
    health.on_verdict(None, 0)
    assert (health.state, health.healthy) == ("INITIAL", False)
    health.on_verdict(True, 5)
    assert (health.state, health.since_ms) == ("HEALTHY", 5)


def test_a_change_is_acted_on_when_the_delay_has_passed() -> None:
    health = EndpointHealth(30_000)
    health.on_verdict(True, 0)
    health.on_verdict(False, 1_000)
    assert (health.healthy, health.next_wake_ms()) == (True, 31_000)
    health.on_verdict(False, 2_000)
    assert (health.on_wake(30_999), health.healthy) == (False, True)
    assert (health.on_wake(31_000), health.state, health.since_ms) == (True, "UNHEALTHY", 31_000)
    assert health.next_wake_ms() is None


def test_a_change_that_is_taken_back_in_time_is_never_acted_on() -> None:
    health = EndpointHealth(30_000)
    health.on_verdict(True, 0)
    health.on_verdict(False, 1_000)
    health.on_verdict(True, 20_000)
    assert health.next_wake_ms() is None
    health.on_verdict(False, 25_000)
    assert health.next_wake_ms() == 55_000


def test_without_a_delay_changes_are_acted_on_at_once() -> None:
    health = EndpointHealth(0)
    health.on_verdict(True, 0)
    health.on_verdict(False, 1)
    assert health.state == "UNHEALTHY"


ADDRESSES = st.ip_addresses(v=4).map(str)
PORTS = st.integers(0, 65535)


@given(ADDRESSES, PORTS, ADDRESSES, PORTS, st.binary(max_size=40))
def test_both_versions_of_a_preface_are_read_as_written_wherever_the_bytes_are_cut(
    source: str, source_port: int, target: str, target_port: int, rest: bytes
) -> None:
    for form in (proxy_protocol.format_v1, proxy_protocol.format_v2):
        data = form((source, source_port), (target, target_port))
        assert proxy_protocol.parse(data + rest) == Preface(len(data), (source, source_port), (target, target_port))
        for cut in range(len(data)):
            assert proxy_protocol.parse(data[:cut]) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_preface_or_none_or_malformed(data: bytes) -> None:
    for start in (b"", b"PROXY ", proxy_protocol.SIGNATURE_V2):
        try:
            preface = proxy_protocol.parse(start + data)
        except MalformedPreface:
            continue
        assert preface is None or preface.length <= len(start + data)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"POST /", b"PUT", b"\x16\x03\x01", b"\r\nGET / "])
def test_what_is_no_preface_is_left_alone(data: bytes) -> None:
    assert proxy_protocol.parse(data) == Preface(0)


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 198.18.1.10 127.0.0.1 70000 80\r\n",
        b"PROXY TCP4 198.18.1 127.0.0.1 1 80\r\n",
        b"PROXY UDP4 198.18.1.10 127.0.0.1 1 80\r\n",
        b"PROXY " + b"x" * 200,
        proxy_protocol.SIGNATURE_V2 + b"\x31\x11\x00\x0c" + bytes(12),
        proxy_protocol.SIGNATURE_V2 + b"\x21\x11\x00\x04" + bytes(4),
    ],
)
def test_malformed_prefaces_are_refused(line: bytes) -> None:
    with pytest.raises(MalformedPreface):
        proxy_protocol.parse(line)


@pytest.mark.parametrize("line", [b"PROXY UNKNOWN\r\n", proxy_protocol.SIGNATURE_V2 + b"\x20\x00\x00\x00"])
def test_a_preface_may_name_nobody(line: bytes) -> None:
    assert proxy_protocol.parse(line + b"GET /") == Preface(len(line))


def topology(*round_trips: RoundTrip) -> Topology:
    codes = ("us-east-1", "us-west-2")
    return Topology("127.48", regional_addresses("127.48", codes), places(), "/s", "/r", round_trips=round_trips)


def to_region_ms(world: Topology, place: str, region: str) -> float:
    return accelerated_path(world, geography(), world.place(place), region).to_region_ms


def test_dublin_is_closer_to_us_east_1_and_tokyo_to_us_west_2() -> None:
    world = topology()
    assert to_region_ms(world, "dublin", "us-east-1") < to_region_ms(world, "dublin", "us-west-2")
    assert to_region_ms(world, "tokyo", "us-west-2") < to_region_ms(world, "tokyo", "us-east-1")


def test_round_trips_set_by_hand_win_for_the_internet_and_for_awss_network() -> None:
    world = topology(RoundTrip("dublin", "us-west-2", 999.0), RoundTrip("eu-west-1", "us-west-2", 1.0))
    assert round_trip_ms(world, geography(), world.place("dublin"), "us-west-2") == 999.0
    assert to_region_ms(world, "dublin", "us-west-2") == 1.0


def test_the_accelerator_saves_a_new_connection_the_shorter_of_its_two_handshakes() -> None:
    world = topology()
    place = world.place("tokyo")
    path = accelerated_path(world, geography(), place, "us-east-1")
    direct_ms = 2 * round_trip_ms(world, geography(), place, "us-east-1")
    assert path.edge == "ap-northeast-1"
    assert direct_ms - path.first_answer_ms == pytest.approx(min(path.to_edge_ms, path.to_region_ms))
