"""A handler's module, imported as a new execution environment would."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

HANDLERS = Path(__file__).parents[2] / "handlers"


@contextmanager
def imported(name: str, table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`handlers/NAME/app.py` with Lambda's variables and nothing else of the handler's own set."""
    for variable, value in {
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "TABLE_NAME": table,
    }.items():
        monkeypatch.setenv(variable, value)
    for variable in ("STATUS", "HEALTH_CHECK_URLS"):
        monkeypatch.delenv(variable, raising=False)
    spec = importlib.util.spec_from_file_location(f"{name}_app", HANDLERS / name / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.dynamodb.close()
    module.probing_dynamodb.close()
