"""What the lab adds to MiniStack inside the engine's process: marks, fences, positions, and closed doors.

- A DynamoDB request with the header `x-lab-apply: MARK ...` is a write of the replicator's, one mark for each of the
  items that it writes, in their order: their stream records carry `"lab": MARK` beside the standard fields.
- With `x-lab-after: S N` as well it is fenced: if the stream holds, of one of the written keys, a record without a
  mark and with a sequence number above S (a local write that the replicator has not read yet), or one with a mark and a
  counter above N (this request was given up and comes late), nothing is written and the answer is 409. Handlers run on
  the event loop without a pause, so check and write are one step.
- With `x-lab-expiry: 1` it deletes an item whose time to live is over: the record says so as DynamoDB's do, in
  `userIdentity`.
- A DynamoDB request with any `x-lab-` header (`x-lab-report: 1` if for nothing else) is told `x-lab-boot`, which names
  this run of the engine; `x-lab-position`, the counter of the last stream record made so far, of any table; and, if it
  made stream records itself, `x-lab-sequence`, the sequence number of its first. With a stream's iterator it is told
  `x-lab-trimmed`, the last sequence number that the stream may lack: of a record that has aged out, or that would have
  been made while the stream was off ("" if there are none). Whoever passes answers on to users drops these headers.
- Numbers in keys are compared as numbers: 1, 1.0 and 1.00 name one item in every call. What MiniStack lets pass of keys
  that are missing or updated is refused (`lab.engines.ministack_checks`).
- Everything is in the lab's one account; MiniStack would make an account of any access key of twelve digits.
- Its admin paths answer 403, its TTL reaper finds nothing to do (it would delete without a stream record), the host's
  init scripts and Docker are left alone.

All this relies on the insides of one MiniStack version, which is pinned; tests/contract says what it relies on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import time
from typing import Any

import ministack.app as ministack  # type: ignore[import-untyped]
import orjson
from ministack.core import responses  # type: ignore[import-untyped]
from ministack.services import dynamodb, dynamodb_streams  # type: ignore[import-untyped]

from lab.engines.asgi_server import Receive, Scope, Send
from lab.engines.ministack_checks import install_checks

Answer = tuple[int, dict[str, str], Any]

CLOSED_PATHS = ("/_ministack", "/_localstack", "/_aws", "/health")
WORKER_THREADS = 16


class _Call:
    """One DynamoDB request as it writes: what its records are marked with, and the sequence number of the first."""

    __slots__ = ("expiry", "mark", "sequence")

    def __init__(self, *, expiry: bool) -> None:
        self.expiry = expiry
        self.mark: str | None = None
        self.sequence: str | None = None


_call: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("lab_call", default=None)


STREAM_RETENTION_S = 24 * 60 * 60
STREAM_RETENTION_S_MIN = 10 * 60
"""At any speed: a replicator that is started again must find what was written meanwhile."""


class EngineApp:
    """The ASGI application of an engine. MiniStack's lifespan is left out: it runs the host's init scripts and removes
    containers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, speed: float = 1.0) -> None:
        _install()
        dynamodb._STREAM_RETENTION_SECONDS = max(STREAM_RETENTION_S / speed, STREAM_RETENTION_S_MIN)
        self.boot = f"{time.time_ns() // 1_000_000}-{os.getpid()}"
        self._schedulers_started = False
        ministack._MAIN_LOOP = loop
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(WORKER_THREADS, "ministack-worker"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"].startswith(CLOSED_PATHS):
                await _respond(send, 403, [(b"content-type", b"text/plain")], b"closed: an admin path of the engine\n")
                return
            lab, target = _lab_headers(scope["headers"])
            if target.startswith(b"DynamoDB"):
                if lab:
                    await self._dynamodb(lab, target, receive, send)
                    return
            elif target.startswith((b"AWSEvents", b"AWSScheduler")):
                self._start_schedulers()
        await ministack.app(scope, receive, send)

    async def _dynamodb(self, lab: dict[bytes, bytes], target: bytes, receive: Receive, send: Send) -> None:
        """A call of the lab's own parts, past MiniStack's routing of services."""
        body = await _body(receive)
        call = _Call(expiry=b"x-lab-expiry" in lab)
        token = _call.set(call)
        try:
            status, headers, answer = await self._execute(target.decode("latin-1"), body, lab, call)
        finally:
            _call.reset(token)
        sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        sent.append((b"x-lab-boot", self.boot.encode("ascii")))
        sent.append((b"x-lab-position", b"%d" % dynamodb._stream_seq_counter))
        if call.sequence is not None:
            sent.append((b"x-lab-sequence", call.sequence.encode("ascii")))
        if target.endswith(b".GetShardIterator") and status == 200:
            sent.append((b"x-lab-trimmed", _trimmed_of(body).encode("ascii")))
        await _respond(send, status, sent, answer if isinstance(answer, bytes) else answer.encode())

    async def _execute(self, operation: str, body: bytes, lab: dict[bytes, bytes], call: _Call) -> Answer:
        json_type = {"content-type": "application/x-amz-json-1.0"}
        marks = lab.get(b"x-lab-apply")
        if marks is not None:
            writes = _Writes(operation.rpartition(".")[2], body, marks.decode("latin-1"))
            after = lab.get(b"x-lab-after")
            if after is not None and writes.fenced(*after.decode("latin-1").split(" ")):
                return 409, json_type, b'{"__type":"lab#Fenced"}'
            if not operation.endswith(".UpdateItem"):
                return writes.perform(call) or (200, json_type, b"{}")
            call.mark = marks.decode("latin-1")
        if operation.endswith(".GetRecords") and (page := _read_stream(body)) is not None:
            return 200, json_type, page
        service = dynamodb_streams if operation.startswith("DynamoDBStreams") else dynamodb
        answer: Answer = await service.handle_request("POST", "/", {"x-amz-target": operation}, body, {})
        return answer

    def _start_schedulers(self) -> None:
        if not self._schedulers_started:
            from ministack.services import eventbridge, scheduler

            self._schedulers_started = True
            eventbridge.start_scheduler()
            scheduler.start_scheduler()


_trimmed: dict[str, str] = {}
"""By table: the last sequence number that its stream may lack."""


class _TtlSettings(responses.AccountRegionScopedDict):  # type: ignore[misc]
    """TTL settings as the API shows them, hidden from the reaper, which is the only one to go through all items."""

    __slots__ = ()

    def all_items(self) -> list[Any]:
        return []


def _install() -> None:
    """Put the lab's hooks into MiniStack, once a process."""
    if getattr(dynamodb, "_lab_installed", False):
        return
    build = dynamodb._build_change_record

    def build_marked(*arguments: Any) -> dict[str, Any]:
        record: dict[str, Any] = build(*arguments)
        call = _call.get()
        if call is not None:
            if call.sequence is None:
                call.sequence = record["dynamodb"]["SequenceNumber"]
            if call.expiry:
                record["userIdentity"] = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
            if call.mark is not None:
                record["lab"] = call.mark
        return record

    drop, trim = dynamodb.drop_stream_records, dynamodb._trim_stream_records
    key_value, one_form = dynamodb._extract_key_val, dynamodb._ddb_canonicalize_number

    def key_value_of_one_form(attribute: Any) -> Any:
        value = key_value(attribute)
        if not isinstance(attribute, dict) or "N" not in attribute or (value.isdigit() and value[0] != "0"):
            return value
        return one_form(value) or value

    def drop_noting(name: str, table: dict[str, Any] | None = None) -> None:
        drop(name, table)
        _trimmed.pop(name, None)
        if name in dynamodb._tables:  # the table lives on; what is written until its next stream is in none
            _trimmed[name] = dynamodb._next_stream_seq()

    def trim_noting(name: str, **where: Any) -> None:
        records = dynamodb._stream_records.get(name)
        if not records or not _is_old(records[0]):
            return
        before = list(records)
        trim(name, **where)
        if gone := len(before) - len(records):
            _trimmed[name] = before[gone - 1]["dynamodb"]["SequenceNumber"]

    def one_account(access_key_id: str) -> None:
        responses._request_account_id.set(os.environ["MINISTACK_ACCOUNT_ID"])

    dynamodb._build_change_record = build_marked
    dynamodb._extract_key_val = key_value_of_one_form
    dynamodb.drop_stream_records, dynamodb._trim_stream_records = drop_noting, trim_noting
    dynamodb._ttl_settings = _TtlSettings()
    install_checks()
    ministack.set_request_account_id = one_account
    dynamodb._lab_installed = True


def _is_old(record: dict[str, Any]) -> bool:
    old: bool = dynamodb._record_age_cutoff(record, time.time() - dynamodb._STREAM_RETENTION_SECONDS)
    return old


def _trimmed_of(body: bytes) -> str:
    stream = str(orjson.loads(body).get("StreamArn"))
    return _trimmed.get(dynamodb_streams._table_from_stream_arn(stream) or "", "")


def _read_stream(body: bytes) -> bytes | None:
    """GetRecords for the replicator, in a tenth of the time: each record is put into JSON once.

    None for whatever is not the ordinary case; MiniStack answers that.
    """
    request = orjson.loads(body)
    iterator = dynamodb_streams._decode_iterator(request.get("ShardIterator") or "")
    if iterator is None or time.time() - iterator.get("i", 0) >= dynamodb_streams._ITERATOR_TTL_SECONDS:
        return None
    name, position = iterator["t"], int(iterator["p"])
    table = dynamodb._tables.get(name) or {}
    where = {"account_id": responses.get_account_id(), "region": responses.get_region()}
    in_order = dynamodb.stream_start_position(name, **where) <= position <= dynamodb.stream_end_position(name, **where)
    if table.get("LatestStreamArn") != iterator.get("arn") or not in_order:
        return None
    page: list[bytes] = []
    size = 0
    for record in dynamodb.stream_records_since(name, position, min(int(request.get("Limit") or 1000), 1000), **where):
        data = orjson.dumps(record)
        size += len(data)
        if page and size > dynamodb_streams._GET_RECORDS_MAX_BYTES:
            break
        page.append(data)
    following = dynamodb_streams._encode_iterator(
        name, iterator["s"], position + len(page), stream_arn=iterator["arn"], **where
    )
    return b'{"Records":[%b],"NextShardIterator":"%b"}' % (b",".join(page), following.encode())


class _Writes:
    """A write of the replicator's: its items or keys, a mark for each.

    They go past MiniStack's checks of what users send: the region that they come from has made them. Raises nothing of
    its own; what MiniStack says against a table or key is answered.
    """

    def __init__(self, operation: str, body: bytes, marks: str) -> None:
        request = orjson.loads(body)
        if operation == "BatchWriteItem":
            ((self._name, requests),) = request["RequestItems"].items()
        else:
            self._name = request["TableName"]
            requests = [{"PutRequest" if operation == "PutItem" else "DeleteRequest": request}]
        self._puts = ["PutRequest" in entry for entry in requests]
        self._items = [e["PutRequest"]["Item"] if "PutRequest" in e else e["DeleteRequest"]["Key"] for e in requests]
        self._marks = marks.split(" ")
        self._table = dynamodb._tables.get(self._name)

    def fenced(self, read_to: str, applied_to: str) -> bool:
        """Whether one of the keys has a record beyond the fences."""
        if self._table is None:
            return False
        keys: set[tuple[Any, ...]] | None = None
        read_to, last_applied = read_to.zfill(30), int(applied_to)
        names = [self._table[part] for part in ("pk_name", "sk_name") if self._table[part]]
        for record in reversed(dynamodb._stream_records.get(self._name) or []):
            change = record["dynamodb"]
            sequence = change["SequenceNumber"]
            unread, unknown = sequence > read_to, int(sequence[20:]) > last_applied
            if not unread and not unknown:
                return False
            if not (unknown if "lab" in record else unread):
                continue
            if keys is None:
                keys = {tuple(dynamodb._extract_key_val(item.get(name)) for name in names) for item in self._items}
            if tuple(dynamodb._extract_key_val(change["Keys"].get(name)) for name in names) in keys:
                return True
        return False

    def perform(self, call: _Call) -> Answer | None:
        """Write; an answer only if something is wrong."""
        table = self._table
        if table is None:
            refusal: Answer = dynamodb._describe_table({"TableName": self._name})
            return refusal
        for put, item, mark in zip(self._puts, self._items, self._marks, strict=True):
            partition, sort, error = dynamodb._resolve_table_key_values(table, item, put)
            if error:
                wrong: Answer = error
                return wrong
            call.mark = mark
            if put:
                old = dynamodb._set_item(table, partition, sort, item)
                dynamodb._emit_stream_event(self._name, "MODIFY" if old else "INSERT", old, item)
            elif old := dynamodb._remove_item(table, partition, sort):
                dynamodb._emit_stream_event(self._name, "REMOVE", old, None)
        return None


def _lab_headers(headers: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], bytes]:
    lab: dict[bytes, bytes] = {}
    target = b""
    for name, value in headers:
        lowered = name.lower()
        if lowered.startswith(b"x-lab-"):
            lab[lowered] = value
        elif lowered == b"x-amz-target":
            target = value
    return lab, target


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
