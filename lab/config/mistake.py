"""What to say about a value in `lab.toml` that pydantic refuses: what was expected there, and what was found."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, get_args

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from lab.config import schema
from lab.config.settings import suggestion

Location = tuple[str | int, ...]

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "dict_type": 'a table, such as {name = "value"}',
}
BOUNDS = {"greater_than_equal", "less_than_equal"}
LISTS_OF_TABLES = {"places", "round_trips", "lags", "clock_skews", "functions", "tables"}


def location_of(error: ErrorDetails) -> Location:
    """Where the mistake is; pydantic marks a table's key that is wrong itself with a part of its own."""
    return tuple(part for part in error["loc"] if part != "[key]")


def message_of(error: ErrorDetails) -> str:
    """The mistake in words."""
    kind, given, location = error["type"], error["input"], location_of(error)
    if kind == "extra_forbidden":
        return f"unknown key; {suggestion(str(location[-1]), _model_at(location[:-1]).model_fields)}"
    if kind == "missing":
        return f"is missing; {_table(location[:-1])} needs {_needed(location[:-1])}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    return f"expected {_expected(error, location)}, got {toml_text(given)}"


def toml_text(value: Any) -> str:
    """A value as a person wrote it, near enough."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date | datetime.time):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_text(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml_text(inner) for inner in value) + "]"
    return repr(value)


def _expected(error: ErrorDetails, location: Location) -> str:
    kind = error["type"]
    if kind == "literal_error":
        return str(error["ctx"]["expected"])
    if kind in BOUNDS:
        return _range(_model_at(location[:-1]).model_fields[str(location[-1])])
    if kind == "list_type":
        name = str(location[-1])
        return f"a list of tables, such as {_table((*location, 0))}" if name in LISTS_OF_TABLES else "a list"
    if kind in ("model_type", "model_attributes_type"):
        return f"a table, such as {_table(location)}"
    assert kind in EXPECTED, f"no words for {kind} at {location}"
    return EXPECTED[kind]


def _range(field: FieldInfo) -> str:
    least = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    kind = "a whole number" if int in (field.annotation, *get_args(field.annotation)) else "a number"
    return f"{kind} from {least} to {most}"


def _table(location: Location) -> str:
    """How the table at a location is headed."""
    name = ".".join(part for part in location if isinstance(part, str))
    if not name:
        return "lab.toml"
    return f"[[{name}]]" if isinstance(location[-1], int) else f"[{name}]"


def _needed(location: Location) -> str:
    names = [name for name, field in _model_at(location).model_fields.items() if field.is_required()]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _model_at(location: Iterable[str | int]) -> type[schema.Model]:
    """The model of the table at a location."""
    model: type[schema.Model] = schema.LabModel
    for part in location:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation)
    return model


def _model_in(annotation: Any) -> type[schema.Model]:
    """The model in a field's type: itself, or within a list or an optional."""
    if isinstance(annotation, type) and issubclass(annotation, schema.Model):
        return annotation
    found = [_model_in(inner) for inner in get_args(annotation) if inner is not type(None)]
    assert len(found) == 1, annotation
    return found[0]
