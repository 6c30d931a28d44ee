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
  made stream records itself, `x-lab-sequence`, the sequence number of its first. Whoever passes answers on to users
  drops these headers.
- Everything is in the lab's one account; MiniStack would make an account of any access key of twelve digits.
- Its admin paths answer 403, its TTL reaper finds nothing to do (it would delete without a stream record), the host's
  init scripts and Docker are left alone.

All this relies on the insides of one MiniStack version, which is pinned; tests/contract says what it relies on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import json
import os
import time
from typing import Any

import ministack.app as ministack  # type: ignore[import-untyped]
from ministack.core import responses  # type: ignore[import-untyped]
from ministack.services import dynamodb, dynamodb_streams  # type: ignore[import-untyped]

from lab.engines.asgi_server import Receive, Scope, Send

Answer = tuple[int, dict[str, str], Any]

CLOSED_PATHS = ("/_ministack", "/_localstack", "/_aws", "/health")
WORKER_THREADS = 16


class _Call:
    """One DynamoDB request as it writes: marks for its records by key, and the sequence number of the first."""

    __slots__ = ("expiry", "marks", "sequence")

    def __init__(self) -> None:
        self.expiry = False
        self.marks: dict[str, str] = {}
        self.sequence: str | None = None


_call: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("lab_call", default=None)


class EngineApp:
    """The ASGI application of an engine. MiniStack's lifespan is left out: it runs the host's init scripts and removes
    containers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        _install()
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
        call = _Call()
        call.expiry = b"x-lab-expiry" in lab
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
        await _respond(send, status, sent, answer if isinstance(answer, bytes) else answer.encode())

    async def _execute(self, operation: str, body: bytes, lab: dict[bytes, bytes], call: _Call) -> Answer:
        marks = lab.get(b"x-lab-apply")
        if marks is not None:
            table, items = _written(operation.rpartition(".")[2], body)
            names = _key_names(table)
            keys = [_key_text({name: item.get(name) for name in names}) for item in items]
            after = lab.get(b"x-lab-after")
            if after is not None and _written_beyond(table, set(keys), *after.decode("latin-1").split(" ")):
                return 409, {"content-type": "application/json"}, b'{"__type":"lab#Fenced"}'
            call.marks = dict(zip(keys, marks.decode("latin-1").split(" "), strict=True))
        service = dynamodb_streams if operation.startswith("DynamoDBStreams") else dynamodb
        answer: Answer = await service.handle_request("POST", "/", {"x-amz-target": operation}, body, {})
        return answer

    def _start_schedulers(self) -> None:
        if not self._schedulers_started:
            from ministack.services import eventbridge, scheduler

            self._schedulers_started = True
            eventbridge.start_scheduler()
            scheduler.start_scheduler()


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
            if call.marks:
                record["lab"] = call.marks[_key_text(record["dynamodb"]["Keys"])]
        return record

    def one_account(access_key_id: str) -> None:
        responses._request_account_id.set(os.environ["MINISTACK_ACCOUNT_ID"])

    dynamodb._build_change_record = build_marked
    dynamodb._ttl_settings = _TtlSettings()
    ministack.set_request_account_id = one_account
    dynamodb._lab_installed = True


def _written(operation: str, body: bytes) -> tuple[str, list[dict[str, Any]]]:
    """The table of a write of the replicator's, and the items or keys that it writes."""
    request = json.loads(body)
    if operation != "BatchWriteItem":
        return request["TableName"], [request["Item"] if operation == "PutItem" else request["Key"]]
    ((table, requests),) = request["RequestItems"].items()
    return table, [r["PutRequest"]["Item"] if "PutRequest" in r else r["DeleteRequest"]["Key"] for r in requests]


def _key_names(name: str) -> list[str]:
    table = dynamodb._tables.get(name) or {}
    return [table[part] for part in ("pk_name", "sk_name") if table.get(part)]


def _key_text(key: dict[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)


def _written_beyond(name: str, keys: set[str], read_to: str, applied_to: str) -> bool:
    """Whether one of the keys has a record beyond the fences."""
    read_to, last_applied = read_to.zfill(30), int(applied_to)
    for record in reversed(dynamodb._stream_records.get(name) or []):
        change = record["dynamodb"]
        sequence = change["SequenceNumber"]
        unread, unknown = sequence > read_to, int(sequence[20:]) > last_applied
        if not unread and not unknown:
            return False
        if (unknown if "lab" in record else unread) and _key_text(change["Keys"]) in keys:
            return True
    return False


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
