"""The accelerator's data path, over real sockets on loopback, before endpoints that echo who they are."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from lab.core import codec, proxy_protocol
from lab.core.accelerator import (
    Accelerator,
    AcceleratorListener,
    Accelerators,
    Endpoint,
    EndpointGroup,
    PortOverride,
    PortRange,
)
from lab.core.topology import Topology, regional_addresses
from lab.data import geography, places
from lab.live.accelerator import AcceleratorEdge, EndpointAddress, EndpointSource
from lab.live.clock import Clock
from lab.live.documents import DocumentStore

BLOCK = "127.48"
EAST, WEST = "arn:east", "arn:west"
STATIC = ("127.48.100.2", "127.48.100.3")


class Backend:
    """Answers every line with its name, the client that the preface named, and the line; says bye at the end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            preface = proxy_protocol.parse(await reader.readexactly(28))
            assert preface is not None and preface.source is not None
            while line := await reader.readline():
                writer.write(f"{self.name} {preface.source[0]} ".encode() + line)
                await writer.drain()
            writer.write(b"bye\n")
            await writer.drain()
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            if not writer.is_closing():
                writer.transport.abort()


class World:
    """Two endpoints, one accelerator, and what the endpoints' health is said to be."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        speed = settings.pop("speed", 1.0)
        self.topology = Topology(
            BLOCK,
            regional_addresses(BLOCK, ("us-east-1", "us-west-2")),
            places(),
            str(folder),
            str(folder),
            speed=speed,
            **{"accelerator_delay_ms": 0, **settings},
        )
        self.store = DocumentStore(folder / "documents")
        self.backends = {EAST: Backend("east"), WEST: Backend("west")}
        self.healthy: dict[str, bool | None] = {EAST: True, WEST: True}
        self.callbacks: list[Callable[[], None]] = []
        source = EndpointSource(self.healthy.get, self._address, self.callbacks.append)
        self.edge = AcceleratorEdge(self.topology, self.store, Clock(speed), geography(), source, log=lambda line: None)
        self.port = 0

    def _address(self, endpoint_id: str, port: int) -> EndpointAddress | None:
        backend = self.backends.get(endpoint_id)
        return EndpointAddress("127.0.0.1", backend.port) if backend and port == self.port else None

    def publish(self, *groups: EndpointGroup, **changes: Any) -> None:
        listener = AcceleratorListener("arn:l", (PortRange(self.port, self.port),), groups=groups)
        listener = replace(listener, **{k: changes.pop(k) for k in ("client_affinity", "port_ranges") if k in changes})
        accelerator = Accelerator("arn:a", "a", 1, STATIC, "a.test", 0, 0, 0, listeners=(listener,), **changes)
        self.store.put("accelerators", orjson.dumps(codec.encode(Accelerators((accelerator,)))))

    def say(self, **healthy: bool) -> None:
        self.healthy.update({f"arn:{name}": value for name, value in healthy.items()})
        for callback in self.callbacks:
            callback()

    async def connect(self, place: str | None = "dublin", address: str = STATIC[0], port: int | None = None) -> Stream:
        reader, writer = await asyncio.open_connection(address, port or self.port)
        if place:
            client = (self.topology.place(place).client_address, writer.get_extra_info("sockname")[1])
            writer.write(proxy_protocol.format_v1(client, (address, self.port)))
        return Stream(reader, writer)

    async def ask(self, place: str | None = "dublin", address: str = STATIC[0]) -> str:
        """Which endpoint serves a new connection; "" if it is dropped."""
        stream = await self.connect(place, address)
        try:
            return (await stream.say("hi")).partition(" ")[0]
        except ConnectionError:
            return ""
        finally:
            stream.close()


class Stream:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, line: str) -> str:
        self.writer.write(line.encode() + b"\n")
        async with asyncio.timeout(10):
            return (await self.reader.readline()).decode().strip()

    def close(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def world(folder: Path, **settings: Any) -> AsyncIterator[World]:
    made = World(folder, **settings)
    with socket.socket() as probe:  # a free port of the static addresses; this file's tests run one after another
        probe.bind((STATIC[0], 0))
        made.port = probe.getsockname()[1]
    for backend in made.backends.values():
        await backend.start()
    await made.edge.start()
    try:
        yield made
    finally:
        await made.edge.close()
        for backend in made.backends.values():
            assert backend.server is not None
            backend.server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def east(**changes: Any) -> EndpointGroup:
    return replace(EndpointGroup("arn:ge", "us-east-1", (Endpoint(EAST),)), **changes)


def west(**changes: Any) -> EndpointGroup:
    return replace(EndpointGroup("arn:gw", "us-west-2", (Endpoint(WEST),)), **changes)


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
            async with asyncio.timeout(10):
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
            assert await lab.ask("dublin") == "east"
            async with asyncio.timeout(10):
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


def test_a_half_closed_connection_gets_its_answer(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east())
            stream = await lab.connect("dublin")
            stream.writer.write(b"x\n")
            stream.writer.write_eof()
            async with asyncio.timeout(10):
                assert (await stream.reader.read()).endswith(b" x\nbye\n")
            stream.close()

    asyncio.run(run())


def test_a_client_that_ends_within_its_preface_is_closed(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east())
            for at_once in (True, False):
                stream = await lab.connect(None)
                stream.writer.write(b"PROXY TCP4 198.18")
                if not at_once:
                    await stream.writer.drain()
                    await asyncio.sleep(0)
                stream.writer.write_eof()
                async with asyncio.timeout(10):
                    assert await stream.reader.read() == b""
                stream.close()

    asyncio.run(run())


def test_a_half_closed_connection_carries_megabytes_the_other_way(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east())
            stream = await lab.connect("dublin")
            line = b"z" * 50_000 + b"\n"
            stream.writer.write(line * 60)
            stream.writer.write_eof()
            async with asyncio.timeout(30):
                data = await stream.reader.read()
                while piece := await stream.reader.read():
                    data += piece
            assert data.count(line) == 60 and data.endswith(b"bye\n")
            stream.close()

    asyncio.run(run())


def test_megabytes_pass_both_ways_unchanged_before_a_slow_reader(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east())
            stream = await lab.connect("dublin")
            line = b"y" * 60_000 + b"\n"

            async def send() -> None:
                for _ in range(100):
                    stream.writer.write(line)
                    await stream.writer.drain()
                stream.writer.write_eof()

            sending = asyncio.create_task(send())
            await asyncio.sleep(0.05)  # let all buffers on the way fill before anything is read
            async with asyncio.timeout(30):
                data = await stream.reader.read()
                while piece := await stream.reader.read():
                    data += piece
                await sending
            assert data.count(line) == 100 and data.endswith(b"bye\n")
            stream.close()

    asyncio.run(run())


def test_an_idle_connection_is_reset_after_340_seconds_of_the_labs_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, speed=1000.0) as lab:
            lab.publish(east())
            stream = await lab.connect("dublin")
            assert (await stream.say("x")).startswith("east")
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionResetError):
                    assert await stream.reader.read() == b""
            assert lab.edge.status()["idle_timeouts"] == 1
            stream.close()

    asyncio.run(run())


def test_asked_for_latency_delays_first_and_later_answers_by_the_way_over_the_edge(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, accelerator_latency=True) as lab:
            lab.publish(east())
            loop = asyncio.get_running_loop()
            began = loop.time()
            stream = await lab.connect("dublin")
            assert (await stream.say("1")).startswith("east")
            first_ms = 1000 * (loop.time() - began)
            began = loop.time()
            assert (await stream.say("2")).startswith("east")
            later_ms = 1000 * (loop.time() - began)
            stream.close()
            path = lab.edge._path(lab.topology.place("dublin"), "us-east-1")
            assert path.first_answer_ms <= first_ms < path.first_answer_ms + 500
            assert 2 * path.one_way_ms <= later_ms < 2 * path.one_way_ms + 500

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
