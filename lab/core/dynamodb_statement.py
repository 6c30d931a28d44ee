"""The table and attributes that a PartiQL statement of DynamoDB writes, as far as they can be read from its text.

INSERT gives the item's attributes with scalar values, UPDATE and DELETE the equalities of their WHERE: enough for the
key, which DynamoDB demands whole. Nothing is executed or validated here.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*")|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_.-]*)|(?P<mark>.))""",
    re.DOTALL,
)


@dataclass(frozen=True)
class StatementWrite:
    """What a statement writes: attribute values in DynamoDB's JSON."""

    table: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    value: Any = None

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.upper() == word


def statement_write(statement: str, parameters: list[Any]) -> StatementWrite | None:
    """The write of one statement; None for a SELECT or what cannot be read."""
    tokens = _tokens(statement, parameters)
    if len(tokens) < 3:
        return None
    if tokens[0].is_word("INSERT") and tokens[1].is_word("INTO"):
        return StatementWrite(tokens[2].text, _pairs(tokens[3:], ":", _name_of_member))
    if tokens[0].is_word("DELETE") and tokens[1].is_word("FROM"):
        return StatementWrite(tokens[2].text, _pairs(_after_where(tokens), "=", _name_of_column))
    if tokens[0].is_word("UPDATE"):
        return StatementWrite(tokens[1].text, _pairs(_after_where(tokens), "=", _name_of_column))
    return None


def _tokens(statement: str, parameters: list[Any]) -> list[_Token]:
    tokens: list[_Token] = []
    used = 0
    for match in _TOKEN.finditer(statement.strip()):
        kind, text = str(match.lastgroup), match[match.lastgroup or 0]
        value = None
        if kind == "string":
            text = text[1:-1].replace("''", "'")
            value = {"S": text}
        elif kind == "quoted":
            text = text[1:-1].replace('""', '"')
        elif kind == "number":
            value = {"N": text}
        elif text == "?":
            value = parameters[used] if used < len(parameters) else None
            used += 1
        tokens.append(_Token(kind, text, value))
    return tokens


def _after_where(tokens: list[_Token]) -> list[_Token]:
    for number, token in enumerate(tokens):
        if token.is_word("WHERE"):
            return tokens[number + 1 :]
    return []


def _name_of_member(token: _Token) -> bool:
    return token.kind in ("string", "quoted")


def _name_of_column(token: _Token) -> bool:
    return token.kind in ("word", "quoted")


def _pairs(tokens: list[_Token], separator: str, is_name: Any) -> dict[str, Any]:
    """Name, separator and scalar value, outside of nested maps and lists."""
    found: dict[str, Any] = {}
    depth = 0
    for number, token in enumerate(tokens):
        if token.kind == "mark" and token.text in "{[":
            depth += 1
        elif token.kind == "mark" and token.text in "}]":
            depth -= 1
        elif depth <= 1 and number + 2 < len(tokens) and is_name(token) and tokens[number + 1].text == separator:
            value = tokens[number + 2].value
            if value is not None:
                found.setdefault(token.text, value)
    return found
