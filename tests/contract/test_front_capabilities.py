"""What the engine is said to have is what the pinned version dispatches."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from lab.engines import capabilities

MODULES = {
    "dynamodb": "dynamodb",
    "dynamodbstreams": "dynamodb_streams",
    "sqs": "sqs",
    "sns": "sns",
    "monitoring": "cloudwatch",
    "logs": "cloudwatch_logs",
    "events": "eventbridge",
    "ssm": "ssm",
    "secretsmanager": "secretsmanager",
    "kms": "kms",
    "kinesis": "kinesis",
    "acm": "acm",
    "tagging": "tagging",
    "firehose": "firehose",
}


def dispatched(module: str) -> set[str]:
    """The operation names of a MiniStack service: the keys of its tables from names to functions."""
    package = importlib.util.find_spec("ministack.services")
    assert package is not None and package.submodule_search_locations
    tree = ast.parse((Path(package.submodule_search_locations[0]) / f"{module}.py").read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Dict) or len(node.keys) < 4:
            continue
        names = [key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        functions = all(isinstance(value, ast.Name | ast.Lambda | ast.Attribute) for value in node.values)
        if functions and len(names) == len(node.keys) and all(n[:1].isupper() and n.isalnum() for n in names):
            found.update(names)
    return found


@pytest.mark.parametrize("service", sorted(MODULES))
def test_the_listed_operations_are_those_of_the_pinned_engine(service: str) -> None:
    untrusted = capabilities.UNTRUSTED.get(service, frozenset())
    assert capabilities.operations()[service] == dispatched(MODULES[service]) - untrusted


def test_every_listed_service_is_checked() -> None:
    assert set(capabilities.operations()) == set(MODULES)


def test_what_is_not_listed_is_not_had() -> None:
    assert not capabilities.has_service("globalaccelerator")
    assert not capabilities.has_operation("dynamodb", "RestoreTableToPointInTime")
    assert not capabilities.has_operation("dynamodb", None)
    assert capabilities.has_operation("s3", None)
