"""Probers over real sockets: detection, recovery, faults and the kinds of endpoint failure."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from waiting import eventually_async

from lab.core import codec
from lab.core.endpoint_name import EndpointName, EndpointNames
from lab.core.faults import Fault, FaultSet
from lab.core.health_check import CHECKER_REGIONS, HealthCheck, HealthChecks
from lab.core.topology import Topology, regional_addresses
from lab.data import places
from lab.live.clock import Clock
from lab.live.documents import DOCUMENTS, DocumentStore
from lab.live.http_message import Request, Response
from lab.live.http_server import HttpServer
from lab.live.probes import Probers

BLOCK = "127.43"
NAME = "api1.execute-api.us-east-1.amazonaws.com"


class Endpoint:
    """An HTTP endpoint in region 1 whose answer a test sets; None hangs."""

    def __init__(self) -> None:
        self.response: Response | None = Response(200, [], b"fine")
        self.requests: list[Request] = []
        self.server = HttpServer(self._answer)

    async def _answer(self, request: Request) -> Response | None:
        self.requests.append(request)
        return self.response


class Bench:
    def __init__(self, folder: Path, port: int, speed: float, codes: tuple[str, ...]) -> None:
        self.store = DocumentStore(folder)
        regions = regional_addresses(BLOCK, codes)
        self.topology = Topology(BLOCK, regions, places(), "/none", "/none", speed, http_port=port)
        self.flips: list[tuple[str, bool]] = []
        self.endpoint = Endpoint()
        self.publish(EndpointNames((EndpointName(f"{NAME}.", "execute-api", (f"{BLOCK}.1.1",), "Z", "us-east-1"),)))
        self.probers = Probers(self.topology, self.store, Clock(speed))
        self.probers.watch(lambda check, healthy: self.flips.append((check, healthy)))

    def publish(self, document: Any) -> None:
        name = next(name for name, cls in DOCUMENTS.items() if cls is type(document))
        self.store.put(name, orjson.dumps(codec.encode(document)))

    def checks(self, *checks: HealthCheck) -> None:
        self.publish(HealthChecks(checks))

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        await eventually_async(condition, lambda: f"{what}; {self.probers.status()}")


def http_check(**changes: Any) -> HealthCheck:
    fields: dict[str, Any] = {
        "health_check_id": "check-1",
        "caller_reference": "r",
        "type": "HTTP",
        "created_ms": 0,
        "fully_qualified_domain_name": NAME,
        "resource_path": "/prod/health",
        "port": 80,
        "request_interval": 10,
        "failure_threshold": 3,
    }
    return HealthCheck(**{**fields, **changes})


def run(
    folder: Path,
    test: Callable[[Bench], Awaitable[None]],
    *,
    speed: float = 200.0,
    codes: tuple[str, ...] = ("us-east-1", "us-west-2"),
) -> None:
    async def main() -> None:
        spare = await asyncio.start_server(lambda r, w: None, f"{BLOCK}.1.1", 0)
        port = spare.sockets[0].getsockname()[1]
        spare.close()
        await spare.wait_closed()
        bench = Bench(folder, port, speed, codes)
        await bench.endpoint.server.listen_tcp(f"{BLOCK}.1.1", port)
        await bench.probers.start()
        try:
            await test(bench)
        finally:
            await bench.probers.close()
            await bench.endpoint.server.close()

    asyncio.run(main())


def checkers(bench: Bench) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bench.probers.status()["check-1"]["checkers"]
    return found


def test_sixteen_checkers_in_eight_regions_probe_as_route_53_does(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.checks(http_check())
        seen = {"Success: HTTP Status Code 200, OK"}
        await bench.until(lambda: {c["reason"] for c in checkers(bench)} == seen, "every checker has probed")
        assert len(checkers(bench)) == 16
        assert len({c["region"] for c in checkers(bench)}) == 8
        request = bench.endpoint.requests[0]
        assert (request.method, request.target, request.header("host")) == ("GET", "/prod/health", NAME)
        assert (request.header("user-agent") or "").startswith("Amazon-Route53-Health-Check-Service (ref check-1;")

    run(tmp_path, body)


def test_an_endpoint_that_fails_becomes_unhealthy_and_recovers(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.checks(http_check())
        assert bench.probers.is_healthy("check-1")
        bench.endpoint.response = Response(503)
        await bench.until(lambda: not bench.probers.is_healthy("check-1"), "unhealthy")
        assert bench.probers.status()["check-1"]["status"] == "unhealthy"
        bench.endpoint.response = Response(302)
        await bench.until(lambda: bench.probers.is_healthy("check-1"), "healthy again")
        assert bench.flips == [("check-1", False), ("check-1", True)]

    run(tmp_path, body)


def test_an_endpoint_that_refuses_becomes_unhealthy(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.checks(http_check())
        bench.endpoint.server.stop_listening()
        await bench.until(lambda: not bench.probers.is_healthy("check-1"), "unhealthy")
        assert any("refused" in (c["reason"] or "") for c in checkers(bench))

    run(tmp_path, body)


def test_an_endpoint_that_hangs_becomes_unhealthy(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.endpoint.response = None
        bench.checks(http_check(failure_threshold=1))
        await bench.until(lambda: not bench.probers.is_healthy("check-1"), "unhealthy")
        assert any("did not get a response" in (c["reason"] or "") for c in checkers(bench))

    run(tmp_path, body)


@pytest.mark.parametrize("way", [("us-west-2", "us-east-1"), ("us-east-1", "us-west-2")])
def test_a_link_that_is_cut_one_way_fails_only_the_checkers_at_its_other_end(
    tmp_path: Path, way: tuple[str, str]
) -> None:
    async def body(bench: Bench) -> None:
        bench.publish(FaultSet((Fault("f", "cut", 0, region=way[0], target=way[1]),)))
        bench.checks(http_check(failure_threshold=1))
        await bench.until(lambda: opinions(bench) == {"us-west-2"} and all_looked(bench), "only us-west-2 is cut off")
        assert bench.probers.is_healthy("check-1")

    run(tmp_path, body)


def all_looked(bench: Bench) -> bool:
    """Whether every checker has probed; the newest probe of one may have met a stall of this machine."""
    return all(c["checked_ms"] for c in checkers(bench))


def opinions(bench: Bench) -> set[str]:
    """The regions all of whose checkers find the endpoint unhealthy."""
    found = checkers(bench)
    return {c["region"] for c in found} - {c["region"] for c in found if c["status"] != "unhealthy"}


def test_cut_links_split_the_checkers_opinions_and_eighteen_percent_decide(tmp_path: Path) -> None:
    others = CHECKER_REGIONS[1:]

    def cut_from(*regions: str) -> FaultSet:
        return FaultSet(tuple(Fault(f"f{r}", "cut", 0, region=r, target="us-east-1") for r in regions))

    async def body(bench: Bench) -> None:
        bench.checks(http_check(failure_threshold=1))
        bench.publish(cut_from(*others[:-1]))
        await bench.until(lambda: opinions(bench) == set(others[:-1]), "all but two regions cannot reach it")
        await bench.until(lambda: bench.probers.is_healthy("check-1"), "4 of 16 checkers are 25 %")
        bench.publish(cut_from(*others))
        await bench.until(lambda: opinions(bench) == set(others), "only its own region reaches it")
        assert not bench.probers.is_healthy("check-1")  # 2 of 16 are 12.5 %
        assert bench.endpoint.response is not None  # and the endpoint answers whoever gets there
        bench.publish(cut_from(*others[:-1]))
        await bench.until(lambda: bench.probers.is_healthy("check-1"), "two regions are enough")

    run(tmp_path, body, codes=CHECKER_REGIONS)


def test_checkers_in_a_region_that_is_down_go_on_probing_other_regions(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.publish(FaultSet((Fault("f", "down", 0, region="us-west-2"),)))
        bench.checks(http_check(failure_threshold=1))
        await bench.until(lambda: opinions(bench) == set() and all_looked(bench), "all checkers reach it")

    run(tmp_path, body)


def test_an_address_beside_a_regions_own_is_reached_over_the_same_link(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.endpoint.server.listen_tcp(f"{BLOCK}.1.10", bench.topology.http_port)  # a load balancer's
        bench.publish(FaultSet((Fault("f", "cut", 0, region="us-west-2", target="us-east-1"),)))
        bench.checks(
            http_check(failure_threshold=1, ip_address=f"{BLOCK}.1.10", fully_qualified_domain_name="lb.lab.test")
        )
        await bench.until(lambda: opinions(bench) == {"us-west-2"} and all_looked(bench), "only us-west-2 is cut off")

    run(tmp_path, body)


def test_a_reported_status_stands_over_the_measured_one_until_it_is_lifted(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.checks(http_check())
        reported = Fault("f", "health_reported", 0, health_check_id="check-1", healthy=False)
        bench.publish(FaultSet((reported,)))
        assert not bench.probers.is_healthy("check-1")
        bench.publish(FaultSet())
        assert bench.probers.is_healthy("check-1")

    run(tmp_path, body)


def test_a_name_without_an_address_fails_its_check(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.checks(http_check(fully_qualified_domain_name="nobody.example.com", failure_threshold=1))
        await bench.until(lambda: not bench.probers.is_healthy("check-1"), "unhealthy")
        assert any("DNS resolution failed" in (c["reason"] or "") for c in checkers(bench))

    run(tmp_path, body)


def test_probes_that_are_due_together_leave_the_loop_a_turn_between_any_two(tmp_path: Path) -> None:
    turns: list[int] = [0]
    flipped_in: list[int] = []

    def turn() -> None:
        turns[0] += 1
        asyncio.get_running_loop().call_soon(turn)

    async def body(bench: Bench) -> None:
        turn()
        bench.probers.watch(lambda _check, _healthy: flipped_in.append(turns[0]))
        ids = [f"check-{number}" for number in range(30)]
        bench.checks(
            *(
                http_check(health_check_id=name, fully_qualified_domain_name="nobody.example.com", failure_threshold=1)
                for name in ids
            )
        )
        await bench.until(lambda: not any(bench.probers.is_healthy(name) for name in ids), "all are unhealthy")
        assert len(set(flipped_in)) == len(flipped_in) == len(ids)

    run(tmp_path, body, speed=10_000.0)


def test_probes_that_are_due_when_the_checkers_are_closed_are_not_begun(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
        bench.checks(*(http_check(health_check_id=f"check-{number}") for number in range(30)))
        await bench.until(lambda: bool(bench.endpoint.requests), "the first probe is there")
        await bench.probers.close()
        for _ in range(10):
            await asyncio.sleep(0)
        assert failed == []

    run(tmp_path, body, speed=10_000.0)


@pytest.mark.parametrize("turns", range(6))
def test_an_endpoint_that_closes_forgets_no_connection_that_it_is_taking(turns: int) -> None:
    async def main() -> None:
        endpoint = Endpoint()
        port = await endpoint.server.listen_tcp(f"{BLOCK}.1.2", 0)
        with socket.create_connection((f"{BLOCK}.1.2", port)):
            for _ in range(turns):
                await asyncio.sleep(0)
            await endpoint.server.close()

    asyncio.run(main())
    gc.collect()  # what was forgotten warns of it


def test_an_inverted_check_is_unhealthy_until_it_has_data_and_a_disabled_one_is_not_probed(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.checks(http_check(inverted=True), http_check(health_check_id="check-2", disabled=True))
        assert not bench.probers.is_healthy("check-1")
        assert bench.probers.is_healthy("check-2")
        bench.endpoint.response = Response(500)
        await bench.until(lambda: bench.probers.is_healthy("check-1"), "inverted: healthy")
        assert all(c["checked_ms"] is None for c in bench.probers.status()["check-2"]["checkers"])

    run(tmp_path, body)


def test_a_string_is_searched_in_the_first_5120_bytes(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.endpoint.response = Response(200, [], b"x" * 5100 + b"needle")
        check = http_check(type="HTTP_STR_MATCH", search_string="needle")
        bench.checks(check)
        await bench.until(lambda: any("was found" in (c["reason"] or "") for c in checkers(bench)), "found")
        bench.endpoint.response = Response(200, [], b"x" * 5115 + b"needle")
        await bench.until(lambda: not bench.probers.is_healthy("check-1"), "not within 5,120 bytes")

    run(tmp_path, body)
