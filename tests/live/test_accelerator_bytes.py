"""The bytes of a connection through an accelerator: half-closed ones, megabytes, pauses, and the time they take."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from accelerator_lab import east, world

TIMES = 4


def test_a_half_closed_connection_gets_its_answer(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as lab:
            lab.publish(east())
            stream = await lab.connect("dublin")
            stream.writer.write(b"x\n")
            stream.writer.write_eof()
            async with asyncio.timeout(60):
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
                async with asyncio.timeout(60):
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
            async with asyncio.timeout(60):
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
            async with asyncio.timeout(60):
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
            loop = asyncio.get_running_loop()
            began = loop.time()
            stream = await lab.connect("dublin")
            async with asyncio.timeout(60):
                with contextlib.suppress(ConnectionResetError):
                    stream.writer.write(b"x\n")
                    while await stream.reader.read():
                        pass
            assert loop.time() - began >= 0.34
            assert lab.edge.status()["idle_timeouts"] == 1
            stream.close()

    asyncio.run(run())


def test_asked_for_latency_delays_first_and_later_answers_by_the_way_over_the_edge(tmp_path: Path) -> None:
    """Never by less, and by more only as the machine's own work has it: the quickest of some is told by the latency."""

    async def run() -> None:
        async with world(tmp_path, accelerator_latency=True) as lab:
            lab.publish(east())
            loop = asyncio.get_running_loop()
            first_ms, later_ms = [], []
            for _ in range(TIMES):
                began = loop.time()
                stream = await lab.connect("dublin")
                assert (await stream.say("1")).startswith("east")
                first_ms.append(1000 * (loop.time() - began))
                began = loop.time()
                assert (await stream.say("2")).startswith("east")
                later_ms.append(1000 * (loop.time() - began))
                stream.close()
            path = lab.edge._path(lab.topology.place("dublin"), "us-east-1")
            assert path.first_answer_ms <= min(first_ms) < path.first_answer_ms + 500
            assert 2 * path.one_way_ms <= min(later_ms) < 2 * path.one_way_ms + 500

    asyncio.run(run())
