"""LocalStack's DynamoDB as the replicator needs it: every change kept in order, with marks, fences and positions.

The calls are those of `lab.engines.ministack_app`: `x-lab-apply`, `x-lab-after` and `x-lab-report` on the way in,
`x-lab-boot`, `x-lab-position` and `x-lab-sequence` on the way out. LocalStack's own streams go through a Kinesis
emulation and know whole seconds only, so the changes are taken where LocalStack makes their records. The writes of one
table follow one another: what a write finds, what it leaves and its record are one step. LocalStack makes no records
for ExecuteTransaction and BatchExecuteStatement: their writes to tables that have a stream, as every replica has, would
never be replicated, so they are refused.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import threading
import time
from dataclasses import dataclass, field
from decimal import Context
from itertools import pairwise
from typing import Any

import orjson
from localstack.aws import handlers  # type: ignore[import-not-found]

from lab.core.dynamodb_statement import statement_write
from lab.core.stream_log import PAGE, LoggedRecord, StreamLog, Trimmed
from lab.core.topology import ACCOUNT_ID

WRITES = frozenset(
    {
        "BatchWriteItem",
        "DeleteItem",
        "ExecuteStatement",
        "PutItem",
        "TransactWriteItems",
        "UpdateItem",
    }
)
DEFINITIONS = frozenset({"CreateTable", "UpdateTable", "DeleteTable"})
"""LocalStack makes a table first and then its stream, seconds later the first time: what is written to it meanwhile
would have no record."""
UNRECORDED = frozenset({"BatchExecuteStatement", "ExecuteTransaction"})
EXPIRED_BY = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html"""
STREAMS = {"ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"}
STREAMS_TARGET = "DynamoDBStreams_20120810."
TARGET = "DynamoDB_20120810."
NUMBERS = Context(prec=40)
"""DynamoDB's numbers have 38 digits."""
KINESIS_LIMIT = {"Delay": 0.2, "MaxAttempts": 100}
ACCESS_KEY = re.compile(r"Credential=[^/]*/")
SHARD = "shardId-00000000000000000000-00000000"


@dataclass
class _Call:
    """One DynamoDB call while it is handled: its locks, its marks by key, and its first record's sequence number.

    With `expiry` it deletes an item whose time to live is over, and its record says so as DynamoDB's do.
    """

    lab: bool
    expiry: bool = False
    marks: dict[str, str] = field(default_factory=dict)
    locks: list[threading.Lock] = field(default_factory=list)
    sequence: str | None = None


class DynamoDbChanges:
    """The handlers that LocalStack's chain is given."""

    def __init__(self) -> None:
        born_ms = time.time_ns() // 1_000_000
        self.boot = f"{born_ms}-{os.getpid()}"
        self.log = StreamLog(born_ms=born_ms)
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._current = threading.local()

    # LocalStack's chain: request, response, end

    def before(self, chain: Any, context: Any, response: Any) -> None:
        """Answer what is the replicator's, and let one write at a time into a table."""
        headers = context.request.headers
        target = headers.get("X-Amz-Target", "")
        if not context.is_internal_call:
            _use_one_account(headers, "dynamodb" if target.startswith("DynamoDB") else None)
        if not target.startswith("DynamoDB"):
            return
        operation = target.rpartition(".")[2]
        call = _Call("x-lab-report" in headers or "x-lab-apply" in headers, expiry="x-lab-expiry" in headers)
        if call.lab and operation in STREAMS:
            self._answer_stream(chain, operation, context.request, response)
            return
        if operation in UNRECORDED and not context.is_internal_call:
            streamed = sorted(filter(_has, _tables_of_statements(_json(context.request))))
            if streamed:
                message = (
                    f"{operation} to {streamed[0]} is not served by regions on LocalStack: its writes would not be "
                )
                message += "in the table's stream, nor replicated; ExecuteStatement and TransactWriteItems are"
                body = {"__type": "com.amazon.coral.service#UnknownOperationException", "message": message}
                self._respond(chain, response, 400, body)
                return
        self._current.call = context.lab_call = call
        if operation in WRITES or operation in DEFINITIONS:
            self._enter(chain, call, operation, context.request, response)

    def after(self, chain: Any, context: Any, response: Any) -> None:
        """Tell the lab's own calls where the log stands."""
        call = getattr(context, "lab_call", None)
        if call is None or not call.lab:
            return
        response.headers["x-lab-boot"] = self.boot
        response.headers["x-lab-position"] = str(self.log.position)
        if call.sequence is not None:
            response.headers["x-lab-sequence"] = call.sequence

    def end(self, chain: Any, context: Any, response: Any) -> None:
        """Let the next write in."""
        call = getattr(context, "lab_call", None)
        if call is None:
            return
        self._current.call = None
        if response.status_code == 200:
            self._note_end_of_stream(context.request)
        while call.locks:
            call.locks.pop().release()

    def _note_end_of_stream(self, request: Any) -> None:
        operation = request.headers.get("X-Amz-Target", "").removeprefix(TARGET)
        if operation not in ("DeleteTable", "UpdateTable"):
            return
        body = _json(request)
        table = _table_name(body.get("TableName", ""))
        with self._guard:
            if operation == "DeleteTable":
                self.log.forget(table)
            elif (body.get("StreamSpecification") or {}).get("StreamEnabled") is False:
                self.log.cut(table, time.time_ns() // 1_000_000)

    def capture(self, records_map: dict[str, Any]) -> None:
        """LocalStack has made the records of a write: keep them."""
        call: _Call | None = getattr(self._current, "call", None)
        marks = call.marks if call is not None else {}
        with self._guard:
            for table, made in records_map.items():
                for record in made["records"]:
                    if call is not None and call.expiry:
                        record["userIdentity"] = EXPIRED_BY
                    sequence = self.log.next_sequence(time.time_ns() // 1_000_000)
                    self.log.append(table, _logged(record, sequence, marks))
                    if call is not None and call.sequence is None:
                        call.sequence = sequence

    # writes

    def _enter(self, chain: Any, call: _Call, operation: str, request: Any, response: Any) -> None:
        body = _json(request)
        tables = sorted(_tables(operation, body))
        for table in tables:
            with self._guard:
                lock = self._locks.setdefault(table, threading.Lock())
            lock.acquire()
            call.locks.append(lock)
        marks = request.headers.get("x-lab-apply")
        if marks is None:
            return
        table, items = _written(operation, body)
        names = self._schema(table)
        if names is None:
            return  # LocalStack refuses it, and says why
        keys = [_canonical({name: item.get(name) for name in names}) for item in items]
        fences = request.headers.get("x-lab-after")
        if fences is not None:
            read_to, _, applied_to = fences.partition(" ")
            with self._guard:
                fenced = self.log.is_fenced(table, keys, read_to, int(applied_to or 0))
            if fenced:
                self._respond(chain, response, 409, {"__type": "lab#Fenced"})
                return
        listed = marks.split(" ")
        call.marks = dict(zip(keys, listed * len(keys) if len(listed) == 1 else listed, strict=True))

    def _schema(self, table: str) -> list[str] | None:
        """The names of a table's key attributes, None if there is no such table."""
        from localstack.aws.api.dynamodb import ResourceNotFoundException  # type: ignore[import-not-found]
        from localstack.services.dynamodb.utils import SchemaExtractor  # type: ignore[import-not-found]

        try:
            schema = SchemaExtractor.get_key_schema(table, ACCOUNT_ID, os.environ["AWS_DEFAULT_REGION"])
        except ResourceNotFoundException:
            return None
        return [element["AttributeName"] for element in schema]

    # the replicator's streams

    def _answer_stream(self, chain: Any, operation: str, request: Any, response: Any) -> None:
        body = _json(request)
        try:
            with self._guard:
                answer = self._stream(operation, body)
        except Trimmed:
            self._respond(
                chain,
                response,
                400,
                {
                    "__type": "com.amazonaws.dynamodb.v20120810#TrimmedDataAccessException",
                    "message": "the records are gone",
                },
            )
            return
        if operation == "GetShardIterator":
            with self._guard:
                response.headers["x-lab-trimmed"] = self.log.trimmed(_table_name(body["StreamArn"]))
        self._respond(chain, response, 200, answer)

    def _stream(self, operation: str, body: dict[str, Any]) -> dict[str, Any] | bytes:
        match operation:
            case "ListStreams":
                table = body.get("TableName")
                return {"Streams": [{"StreamArn": _arn(table), "TableName": table}] if table and _has(table) else []}
            case "GetShardIterator":
                table = _table_name(body["StreamArn"])
                if body["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
                    index = self.log.after(table, body["SequenceNumber"])
                else:
                    index = self.log.oldest(table)
                return {"ShardIterator": f"{self.boot}|{index}|{table}"}
            case "GetRecords":
                boot, index_text, table = body["ShardIterator"].split("|", 2)
                if boot != self.boot:
                    raise Trimmed(table)
                records, following = self.log.read(table, int(index_text), int(body.get("Limit") or PAGE))
                joined = b",".join(record.body for record in records)
                return b'{"Records":[%b],"NextShardIterator":%b}' % (
                    joined,
                    orjson.dumps(f"{self.boot}|{following}|{table}"),
                )
            case _:
                arn = body["StreamArn"]
                return {"StreamDescription": {"StreamArn": arn, "Shards": [{"ShardId": SHARD}]}}

    def _respond(self, chain: Any, response: Any, status: int, answer: dict[str, Any] | bytes) -> None:
        response.status_code = status
        response.headers["x-lab-boot"] = self.boot
        response.headers["x-lab-position"] = str(self.log.position)
        response.headers["Content-Type"] = "application/x-amz-json-1.0"
        response.data = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        chain.terminate()  # LocalStack's response handlers have nothing to add


def install() -> DynamoDbChanges:
    """Put the handlers into LocalStack's chain, and the capture where it hands its records on."""
    changes = DynamoDbChanges()
    handlers.preprocess_request.append(changes.before)
    handlers.run_custom_response_handlers.append(changes.after)
    handlers.run_custom_finalizers.append(changes.end)

    from localstack.services.dynamodb import provider  # type: ignore[import-not-found]

    forward = provider.EventForwarder.forward_to_targets

    def forward_and_capture(
        self: Any, account_id: str, region_name: str, records_map: Any, background: bool = True
    ) -> None:
        changes.capture(records_map)
        forward(self, account_id, region_name, records_map, background)

    provider.EventForwarder.forward_to_targets = forward_and_capture
    _make_streams_anew()
    return changes


def _make_streams_anew() -> None:
    """LocalStack leaves a table's Kinesis stream there when the table's stream is turned off, and cannot make another.

    A deleted table's it deletes in the background, and fails likewise if the table is made again meanwhile.
    """
    from localstack.utils.aws import resources  # type: ignore[import-not-found]

    create = resources.create_kinesis_stream

    def create_anew(client: Any, stream_name: str, *arguments: Any, **options: Any) -> None:
        try:
            create(client, stream_name, *arguments, **options)
        except client.exceptions.ResourceInUseException:
            with contextlib.suppress(client.exceptions.ClientError):  # it is being deleted already
                client.delete_stream(StreamName=stream_name, EnforceConsumerDeletion=True)
            client.get_waiter("stream_not_exists").wait(StreamName=stream_name, WaiterConfig=KINESIS_LIMIT)
            create(client, stream_name, *arguments, **options)

    resources.create_kinesis_stream = create_anew


def _use_one_account(headers: Any, service: str | None) -> None:
    """The lab has one account, whatever key a request is signed with, and calls of its parts are not signed at all."""
    signed = headers.get("Authorization")
    if signed is not None:
        if "Credential=" in signed:
            headers["Authorization"] = ACCESS_KEY.sub(f"Credential={ACCOUNT_ID}/", signed)
    elif service is not None:
        scope = f"{ACCOUNT_ID}/20260101/{os.environ['AWS_DEFAULT_REGION']}/{service}/aws4_request"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


def _logged(record: dict[str, Any], sequence: str, marks: dict[str, str]) -> LoggedRecord:
    change = {name: value for name, value in record["dynamodb"].items() if name != "SequenceNumber"}
    change["SequenceNumber"] = sequence
    kept = {"eventID": record.get("eventID", ""), "eventName": record["eventName"], "dynamodb": change}
    if "userIdentity" in record:
        kept["userIdentity"] = record["userIdentity"]
    key = _canonical(change["Keys"])
    mark = marks.get(key)
    if mark is not None:
        kept["lab"] = mark
    return LoggedRecord(sequence, key, mark, orjson.dumps(kept, default=_base64))


def _base64(value: Any) -> Any:
    """Binary values, which LocalStack has as bytes, as DynamoDB's JSON has them."""
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    return list(value)


def _canonical(key: dict[str, Any]) -> str:
    return json.dumps({name: _one_form(value) for name, value in key.items()}, sort_keys=True, default=_base64)


def _one_form(value: Any) -> Any:
    """An attribute's value; a number as it is written in one way alone."""
    if not isinstance(value, dict) or not isinstance(value.get("N"), str):
        return value
    try:
        number = NUMBERS.create_decimal(value["N"]).normalize(NUMBERS)
    except ArithmeticError:
        return value  # LocalStack refuses it
    return {"N": str(number) if number else "0"}


def _json(request: Any) -> dict[str, Any]:
    try:
        body = orjson.loads(request.get_data())
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _table_name(name: str) -> str:
    """A table's name out of a name, a table's ARN or a stream's."""
    return name.partition(":table/")[2].partition("/")[0] if name.startswith("arn:") else name


def _tables(operation: str, body: dict[str, Any]) -> set[str]:
    match operation:
        case "BatchWriteItem":
            names = list(body.get("RequestItems") or {})
        case "TransactWriteItems":
            entries = [entry for item in body.get("TransactItems") or [] for entry in item.values()]
            names = [entry.get("TableName", "") for entry in entries if isinstance(entry, dict)]
        case "ExecuteStatement":
            words = str(body.get("Statement", "")).replace('"', " ").replace("'", " ").split()
            names = [word for before, word in pairwise(words) if _names_a_table(before)]
        case _:
            names = [body.get("TableName", "")]
    return {_table_name(name) for name in names if isinstance(name, str)}


def _tables_of_statements(body: dict[str, Any]) -> set[str]:
    """The tables that a batch or transaction of PartiQL statements writes."""
    entries = body.get("TransactStatements") or body.get("Statements") or []
    found = (statement_write(str(entry.get("Statement", "")), []) for entry in entries if isinstance(entry, dict))
    return {_table_name(write.table) for write in found if write is not None}


def _names_a_table(word: str) -> bool:
    return word.upper() in ("INTO", "UPDATE", "FROM")


def _written(operation: str, body: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The table of a write of the replicator's, and the items or keys that it writes."""
    if operation != "BatchWriteItem":
        return body["TableName"], [body["Item"] if operation == "PutItem" else body["Key"]]
    ((table, requests),) = body["RequestItems"].items()
    return table, [r["PutRequest"]["Item"] if "PutRequest" in r else r["DeleteRequest"]["Key"] for r in requests]


def _arn(table: str) -> str:
    return f"arn:aws:dynamodb:{os.environ['AWS_DEFAULT_REGION']}:000000000000:table/{table}/stream/lab"


def _has(table: str) -> bool:
    """Whether a table with a stream exists."""
    from localstack.services.dynamodb.provider import get_table_stream_type  # type: ignore[import-not-found]

    region = os.environ["AWS_DEFAULT_REGION"]
    return get_table_stream_type(ACCOUNT_ID, region, table) is not None
