"""What AWS checks in writes and MiniStack does not: keys in transactions, updates of key attributes, shapes.

An item that is kept without its key has no place in a replica, nor a readable record in the stream.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from ministack.services import dynamodb  # type: ignore[import-untyped]

Answer = tuple[int, dict[str, str], Any]
Handler = Callable[[dict[str, Any]], Answer]

OTHER_KEY = "The provided key element does not match the schema"
MISSING_KEY = "One or more parameter values were invalid: Missing the key {} in the item"
KEY_UPDATED = "One or more parameter values were invalid: Cannot update attribute {}. This attribute is part of the key"


def install_checks() -> None:
    """Put the checks before MiniStack's own handlers. Call it once a process."""
    for name, check in (
        ("_batch_write_item", _batch_problem),
        ("_transact_write_items", _transaction_problem),
        ("_update_item", _update_problem),
    ):
        setattr(dynamodb, name, _checked(getattr(dynamodb, name), check))


def _checked(handler: Handler, check: Callable[[dict[str, Any]], Answer | None]) -> Handler:
    return lambda data: check(data) or handler(data)


def _batch_problem(data: dict[str, Any]) -> Answer | None:
    tables = data.get("RequestItems", {})
    if isinstance(tables, dict) and all(_is_list_of_maps(requests) for requests in tables.values()):
        return None
    return _refused("SerializationException", "RequestItems: expected a list of requests for each table")


def _transaction_problem(data: dict[str, Any]) -> Answer | None:
    members = data.get("TransactItems", [])
    if not _is_list_of_maps(members):
        return _refused("SerializationException", "TransactItems: expected a list of actions")
    if any(len(member) != 1 for member in members):
        return _refused(
            "ValidationException", "TransactItems can only contain one of Check, Put, Update or Delete in each entry"
        )
    reasons: dict[int, str] = {}
    for number, member in enumerate(members):
        ((kind, action),) = member.items()
        name = action.get("TableName")
        table = dynamodb._tables.get(dynamodb._normalize_table_name(name)) if isinstance(name, str) else None
        if table is None:
            return None  # MiniStack has the words for it
        values = _map(action, "ExpressionAttributeValues").values()
        wrong: Answer | None = dynamodb._values_error_response(values, envelope=False)
        if wrong is not None:
            return wrong
        reason = _key_reason(table, kind, action)
        if reason is not None:
            reasons[number] = reason
    if not reasons:
        return None
    cancelled: Answer = dynamodb._transact_validation_cancel_response(len(members), reasons)
    return cancelled


def _key_reason(table: dict[str, Any], kind: str, action: dict[str, Any]) -> str | None:
    """What is wrong with the key of an action of a transaction."""
    names = _key_names(table)
    if kind == "Put":
        item = _map(action, "Item")
        return next((MISSING_KEY.format(name) for name in names if name not in item), None)
    key = _map(action, "Key")
    if set(key) != set(names):
        return OTHER_KEY
    expression, aliases = str(action.get("UpdateExpression") or ""), _map(action, "ExpressionAttributeNames")
    if kind != "Update" or not any(name in expression or name in aliases.values() for name in names):
        return None
    item, values = dynamodb._get_item_by_key(table, key) or key, _map(action, "ExpressionAttributeValues")
    try:
        _, updated = dynamodb._apply_update_expression(item, expression, values, aliases)
    except ValueError:
        return None  # MiniStack has the words for it
    tops = {path[0] if isinstance(path, tuple) else path for path in updated}
    return next((KEY_UPDATED.format(name) for name in names if name in tops), None)


def _update_problem(data: dict[str, Any]) -> Answer | None:
    updates, name = data.get("AttributeUpdates"), data.get("TableName")
    if not isinstance(updates, dict) or not isinstance(name, str):
        return None
    table = dynamodb._tables.get(dynamodb._normalize_table_name(name))
    for attribute in _key_names(table) if table is not None else ():
        if attribute in updates:
            return _refused("ValidationException", KEY_UPDATED.format(attribute))
    return None


def _key_names(table: dict[str, Any]) -> list[str]:
    return [table[part] for part in ("pk_name", "sk_name") if table[part]]


def _map(action: dict[str, Any], name: str) -> dict[str, Any]:
    value = action.get(name)
    return value if isinstance(value, dict) else {}


def _is_list_of_maps(value: Any) -> bool:
    """Whether it is a list of objects, whose members are objects."""
    return isinstance(value, list) and all(
        isinstance(entry, dict) and all(isinstance(member, dict) for member in entry.values()) for entry in value
    )


def _refused(name: str, message: str) -> Answer:
    body = orjson.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": message})
    return 400, {"Content-Type": "application/x-amz-json-1.0"}, body
