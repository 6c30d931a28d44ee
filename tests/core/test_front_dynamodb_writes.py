"""Which items a DynamoDB call has written."""

from __future__ import annotations

from typing import Any

import pytest

from lab.core.dynamodb_statement import statement_write
from lab.core.dynamodb_write import TableWrite, table_name, tables_named, writes

SCHEMAS = {"users": ("pk",), "orders": ("pk", "sk")}
A, B, ONE = {"S": "a"}, {"S": "b"}, {"N": "1"}


@pytest.mark.parametrize(
    ("operation", "request_", "answer", "expected"),
    [
        ("PutItem", {"TableName": "users", "Item": {"pk": A, "x": B}}, {}, {"users": [{"pk": A}]}),
        (
            "UpdateItem",
            {"TableName": "arn:aws:dynamodb:us-east-1:000000000000:table/orders", "Key": {"sk": B, "pk": A}},
            {},
            {"orders": [{"pk": A, "sk": B}]},
        ),
        ("DeleteItem", {"TableName": "users", "Key": {"pk": A}}, {}, {"users": [{"pk": A}]}),
        ("PutItem", {"TableName": "unknown", "Item": {"pk": A}}, {}, {"unknown": []}),
        (
            "BatchWriteItem",
            {
                "RequestItems": {
                    "users": [{"PutRequest": {"Item": {"pk": A}}}, {"DeleteRequest": {"Key": {"pk": B}}}],
                    "orders": [{"PutRequest": {"Item": {"pk": A, "sk": ONE, "v": B}}}],
                }
            },
            {"UnprocessedItems": {"users": [{"DeleteRequest": {"Key": {"pk": B}}}]}},
            {"users": [{"pk": A}], "orders": [{"pk": A, "sk": ONE}]},
        ),
        (
            "TransactWriteItems",
            {
                "TransactItems": [
                    {"Put": {"TableName": "users", "Item": {"pk": A}}},
                    {"ConditionCheck": {"TableName": "orders", "Key": {"pk": A, "sk": B}}},
                    {"Update": {"TableName": "users", "Key": {"pk": B}}},
                    {"Delete": {"TableName": "orders", "Key": {"pk": B, "sk": B}}},
                ]
            },
            {},
            {"users": [{"pk": A}, {"pk": B}], "orders": [{"pk": B, "sk": B}]},
        ),
        (
            "ExecuteStatement",
            {"Statement": "INSERT INTO \"users\" VALUE {'pk': ?, 'v': 1}", "Parameters": [A]},
            {},
            {"users": [{"pk": A}]},
        ),
        ("ExecuteStatement", {"Statement": 'SELECT * FROM "users"'}, {}, {}),
        (
            "BatchExecuteStatement",
            {
                "Statements": [
                    {"Statement": "DELETE FROM users WHERE pk = 'a'"},
                    {"Statement": "DELETE FROM users WHERE pk = 'b'"},
                ]
            },
            {"Responses": [{"Error": {"Code": "x"}}, {}]},
            {"users": [{"pk": B}]},
        ),
        (
            "ExecuteTransaction",
            {
                "TransactStatements": [
                    {
                        "Statement": "UPDATE \"orders\" SET v = ? SET w={'pk': 'no'} WHERE sk = 1 AND pk = ?",
                        "Parameters": [ONE, A],
                    }
                ]
            },
            {},
            {"orders": [{"pk": A, "sk": ONE}]},
        ),
    ],
)
def test_the_written_keys_are_found(
    operation: str, request_: dict[str, Any], answer: dict[str, Any], expected: dict[str, list[Any]]
) -> None:
    found = writes(operation, request_, answer, SCHEMAS.get)
    assert found == tuple(TableWrite(table, tuple(keys)) for table, keys in expected.items())


@pytest.mark.parametrize(
    "operation",
    ["PutItem", "UpdateItem", "BatchWriteItem", "TransactWriteItems", "ExecuteStatement", "ExecuteTransaction"],
)
@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"TableName": 3, "Item": []},
        {"RequestItems": {"users": {"a": 1}}},
        {"RequestItems": []},
        {"TransactItems": [3, {"Put": 4}, {"Put": {}}]},
        {"Statement": 5},
        {"TransactStatements": [{"Statement": "INSERT INTO"}, 4]},
    ],
)
def test_malformed_requests_name_no_keys(operation: str, request_: dict[str, Any]) -> None:
    for write in writes(operation, request_, {}, SCHEMAS.get):
        assert write.keys == ()
    assert isinstance(tables_named(operation, request_), tuple)


def test_a_table_is_named_by_name_or_arn() -> None:
    arn = "arn:aws:dynamodb:us-east-1:000000000000:table/users"
    assert table_name("users") == table_name(arn) == table_name(f"{arn}/index/x") == "users"


def test_quotes_in_statements_are_read_as_partiql_has_them() -> None:
    write = statement_write("INSERT INTO \"my-table\" value {'pk': 'it''s', 'n': -1.5, 'm': {'pk': 'inner'}}", [])
    assert write is not None
    assert write.table == "my-table"
    assert write.attributes == {"pk": {"S": "it's"}, "n": {"N": "-1.5"}}
