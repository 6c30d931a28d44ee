"""docker-compose.yml and `lab.compose.layout` say the same, and what the file must never say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.compose.__main__ import container_topology
from lab.compose.layout import CLIENTS, REGIONS, THIRD_REGION, own_network, topology_of
from lab.errors import UserError

FILE = (Path(__file__).parents[2] / "docker-compose.yml").read_text()


def service(name: str) -> str:
    """The lines of one service."""
    found = re.search(rf"^  {name}:\n((?:    .*\n|\n)+)", FILE, re.MULTILINE)
    assert found is not None, name
    return found[1]


def address(name: str) -> str:
    found = re.search(r"\$\{LAB_BACKBONE:-10\.77\}([.\d]+)\"", service(name))
    assert found is not None, name
    return "10.77" + found[1]


def test_every_part_has_the_address_that_the_topology_names() -> None:
    topology = topology_of({}, third=True)
    assert topology.region_codes == (*REGIONS, THIRD_REGION)
    for region in topology.regions:
        assert address(f"front-{region.code}") == region.address
    for part in ("control", "replicator", "resolver"):
        found = topology.part_address(part)
        assert found is not None and address(part) == found.host
    assert topology.global_address == address("control")
    assert topology.dns_address == address("resolver")


def test_every_client_stands_in_the_subnet_of_its_place() -> None:
    topology = topology_of({})
    for place in CLIENTS:
        assert address(f"client-{place}") == topology.place(place).client_address


def test_ports_are_published_on_loopback_alone_and_never_an_engines() -> None:
    ports = re.findall(r'"([^"]+)"', "\n".join(re.findall(r"ports: \[(.*?)\]", FILE, re.DOTALL)))
    assert len(ports) == 14 and all(port.startswith("127.0.0.1:") for port in ports)
    for code in (*REGIONS, THIRD_REGION):
        assert "ports:" not in service(code)
        assert "backbone" not in service(code)


def test_no_container_gets_the_docker_socket() -> None:
    assert "docker.sock" not in FILE
    assert "privileged" not in FILE.replace("no-new-privileges", "")


def test_no_image_is_latest_of_somebody_else() -> None:
    assert "${LOCALSTACK_TAG:-4.14.0}" in FILE
    assert not re.search(r"localstack/localstack:latest", FILE)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"LAB_REGIONS": "us-east-1,mars-north-1"}, ["LAB_REGIONS", "mars-north-1", "us-west-2"]),
        ({"LAB_REGIONS": "us-east-1,eu-west-1"}, ["eu-west-1", "docker-compose.yml", "services"]),
        ({"LAB_ENGINE": "dynalite"}, ["LAB_ENGINE", "localstack", "ministack", "dynalite"]),
        ({"LAB_SPEED": "fast"}, ["LAB_SPEED", "fast"]),
        ({"LAB_BACKBONE": "10.77.0"}, ["LAB_BACKBONE", "10.77.0", "two numbers"]),
        ({"LAB_BACKBONE": "10.777"}, ["LAB_BACKBONE", "10.777"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(environment: dict[str, str], words: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        topology_of(environment)
    for word in words:
        assert word in str(refused.value)


def test_a_front_reaches_its_own_engine_and_others_through_their_fronts() -> None:
    own = topology_of({}, own_engine="us-east-1")
    assert (own.part_address("engine-us-east-1"), own.part_address("engine-us-west-2")) != (None, None)
    direct, relayed = own.part_address("engine-us-east-1"), own.part_address("engine-us-west-2")
    assert direct is not None and (direct.host, direct.port) == ("us-east-1", 4566)
    assert relayed is not None and relayed.host == own.region("us-west-2").address


@pytest.mark.parametrize("part", ["ministack", "front"])
def test_the_third_regions_own_containers_know_it_on_a_network_where_nobody_names_it(part: str) -> None:
    assert container_topology({}, part, THIRD_REGION).region(THIRD_REGION).code == THIRD_REGION
    assert THIRD_REGION not in container_topology({}, part, "us-east-1").region_codes


def test_ports_lead_to_load_balancers_and_the_accelerator_for_hosts_that_reach_ports_alone() -> None:
    topology = topology_of({}, third=True)
    for region in topology.regions:
        network = region.address.rpartition(".")[0]
        found = topology.relayed_ports(f"front-{region.code}")
        assert found == {9010: (f"{network}.10", 80), 9011: (f"{network}.11", 80)}
        assert ":9010-9011" in service(f"front-{region.code}")
    assert topology.relayed_ports("resolver") == {9010: ("10.77.100.2", 80), 9011: ("10.77.100.3", 80)}
    assert ":9010-9011" in service("resolver")
    assert topology.relayed_ports("control") == {}


def test_nothing_starts_before_the_settings_were_looked_at() -> None:
    assert 'restart: "no"' in service("settings")
    first = set(re.findall(r"^  ([\w-]+):\n(?:    .*\n)*?    depends_on: \*settings-first", FILE, re.MULTILINE))
    assert first == {"third-region"}
    assert FILE.count("settings: {condition: service_completed_successfully}") == 1
    assert "<<: *settings-first" in service("control")


def test_only_fronts_and_the_resolver_have_addresses_beside_their_own() -> None:
    topology = topology_of({}, third=True)
    assert [own_network(topology, "front", code) for code in topology.region_codes] == [
        "10.77.1.0",
        "10.77.2.0",
        "10.77.3.0",
    ]
    assert own_network(topology, "resolver", "") == "10.77.100.0"
    assert own_network(topology, "control", "") is None
    for name in re.findall(r"^  ([\w-]+):\n", FILE.partition("\nservices:\n")[2].partition("\nnetworks:\n")[0], re.M):
        assert ("<<: *edge" in service(name)) == (name.startswith("front-") or name == "resolver"), name
