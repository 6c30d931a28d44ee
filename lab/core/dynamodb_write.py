"""Which items a DynamoDB call has written: read from the request, the answer and the table's key schema.

The front journals these keys and wakes the replicator. What an item became is the stream's to tell. PartiQL is in
`dynamodb_statement`.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lab.core.dynamodb_statement import StatementWrite, statement_write

Key = dict[str, Any]
SchemaOf = Callable[[str], tuple[str, ...] | None]
"""A table's key attribute names, partition key first; None if unknown."""

ITEM_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
STATEMENT_WRITES = frozenset({"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"})
WRITES = ITEM_WRITES | STATEMENT_WRITES | {"BatchWriteItem", "TransactWriteItems"}
"""Operations that may write items."""

TABLE_CONTROL = frozenset(
    {
        "CreateTable",
        "UpdateTable",
        "DeleteTable",
        "UpdateTimeToLive",
        "CreateGlobalTable",
        "DescribeGlobalTable",
        "DescribeGlobalTableSettings",
        "DescribeTableReplicaAutoScaling",
        "ListGlobalTables",
        "UpdateGlobalTable",
        "UpdateGlobalTableSettings",
        "UpdateTableReplicaAutoScaling",
    }
)
"""Operations on tables, global ones too, which control performs."""


@dataclass(frozen=True)
class TableWrite:
    """The keys written in one table by one call, in DynamoDB's JSON; may be empty if they could not be read."""

    table: str
    keys: tuple[Key, ...]


def table_name(name_or_arn: str) -> str:
    """A table's name, from a name or an ARN of a table or index."""
    if name_or_arn.startswith("arn:"):
        return name_or_arn.partition("/")[2].partition("/")[0]
    return name_or_arn


def tables_named(operation: str, request: dict[str, Any]) -> tuple[str, ...]:
    """The tables that a call which may write names, each once, in order. Malformed requests name none."""
    names: list[str] = []
    if operation in ITEM_WRITES:
        names.append(_text(request.get("TableName")))
    elif operation == "BatchWriteItem":
        names.extend(map(str, _mapping(request.get("RequestItems"))))
    elif operation == "TransactWriteItems":
        names.extend(_text(action.get("TableName")) for _, action in _actions(request))
    elif operation in STATEMENT_WRITES:
        names.extend(write.table for _, write in _statements(operation, request))
    return tuple(dict.fromkeys(table_name(name) for name in names if name))


def writes(
    operation: str, request: dict[str, Any], answer: dict[str, Any], schema_of: SchemaOf
) -> tuple[TableWrite, ...]:
    """What a successful call has written, by table. Unprocessed items of a batch and failed statements are left out."""
    keys: dict[str, list[Key]] = {}
    for table, attributes in _written(operation, request, answer):
        found = keys.setdefault(table, [])
        key = _key(attributes, schema_of(table))
        if key is not None:
            found.append(key)
    return tuple(TableWrite(table, tuple(found)) for table, found in keys.items())


def _written(operation: str, request: dict[str, Any], answer: dict[str, Any]) -> Iterable[tuple[str, Key]]:
    if operation in ITEM_WRITES:
        attributes = request.get("Item") if operation == "PutItem" else request.get("Key")
        return [(table_name(_text(request.get("TableName"))), _mapping(attributes))]
    if operation == "BatchWriteItem":
        return _batch_written(request, answer)
    if operation == "TransactWriteItems":
        return [
            (table_name(_text(action.get("TableName"))), _mapping(action.get("Item" if kind == "Put" else "Key")))
            for kind, action in _actions(request)
            if kind != "ConditionCheck"
        ]
    responses = answer.get("Responses") if operation == "BatchExecuteStatement" else None
    failed = {n for n, r in enumerate(responses or []) if isinstance(r, dict) and "Error" in r}
    return [(table_name(w.table), w.attributes) for n, w in _statements(operation, request) if n not in failed]


def _batch_written(request: dict[str, Any], answer: dict[str, Any]) -> Iterable[tuple[str, Key]]:
    unprocessed = _mapping(answer.get("UnprocessedItems"))
    for name, requests in _mapping(request.get("RequestItems")).items():
        left = unprocessed.get(name, [])
        for entry in requests if isinstance(requests, list) else []:
            if entry in left or not isinstance(entry, dict):
                continue
            if "PutRequest" in entry:
                yield table_name(name), _mapping(_mapping(entry["PutRequest"]).get("Item"))
            elif "DeleteRequest" in entry:
                yield table_name(name), _mapping(_mapping(entry["DeleteRequest"]).get("Key"))


def _actions(request: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    items = request.get("TransactItems")
    return [
        (kind, action)
        for item in (items if isinstance(items, list) else [])
        for kind, action in _mapping(item).items()
        if isinstance(action, dict)
    ]


def _statements(operation: str, request: dict[str, Any]) -> list[tuple[int, StatementWrite]]:
    if operation == "ExecuteStatement":
        entries: Any = [request]
    else:
        entries = request.get("Statements" if operation == "BatchExecuteStatement" else "TransactStatements")
    found = []
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        parameters = _mapping(entry).get("Parameters")
        text = _text(_mapping(entry).get("Statement"))
        write = statement_write(text, parameters if isinstance(parameters, list) else [])
        if write is not None:
            found.append((number, write))
    return found


def _key(attributes: Key, schema: tuple[str, ...] | None) -> Key | None:
    if schema is None or any(name not in attributes for name in schema):
        return None
    return {name: attributes[name] for name in schema}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
