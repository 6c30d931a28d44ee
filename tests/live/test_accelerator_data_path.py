"""The accelerator's data path, over real sockets on loopback, before endpoints that echo who they are."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from accelerator_lab import EAST, STATIC, WEST, east, west, world

from lab.core import proxy_protocol
from lab.core.accelerator import (
    Endpoint,
    PortOverride,
    PortRange,
)


def test_a_client_is_served_by_the_group_nearest_to_its_place_on_both_static_addresses(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east(), west())
            for address in STATIC:
                assert await lab.ask("dublin", address) == "east"
                assert await lab.ask("tokyo", address) == "west"

    asyncio.run(run())


def test_without_a_preface_a_client_is_taken_to_be_near_the_first_region(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east(), west())
            assert await lab.ask(None) == "east"

    asyncio.run(run())


def test_the_endpoint_hears_of_the_client_only_with_client_ip_preservation(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east())
            stream = await lab.connect("dublin")
            assert await stream.say("x") == f"east {lab.topology.place('dublin').client_address} x"
            stream.close()
            lab.publish(east(endpoints=(Endpoint(EAST, client_ip_preservation=False),)))
            stream = await lab.connect("dublin", STATIC[1])
            assert await stream.say("x") == f"east {STATIC[1]} x"
            stream.close()

    asyncio.run(run())


def test_a_version_2_preface_is_taken_even_in_pieces(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east(), west())
            stream = await lab.connect(None)
            preface = proxy_protocol.format_v2((lab.topology.place("tokyo").client_address, 4), (STATIC[0], lab.port))
            for piece in (preface[:5], preface[5:20], preface[20:] + b"hi\n"):
                stream.writer.write(piece)
                await stream.writer.drain()
                await asyncio.sleep(0)
            async with asyncio.timeout(60):
                assert (await stream.reader.readline()).startswith(b"west 198.18.")
            stream.close()

    asyncio.run(run())


def test_a_malformed_preface_is_answered_with_a_reset(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east())
            stream = await lab.connect(None)
            try:
                answer = await stream.say("PROXY TCP4 nonsense")
            except ConnectionResetError:
                answer = ""
            assert answer == ""
            stream.close()

    asyncio.run(run())


def test_a_dial_of_zero_moves_new_connections_and_leaves_established_ones(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east(), west())
            stream = await lab.connect("dublin")
            assert (await stream.say("1")).startswith("east")
            lab.publish(east(traffic_dial_percentage=0.0), west())
            assert await lab.ask("dublin") == "west"
            assert (await stream.say("2")).startswith("east")
            stream.close()

    asyncio.run(run())


def test_new_connections_leave_an_unhealthy_endpoint_and_come_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east(), west())
            stream = await lab.connect("dublin")
            assert (await stream.say("1")).startswith("east")
            lab.say(east=False)
            assert await lab.ask("dublin") == "west"
            assert (await stream.say("2")).startswith("east")
            stream.close()
            lab.say(east=True)
            assert await lab.ask("dublin") == "east"

    asyncio.run(run())


def test_an_endpoint_that_no_one_has_judged_yet_gets_no_traffic(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.healthy[EAST] = None
            lab.publish(east(), west())
            assert lab.edge.health_states() == {EAST: "INITIAL", WEST: "HEALTHY"}
            assert await lab.ask("dublin") == "west"

    asyncio.run(run())


def test_with_both_regions_unhealthy_the_closest_group_serves(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east(), west())
            lab.say(east=False, west=False)
            assert [await lab.ask(place) for place in ("dublin", "tokyo")] == ["east", "west"]

    asyncio.run(run())


def test_a_change_of_health_is_acted_on_after_the_accelerators_delay(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, accelerator_delay_ms=30_000, speed=100.0) as lab:
            lab.publish(east(), west())
            began = asyncio.get_running_loop().time()
            lab.say(east=False)
            async with asyncio.timeout(60):
                while await lab.ask("dublin") == "east":
                    pass
            assert asyncio.get_running_loop().time() - began >= 0.3

    asyncio.run(run())


def test_weights_share_connections_and_source_affinity_keeps_them_together(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            both = east(endpoints=(Endpoint(EAST, 192), Endpoint(WEST, 64)))
            lab.publish(both)
            count = 400
            seen = Counter([await lab.ask("dublin") for _ in range(count)])
            assert abs(seen["east"] - 0.75 * count) <= 5 * (count * 0.75 * 0.25) ** 0.5
            lab.publish(both, client_affinity="SOURCE_IP")
            assert len({await lab.ask("dublin") for _ in range(20)}) == 1

    asyncio.run(run())


def test_an_unreachable_endpoint_is_a_reset_and_no_endpoint_a_drop(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            server = lab.backends[EAST].server
            assert server is not None
            server.close()
            lab.publish(east())
            assert await lab.ask("dublin") == ""
            lab.publish(east(endpoints=()))
            assert await lab.ask("dublin") == ""
            assert lab.edge.status()["dropped"] == 1

    asyncio.run(run())


def test_a_disabled_accelerator_refuses_connections(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east())
            assert await lab.ask() == "east"
            lab.publish(east(), enabled=False)
            try:
                await lab.connect()
            except ConnectionRefusedError:
                return
            raise AssertionError("the connection was accepted")

    asyncio.run(run())


def test_port_80_is_the_data_planes_port_and_a_port_override_is_obeyed(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, http_port=18080) as lab:
            ranges = (PortRange(80, 82),)
            lab.publish(east(port_overrides=(PortOverride(80, lab.port),)), port_ranges=ranges)
            stream = await lab.connect("dublin", port=18080)
            assert (await stream.say("x")).startswith("east")
            stream.close()

    asyncio.run(run())


def test_the_status_tells_shares_and_where_a_place_would_go_and_why(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east(traffic_dial_percentage=0.0), west())
            for _ in range(4):
                await lab.ask("dublin")
            (listener,) = lab.edge.status("dublin")["accelerators"][0]["listeners"]
            shares = {group["region"]: group["endpoints"][0]["share"] for group in listener["groups"]}
            assert shares == {"us-east-1": 0.0, "us-west-2": 1.0}
            assert listener["next"]["region"] == "us-west-2"
            assert listener["next"]["reasons"] == [
                "us-east-1: turned away by its dial of 0 %",
                "us-west-2: its dial at 100 % takes all that reaches it",
            ]

    asyncio.run(run())


def test_what_is_explained_of_a_connection_is_what_becomes_of_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east(traffic_dial_percentage=50.0), west(traffic_dial_percentage=50.0))
            regions = Counter[str]()
            for _ in range(20):
                stream = await lab.connect("dublin")
                source = (lab.topology.place("dublin").client_address, stream.writer.get_extra_info("sockname")[1])
                told = lab.edge.explain(source, (STATIC[0], lab.port))
                served = (await stream.say("hi")).partition(" ")[0]
                assert told["region"] == {"east": "us-east-1", "west": "us-west-2"}[served]
                assert (told["place"], told["edge"]) == ("dublin", "eu-west-1") and told["reasons"]
                regions[told["region"]] += 1
                stream.close()
            assert len(regions) == 2
            with pytest.raises(KeyError):
                lab.edge.explain(("198.18.1.10", 1), (STATIC[0], lab.port + 1))

    asyncio.run(run())


def test_cloudwatch_hears_each_minute_of_flows_bytes_and_health(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east(), west())

            def taken() -> dict[tuple[str, str], float]:
                return {(d.name, d.dimensions[-1][1]): d.total.sum for d in lab.edge.take_metrics()}

            assert await lab.ask("dublin") == "east"
            lab.say(west=False)
            first = taken()
            assert first["NewFlowCount", "us-east-1"] == 1 and first["NewFlowCount", "us-west-2"] == 0
            assert first["NewFlowCount", "arn:l"] == first["NewFlowCount", "arn:a"] == 1
            assert first["ProcessedBytesIn", "us-east-1"] == len("hi\n") < first["ProcessedBytesOut", "us-east-1"]
            assert first["UnhealthyEndpointCount", "us-west-2"] == first["UnhealthyEndpointCount", "arn:a"] == 1
            assert taken()["NewFlowCount", "arn:a"] == 0
            lab.publish()
            assert await lab.ask("dublin") == ""
            assert taken()["Flows_Dropped_No_Endpoint_Found", "arn:l"] == 1

    asyncio.run(run())
