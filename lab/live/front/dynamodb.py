"""DynamoDB on a region's AWS endpoint: item operations and streams from the engine, writes journaled, replicas shown.

Operations on tables are control's; which keys a write has is decided in `lab.core.dynamodb_write`.
"""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from lab.core.aws_error import AwsError
from lab.core.dynamodb_write import STATEMENT_WRITES, WRITES, tables_named, writes
from lab.core.global_table_description import described_table
from lab.core.table import Tables
from lab.engines import capabilities
from lab.live.clock import now_ms
from lab.live.documents import DocumentStore
from lab.live.front.engine_calls import EngineCalls, EngineFailed
from lab.live.front.wake import Waker
from lab.live.http_message import Request, Response
from lab.live.journal import Journal

STREAMS_PREFIX = "DynamoDBStreams_20120810"
PREFIX = "DynamoDB_20120810"
PARTIQL_UNREPLICATED = AwsError(
    "ValidationException",
    "PartiQL does not write to tables with replicas in this lab: the engine leaves such writes out of the table's "
    "stream. Use PutItem, UpdateItem, DeleteItem, BatchWriteItem or TransactWriteItems.",
)
NO_OBJECT = AwsError("SerializationException", "The request body is not a JSON object in UTF-8.")


class DynamoDb:
    """One region's DynamoDB and DynamoDB Streams."""

    def __init__(self, region: str, store: DocumentStore, engine: EngineCalls, journal: Journal, waker: Waker) -> None:
        self._region, self._store = region, store
        self._engine, self._journal, self._waker = engine, journal, waker
        self._schemas: dict[str, tuple[str, ...]] = {}
        store.watch(Tables, self._take_tables)
        self._take_tables()

    def _take_tables(self) -> None:
        self._schemas.clear()
        self._global = {
            table.name: table
            for table in self._store.get(Tables).global_tables
            if any(replica.region == self._region for replica in table.replicas)
        }

    def forget_tables(self) -> None:
        """Some table may have another key schema: one was made or deleted."""
        self._schemas.clear()

    def serves(self, prefix: str, operation: str) -> bool:
        """Whether the engine has an operation."""
        service = "dynamodbstreams" if prefix == STREAMS_PREFIX else "dynamodb"
        return capabilities.has_operation(service, operation)

    async def answer(self, prefix: str, operation: str, request: Request) -> Response:
        """Answer one call that is served and not control's. Raises EngineFailed."""
        response = await self._answer(prefix, operation, request)
        if response.status >= 500 and request.body and _object(request.body) is None:
            raise EngineFailed(NO_OBJECT)
        return response

    async def _answer(self, prefix: str, operation: str, request: Request) -> Response:
        target = f"{prefix}.{operation}"
        if prefix == PREFIX and operation in WRITES:
            return await self._write(target, operation, request)
        response = await self._engine.dynamodb(target, request.body, idempotent=True)
        if response.status == 200:
            if operation == "GetRecords":
                response = _without_marks(response)
            elif operation == "DescribeTable" and self._global:
                response = self._with_replicas(response)
        return _clean(response)

    async def _write(self, target: str, operation: str, request: Request) -> Response:
        parsed = _object(request.body)
        if parsed is None:  # the engine has the words for it
            return _clean(await self._engine.dynamodb(target, request.body, idempotent=True))
        tables = tables_named(operation, parsed)
        if operation in STATEMENT_WRITES and any(table in self._global for table in tables):
            raise EngineFailed(PARTIQL_UNREPLICATED)
        for table in tables:
            if table not in self._schemas:
                await self._learn(table)
        response = await self._engine.dynamodb(target, request.body, idempotent=False, report=True)
        if response.status == 200 and tables:
            self._acknowledge(operation, parsed, response)
        return _clean(response)

    def _acknowledge(self, operation: str, request: dict[str, Any], response: Response) -> None:
        answer: dict[str, Any] = {}
        if operation in ("BatchWriteItem", "BatchExecuteStatement"):
            answer = orjson.loads(response.body)
        sequence = response.header("x-lab-sequence")
        time_ms = int(sequence[:20]) if sequence else now_ms()
        for write in writes(operation, request, answer, self._schemas.get):
            self._journal.append(time_ms, write.table, write.keys, sequence)
            if write.table in self._global:
                self._waker.wake(write.table)

    async def _learn(self, table: str) -> None:
        """Ask the engine for a table's key; an unknown table is left for the engine to refuse."""
        body = orjson.dumps({"TableName": table})
        response = await self._engine.dynamodb(f"{PREFIX}.DescribeTable", body, idempotent=True)
        if response.status == 200:
            schema = orjson.loads(response.body)["Table"]["KeySchema"]
            names = {element["KeyType"]: element["AttributeName"] for element in schema}
            self._schemas[table] = tuple(names[kind] for kind in ("HASH", "RANGE") if kind in names)

    def _with_replicas(self, response: Response) -> Response:
        answer = orjson.loads(response.body)
        answer["Table"] = described_table(answer["Table"], self._region, self._store.get(Tables))
        response.body = orjson.dumps(answer)
        return response


def _object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body is, None if it is anything else."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _without_marks(response: Response) -> Response:
    if b'"lab"' in response.body:
        answer = orjson.loads(response.body)
        for record in answer.get("Records", []):
            record.pop("lab", None)
        response.body = orjson.dumps(answer)
    return response


def _clean(response: Response) -> Response:
    """The answer for a user: the engine's framing and the lab's headers off, the checksum right."""
    dropped = ("x-lab-", "connection", "content-length", "transfer-encoding", "x-amz-crc32", "date", "server")
    headers = [(n, v) for n, v in response.headers if not n.lower().startswith(dropped)]
    headers.append(("x-amz-crc32", str(zlib.crc32(response.body))))
    return Response(response.status, headers, response.body)
