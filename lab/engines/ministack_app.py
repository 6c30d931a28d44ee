"""What the lab adds to MiniStack inside the engine's process: marks, fences, positions, and closed doors.

- A DynamoDB request with the header `x-lab-apply: TOKEN` is a write of the replicator's: the stream records made during
  it carry `"lab": TOKEN` beside the standard fields.
- With `x-lab-after: S N` as well it is fenced: if the stream holds, of one of the written keys, a record without a
  mark and with a sequence number above S (a local write that the replicator has not read yet), or one with a mark and a
  counter above N (this request was given up and comes late), nothing is written and the answer is 409. Handlers run on
  the event loop without a pause, so check and write are one step.
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
    """One DynamoDB request as it writes: the mark for its records, and the sequence number of the first."""

    __slots__ = ("mark", "sequence")

    def __init__(self, mark: str | None) -> None:
        self.mark = mark
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
        mark = lab.get(b"x-lab-apply")
        call = _Call(None if mark is None else mark.decode("latin-1"))
        token = _call.set(call)
        try:
            status, headers, answer = await self._execute(target, body, lab.get(b"x-lab-after"))
        finally:
            _call.reset(token)
        sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        sent.append((b"x-lab-boot", self.boot.encode("ascii")))
        sent.append((b"x-lab-position", b"%d" % dynamodb._stream_seq_counter))
        if call.sequence is not None:
            sent.append((b"x-lab-sequence", call.sequence.encode("ascii")))
        await _respond(send, status, sent, answer if isinstance(answer, bytes) else answer.encode())

    async def _execute(self, target: bytes, body: bytes, after: bytes | None) -> Answer:
        operation = target.decode("latin-1")
        if after is not None and _fenced(operation.rpartition(".")[2], body, after):
            return 409, {"content-type": "application/json"}, b'{"__type":"lab#LocalWriteUnseen"}'
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
            if call.mark is not None:
                record["lab"] = call.mark
        return record

    def one_account(access_key_id: str) -> None:
        responses._request_account_id.set(os.environ["MINISTACK_ACCOUNT_ID"])

    dynamodb._build_change_record = build_marked
    dynamodb._ttl_settings = _TtlSettings()
    ministack.set_request_account_id = one_account
    dynamodb._lab_installed = True


def _fenced(operation: str, body: bytes, after: bytes) -> bool:
    """Whether a key of this write has a record beyond the fences."""
    read_to, applied_to = after.decode("latin-1").split(" ")
    fences = (read_to.zfill(30), int(applied_to))
    request = json.loads(body)
    if operation == "BatchWriteItem":
        writes = {
            table: [r["PutRequest"]["Item"] if "PutRequest" in r else r["DeleteRequest"]["Key"] for r in requests]
            for table, requests in request["RequestItems"].items()
        }
    else:
        writes = {request["TableName"]: [request["Item"] if operation == "PutItem" else request["Key"]]}
    return any(_written_beyond(name, items, *fences) for name, items in writes.items())


def _written_beyond(name: str, items: list[dict[str, Any]], read_to: str, applied_to: int) -> bool:
    table = dynamodb._tables.get(name)
    records = dynamodb._stream_records.get(name)
    if not table or not records:
        return False
    keys: set[str] | None = None
    for record in reversed(records):
        change = record["dynamodb"]
        sequence = change["SequenceNumber"]
        unread, unknown = sequence > read_to, int(sequence[20:]) > applied_to
        if not unread and not unknown:
            return False
        if not (unknown if "lab" in record else unread):
            continue
        if keys is None:
            names = sorted(filter(None, (table["pk_name"], table["sk_name"])))
            keys = {json.dumps([item.get(name) for name in names]) for item in items}
        if json.dumps([value for _, value in sorted(change["Keys"].items())]) in keys:
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
