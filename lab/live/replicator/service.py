"""The replicator as a part: streams, shippers and the filler of all regions around one core, and the calls it answers.

`POST /wake/REGION/TABLE`, `GET /status`, `GET /conflicts`, `GET /lost`, `GET /diff`, `POST /converged`: see
docs/architecture.md.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
from pathlib import Path
from urllib.parse import parse_qs, unquote

import orjson

from lab.core.faults import FaultSet
from lab.core.replication import Replication
from lab.core.replication_work import Outcome
from lab.core.table import KeyAttribute, Tables
from lab.core.whole_number import whole_number
from lab.data import geography
from lab.live.clock import now_ms
from lab.live.http_client import CallFailed, HttpClient
from lab.live.http_message import Request, Response, json_response
from lab.live.part import PartContext
from lab.live.part_address import part_address
from lab.live.probe_cloudwatch import CloudWatchCalls
from lab.live.replicator import answers
from lab.live.replicator.convergence import Convergence
from lab.live.replicator.difference import compare_replicas
from lab.live.replicator.engine import Engine, EngineError, EngineRestarted
from lab.live.replicator.expiry import Expirer
from lab.live.replicator.journals import Journals
from lab.live.replicator.lag_metrics import LagMetrics
from lab.live.replicator.losses import Losses
from lab.live.replicator.progress import Progress
from lab.live.replicator.reader import Reader
from lab.live.replicator.shipper import Filler, Shipper
from lab.live.replicator.store import SqliteStore

READ_TIMEOUT_S = 5.0
COMMIT_DELAY_S = 0.02
TOMBSTONE_AGE_MS = 15 * 60 * 1000
JOURNAL_AGE_MS = 60 * 1000
HOUSEKEEPING_S = 60.0
PAGE = 1000


class Replicator:
    """The part `replicator`."""

    def __init__(self, context: PartContext) -> None:
        self._context = context
        topology = context.topology
        self._store = SqliteStore(Path(topology.state_dir) / "replicator.sqlite")
        self._keys: dict[str, tuple[KeyAttribute, ...]] = {}
        self._legacy: set[str] = set()
        self._chance = random.Random(f"{topology.seed}:replication")
        self._core = Replication(
            self._store, lag_ms=self._lag_ms, on_lag=self._on_lag, clock_skews=topology.clock_skews
        )
        self._engines = {code: Engine(code, part_address(topology, f"engine-{code}")) for code in topology.region_codes}
        fronts = {
            code: HttpClient(part_address(topology, topology.front_part(code)), connect_timeout_s=1.0)
            for code in topology.region_codes
        }
        self._journals = Journals(fronts, self._keys.get, context.log)
        self._cloudwatch = CloudWatchCalls(topology, context.store)
        self._metrics = LagMetrics(self._cloudwatch, context.clock, lambda: context.store.get(Tables))
        self._expirer = Expirer(self._engines, context.clock, self._is_up, self._wake, self._on_restart, context.log)
        self._shippers = {
            code: Shipper(
                engine,
                self._core,
                self._key_of,
                self._is_legacy,
                self._injected,
                self._on_fenced,
                self._on_done,
                self._on_restart,
                context.log,
            )
            for code, engine in self._engines.items()
        }
        self._filler = Filler(
            self._engines, self._core, self._key_of, self._read_through, self._on_done, self._on_restart, context.log
        )
        self._progress_to_control = Progress(self._core, context.store, self._engines, context.control)
        self._readers: dict[tuple[str, str], tuple[Reader, asyncio.Task[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._losses = Losses(self._core, self._store, self._engines, self._journals, self._on_task_end, context.log)
        self._convergence = Convergence(self._core, self._read_now)
        self._commit_due = False

    # Part

    async def start(self) -> None:
        # Records and items make no cycles: looking for some at every 700th object costs a tenth of the time.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        documents = self._context.store
        documents.watch(Tables, self._on_tables)
        documents.watch(FaultSet, self._on_faults)
        for region in self._engines:
            self._core.on_doubt(region)
        self._on_faults()
        self._on_tables()
        jobs = [*(shipper.run() for shipper in self._shippers.values()), self._filler.run(), self._keep_house()]
        jobs += [self._progress_to_control.run(), self._metrics.run(self._core), self._expirer.run()]
        self._tasks = [asyncio.create_task(job) for job in jobs]
        for task in self._tasks:
            task.add_done_callback(self._on_task_end)

    async def close(self) -> None:
        tasks = [*self._tasks, *(task for _, task in self._readers.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for engine in self._engines.values():
            engine.close()
        self._journals.close()
        self._cloudwatch.close()
        self._store.close()

    async def answer(self, request: Request) -> Response | None:
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["wake", region, table]:
                self._wake(region, unquote(table))
                return Response(204)
            case "GET", ["status"]:
                readers = {name: reader for name, (reader, _) in self._readers.items()}
                counts, unknown = self._store.happenings.counts(), self._store.happenings.unknown_losses()
                found = await answers.status(
                    self._core, self._metrics, readers, self._engines, self._is_up, counts, unknown
                )
                return json_response(200, orjson.dumps(found))
            case "GET", ["conflicts"]:
                await self._losses.look_up_losers()
                rows = self._store.happenings.conflicts(_after(request), PAGE)
                return json_response(200, orjson.dumps(answers.conflicts(rows, self._keys.get)))
            case "GET", ["lost"]:
                lost = self._store.happenings.lost(_after(request), PAGE)
                return json_response(
                    200, orjson.dumps(answers.lost(lost, self._keys.get, self._store.happenings.unknown_losses()))
                )
            case "GET", ["diff"]:
                return await self._diff(request)
            case "POST", ["converged"]:
                return await self._convergence.answer(request)
        return None

    # Documents

    def _on_tables(self) -> None:
        tables = self._context.store.get(Tables)
        self._legacy = {table.name for table in tables.global_tables if table.version == "2017.11.29"}
        self._keys.clear()
        self._keys.update({table.name: table.key for table in tables.global_tables})
        self._core.on_tables(tables)
        wanted = {
            (table.name, replica.region)
            for table in tables.global_tables
            for replica in table.replicas
            if replica.region in self._engines and replica.status in ("CREATING", "ACTIVE", "UPDATING")
        }
        for entry, (reader, task) in list(self._readers.items()):
            table = entry[0]  # there may be another one of that name by now
            if entry not in wanted or (reader.key, reader.legacy) != (self._keys[table], table in self._legacy):
                task.cancel()
                del self._readers[entry]
        for new in sorted(wanted - self._readers.keys()):
            self._start_reader(*new)
        self._progress_to_control.changed.set()
        self._kick()

    def _start_reader(self, table: str, region: str) -> None:
        reader = Reader(
            table=table,
            key=self._keys[table],
            legacy=table in self._legacy,
            engine=self._engines[region],
            core=self._core,
            is_up=lambda: self._is_up(region),
            on_read=self._on_read,
            on_restart=self._on_restart,
            on_gap=self._on_gap,
            log=self._context.log,
        )
        task = asyncio.create_task(reader.run())
        task.add_done_callback(self._on_task_end)
        self._readers[table, region] = (reader, task)

    def _on_faults(self) -> None:
        self._core.on_faults(self._context.store.get(FaultSet))
        for reader, _ in self._readers.values():
            reader.wake()
        self._kick()

    def _is_up(self, region: str) -> bool:
        return self._context.store.get(FaultSet).region_condition(region) == "up"

    async def _injected(self, region: str) -> Outcome | None:
        """What a fault of a region's DynamoDB does to an apply: nothing, a delay, or a failure that is tried again."""
        fault = self._context.store.get(FaultSet).on_call(region, "dynamodb", "BatchWriteItem")
        if fault is None or (fault.effect == "error" and self._chance.random() >= fault.probability):
            return None
        if fault.effect == "delay":
            await self._context.clock.sleep(fault.delay_ms)
            return None
        return Outcome("failed")

    def _is_legacy(self, table: str) -> bool:
        return table in self._legacy

    def _key_of(self, table: str) -> tuple[KeyAttribute, ...]:
        return self._keys[table]

    # What happens

    def _wake(self, region: str, table: str) -> None:
        entry = self._readers.get((table, region))
        if entry is not None:
            entry[0].wake()

    def _on_read(self, table: str, region: str, ended: bool) -> None:
        self._core.on_stream_read(table, region)
        if ended:
            self._core.on_caught_up(table, region, now_ms())
            self._losses.account_soon()
        self._kick()

    async def _read_through(self, table: str, region: str) -> None:
        """Return when a stream has been read up to now. Raises TimeoutError."""
        entry = self._readers.get((table, region))
        if entry is not None:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await entry[0].read_through()

    def _on_fenced(self, table: str, region: str) -> None:
        self._wake(region, table)

    def _on_done(self) -> None:
        """Outcomes are made durable a little later, many at once: an apply can be repeated."""
        self._convergence.progress.set()
        self._losses.account_soon()
        if not self._commit_due:
            self._commit_due = True
            asyncio.get_running_loop().call_later(COMMIT_DELAY_S, self._commit)
        if self._core.is_busy():
            self._filler.kick()

    def _commit(self) -> None:
        self._commit_due = False
        try:
            self._core.commit()
        except sqlite3.Error as error:
            self._fail(error)

    def _kick(self) -> None:
        for shipper in self._shippers.values():
            shipper.kick()
        if self._core.is_busy():
            self._filler.kick()
        self._convergence.progress.set()

    def _on_gap(self, table: str, region: str, bound_ms: int, through: str) -> None:
        self._context.log(f"{region}: the stream of {table} has lost records that were not read; comparing the table")
        self._core.on_gap(table, region, bound_ms, through)
        self._kick()

    async def _on_restart(self, engine: Engine, boot: str) -> None:
        """An engine answers that is another run than the last: its tables are empty."""
        if not await self._losses.on_answer_of(engine, boot):
            return
        for (_, region), (reader, _) in self._readers.items():
            if region == engine.region:
                reader.stream.reopen()
                reader.wake()
        self._kick()

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        """A task of the replicator never ends by itself: the process does, and is started again."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """End the process: what is in memory may be ahead of the file, and another begins with what is in the file."""
        self._context.stop()
        self._context.log(f"replicator: {error!r}")
        asyncio.get_running_loop().call_exception_handler({"message": "a task failed", "exception": error})

    def _lag_ms(self, source: str, target: str) -> int:
        """How long a write is on its way, in real milliseconds."""
        lag = self._context.topology.replication
        if not lag.distance and not lag.pairs:
            return 0
        lab_ms = lag.lag_ms(source, target, geography().between_regions_ms, self._chance)
        return round(self._context.clock.wait_s(lab_ms) * 1000)

    def _on_lag(self, table: str, source: str, target: str, ms: int) -> None:
        self._metrics.add(table, source, target, ms)

    async def _keep_house(self) -> None:
        """When nothing is left to do: forget old deletes, and have the fronts forget what is everywhere."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            now = now_ms()
            if not all(self._is_up(region) for region in self._engines) or self._core.is_busy():
                continue
            await asyncio.gather(*(reader.read_through() for reader in self._read_now(None)))
            if self._core.backlog() or self._core.unaccounted() or self._losses.busy or self._losses.unknown:
                continue  # an account reads what would be forgotten here
            await self._losses.look_up_losers()
            self._store.collect_tombstones(now - TOMBSTONE_AGE_MS)
            self._store.commit()
            for region in self._engines:
                await self._journals.trim(region, now - JOURNAL_AGE_MS)

    # Answers

    async def _diff(self, request: Request) -> Response:
        """`GET /diff?table=NAME&limit=N`: the replicas of a table compared item by item."""
        wanted = parse_qs(request.query)
        table, limit = wanted.get("table", [""])[0], whole_number(wanted.get("limit", ["100"])[0])
        if limit is None:
            return json_response(400, orjson.dumps({"error": "limit: expected a number of items"}))
        if table not in self._keys:
            known = ", ".join(sorted(self._keys)) or "none"
            return json_response(400, orjson.dumps({"error": f"no global table {table!r}; there are: {known}"}))
        regions = sorted(region for name, region in self._readers if name == table)
        engines = {region: self._engines[region] for region in regions}
        try:
            found = await compare_replicas(table, self._keys[table], engines, limit)
        except (CallFailed, EngineError, EngineRestarted) as error:
            return json_response(503, orjson.dumps({"error": f"the replicas of {table} cannot all be read: {error}"}))
        return json_response(
            200,
            orjson.dumps(
                {"table": table, "items": found.counts, "differing": found.differing, "differences": found.shown}
            ),
        )

    def _read_now(self, table: str | None) -> list[Reader]:
        return [
            reader
            for (name, region), (reader, _) in self._readers.items()
            if table in (None, name) and self._is_up(region)
        ]


def _after(request: Request) -> int:
    return whole_number(parse_qs(request.query).get("after", ["0"])[0]) or 0
