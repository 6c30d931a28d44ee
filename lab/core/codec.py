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
