"""DynamoDB of one region's engine, as the replicator calls it: streams, scans, applies, over the engine's socket.

Every answer tells which run of the engine gave it; an answer of another run than the last is not looked at before
whoever asked has been told (`EngineRestarted`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from lab.core.item import NO_POSITION
from lab.core.replication_work import Batch, Outcome
from lab.core.table import KeyAttribute
from lab.live.http_client import Address, CallFailed, HttpClient
from lab.live.replicator.image import decode_key, encode_version

SHARD = "shardId-00000000000000000000-00000000"
TIMEOUT_S = 5.0
RETRIED = (
    "ResourceNotFoundException",
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "ResourceInUseException",
    "LimitExceededException",
    "InternalServerError",
)
"""Errors that have nothing to do with the items: the table is not there yet, or too much is asked of it."""


class EngineRestarted(Exception):
    """The engine that answered is not the one that answered before; `boot` names it."""

    def __init__(self, boot: str) -> None:
        super().__init__(boot)
        self.boot = boot


class EngineError(Exception):
    """The engine answered with an error; `name` is AWS's."""

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.status, self.name = status, name


@dataclass(frozen=True)
class Answer:
    """An answer's body and the stream position that it was given at.

    `trimmed`, with iterators alone: the last sequence number that the stream may lack, "" if it lacks none; None where
    the engine does not say.
    """

    body: bytes
    position: int
    trimmed: str | None = None


class Engine:
    """One region's engine. `boot` is the run that is talked to, None until it is known."""

    def __init__(self, region: str, address: Address) -> None:
        self.region = region
        self.boot: str | None = None
        self._client = HttpClient(address, limit=16, connect_timeout_s=1.0)

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    async def call(
        self,
        operation: str,
        body: bytes,
        *,
        mark: str | None = None,
        fences: tuple[str, int] | None = None,
        expiry: bool = False,
    ) -> Answer:
        """Call an operation; `expiry` says that it deletes an item whose time to live is over.

        Raises EngineError, EngineRestarted, CallFailed.
        """
        prefix = "DynamoDBStreams_20120810" if operation in _STREAM_OPERATIONS else "DynamoDB_20120810"
        headers = [("X-Amz-Target", f"{prefix}.{operation}"), ("Content-Type", "application/x-amz-json-1.0")]
        if expiry:
            headers.append(("x-lab-expiry", "1"))
        elif mark is None:
            headers.append(("x-lab-report", "1"))
        else:
            headers.append(("x-lab-apply", mark))
            if fences is not None:
                headers.append(("x-lab-after", f"{fences[0] or 0} {fences[1]}"))
        response = await self._client.call(
            "POST", "/", headers, body, timeout_s=TIMEOUT_S, idempotent=operation in _READS
        )
        boot = response.header("x-lab-boot")
        if boot is not None and boot != self.boot:
            raise EngineRestarted(boot)
        if response.status != 200:
            raise _error(response.status, response.body)
        position = response.header("x-lab-position")
        at = NO_POSITION if position is None else int(position)
        return Answer(response.body, at, response.header("x-lab-trimmed"))

    async def read(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Call an operation that only reads."""
        answer = await self.call(operation, orjson.dumps(request))
        body: dict[str, Any] = orjson.loads(answer.body)
        return body

    async def apply(self, batch: Batch, key: tuple[KeyAttribute, ...], *, legacy: bool = False) -> Outcome:
        """Write a batch's items, each marked with its version. Raises EngineRestarted only.

        In tables of version 2017.11.29 (`legacy`) an item is marked as being deleted before it is.
        """
        operation, body = _write(batch, key)
        mark = " ".join(encode_version(apply.version) for apply in batch.applies)
        try:
            applied = await self._announce_deletes(batch, key) if legacy else batch.applied_position
            answer = await self.call(operation, body, mark=mark, fences=(batch.read_sequence, applied))
        except CallFailed as failure:
            return Outcome("unknown" if failure.maybe_executed else "failed")
        except EngineError as error:
            if error.status == 409:
                return Outcome("fenced")
            return Outcome("failed" if error.status >= 500 or error.name in RETRIED else "rejected")
        if operation == "BatchWriteItem" and orjson.loads(answer.body).get("UnprocessedItems"):
            return Outcome("failed")
        return Outcome("applied", answer.position)

    async def _announce_deletes(self, batch: Batch, key: tuple[KeyAttribute, ...]) -> int:
        """Mark items that are to be deleted; the position of the last of these writes."""
        applied = batch.applied_position
        for apply in batch.applies:
            if apply.image is not None:
                continue
            request = {
                "TableName": batch.table,
                "Key": decode_key(key, apply.key),
                "UpdateExpression": "SET #deleting = :true",
                "ConditionExpression": "attribute_exists(#key)",
                "ExpressionAttributeNames": {"#deleting": "aws:rep:deleting", "#key": key[0].name},
                "ExpressionAttributeValues": {":true": {"BOOL": True}},
            }
            try:
                mark = encode_version(apply.version)
                fences = (batch.read_sequence, applied)
                answer = await self.call("UpdateItem", orjson.dumps(request), mark=mark, fences=fences)
                applied = max(applied, answer.position)
            except EngineError as error:
                if error.name != "ConditionalCheckFailedException":
                    raise
        return applied


_STREAM_OPERATIONS = ("ListStreams", "DescribeStream", "GetShardIterator", "GetRecords")
_READS = (*_STREAM_OPERATIONS, "Scan", "GetItem", "DescribeTable", "ListTables")


def _error(status: int, body: bytes) -> EngineError:
    try:
        content = orjson.loads(body)
        name, message = str(content["__type"]).rpartition("#")[2], str(content.get("message", ""))
    except (ValueError, KeyError, TypeError):
        name, message = f"HTTP{status}", body[:200].decode("utf-8", "replace")
    return EngineError(status, name, message)


def _write(batch: Batch, key: tuple[KeyAttribute, ...]) -> tuple[str, bytes]:
    """The request that writes a batch; images go into it as they are."""
    table = orjson.dumps(batch.table)
    if len(batch.applies) == 1:
        (apply,) = batch.applies
        if apply.image is None:
            return "DeleteItem", b'{"TableName":%b,"Key":%b}' % (table, orjson.dumps(decode_key(key, apply.key)))
        return "PutItem", b'{"TableName":%b,"Item":%b}' % (table, apply.image)
    requests = b",".join(
        b'{"DeleteRequest":{"Key":%b}}' % orjson.dumps(decode_key(key, apply.key))
        if apply.image is None
        else b'{"PutRequest":{"Item":%b}}' % apply.image
        for apply in batch.applies
    )
    return "BatchWriteItem", b'{"RequestItems":{%b:[%b]}}' % (table, requests)
