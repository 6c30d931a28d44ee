"""Frozen dataclasses to and from JSON values, by their annotations.

What the lab's parts tell each other and keep on disk is made of dataclasses of strings, numbers, booleans, tuples,
string-keyed dicts, optionals, literals and other dataclasses; unions of dataclasses are refused. Unknown keys are
an error, so that two parts of different versions notice each other.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


class CodecError(ValueError):
    """A value does not fit its dataclass; the message starts with the path to it."""


def encode(value: Any) -> Any:
    """The JSON value of a dataclass, tuple, dict or scalar."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def decode(cls: type[T], value: Any) -> T:
    """The `cls` that `value` (as made by `encode`) stands for. Raises CodecError."""
    return typing.cast(T, _decode(cls, value, cls.__name__))


def decode_again(cls: type[T], value: Any, known_json: Any, known: T) -> T:
    """The same as `decode`, given that `known` was decoded from `known_json`: what is equal in both is used again.

    A large document in which little changed costs a comparison instead of being built anew. A value that Python takes
    for equal to the known one (1 for true) is taken as that. Raises CodecError.
    """
    return typing.cast(T, _decode_again(cls, value, known_json, known, cls.__name__))


def _decode_again(hint: Any, value: Any, known_json: Any, known: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, dict) and isinstance(known_json, dict):
        return _decode_dataclass_again(typing.cast(type, hint), value, known_json, known, path)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and arguments[-1] is Ellipsis and isinstance(value, list) and isinstance(known_json, list):
        return _decode_list_again(arguments[0], value, known_json, known, path)
    return known if value == known_json else _decode(hint, value, path)


def _decode_dataclass_again(cls: type, value: dict[str, Any], known_json: dict[str, Any], known: Any, path: str) -> Any:
    fields = _fields(cls)
    if value.keys() - fields.keys() or any(required and name not in value for name, (_, required) in fields.items()):
        return _decode(cls, value, path)  # it raises, and says what is wrong
    made = {
        name: _decode_again(fields[name][0], item, known_json[name], getattr(known, name), f"{path}.{name}")
        if name in known_json
        else _decode(fields[name][0], item, f"{path}.{name}")
        for name, item in value.items()
    }
    if value.keys() == known_json.keys() and all(item is getattr(known, name) for name, item in made.items()):
        return known
    return cls(**made)


def _decode_list_again(
    hint: Any, value: list[Any], known_json: list[Any], known: tuple[Any, ...], path: str
) -> tuple[Any, ...]:
    """A list in which a stretch was changed, inserted or removed: what is before and behind it is used again."""
    shorter = min(len(value), len(known_json))
    head = next((n for n, pair in enumerate(zip(value, known_json, strict=False)) if pair[0] != pair[1]), shorter)
    if head == len(value) == len(known_json):
        return known
    tail = 0
    while tail < shorter - head and value[-1 - tail] == known_json[-1 - tail]:
        tail += 1
    paired = len(value) == len(known_json)  # then entries were replaced one for one
    middle = [
        _decode_again(hint, value[number], known_json[number], known[number], f"{path}[{number}]")
        if paired
        else _decode(hint, value[number], f"{path}[{number}]")
        for number in range(head, len(value) - tail)
    ]
    return (*known[:head], *middle, *known[len(known) - tail :])


@functools.cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    hints = typing.get_type_hints(cls)
    return {
        f.name: (
            hints[f.name],
            f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING,
        )
        for f in dataclasses.fields(cls)
    }


def _decode(hint: Any, value: Any, path: str) -> Any:
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(typing.cast(type, hint), value, path)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return _decode(inner, value, path)
    if origin is typing.Literal:
        if value not in arguments:
            raise CodecError(f"{path}: {value!r} is none of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise CodecError(f"{path}: expected a list, got {value!r}")
        if arguments[-1] is Ellipsis:
            return tuple(_decode(arguments[0], item, f"{path}[{n}]") for n, item in enumerate(value))
        if len(value) != len(arguments):
            raise CodecError(f"{path}: expected {len(arguments)} values, got {len(value)}")
        return tuple(_decode(a, item, f"{path}[{n}]") for n, (a, item) in enumerate(zip(arguments, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise CodecError(f"{path}: expected an object, got {value!r}")
        return {key: _decode(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise CodecError(f"{path}: expected {hint.__name__}, got {value!r}")
    return value


def _decode_dataclass(cls: type, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise CodecError(f"{path}: expected an object, got {value!r}")
    fields = _fields(cls)
    unknown = value.keys() - fields.keys()
    if unknown:
        raise CodecError(f"{path}: unknown key {min(unknown)!r}")
    missing = [name for name, (_, required) in fields.items() if required and name not in value]
    if missing:
        raise CodecError(f"{path}: missing key {missing[0]!r}")
    return cls(**{name: _decode(fields[name][0], item, f"{path}.{name}") for name, item in value.items()})
