"""What an embedded region's engine (MiniStack 1.5.33) is used for: services and, where requests name them, operations.

A call that is not listed here never reaches the engine: fronts refuse it. `ministack_operations.json` lists what
the pinned version dispatches (tests/contract compares); left out are services whose functions, containers or DNS the
lab has itself or does not have at all, and operations that the engine answers wrongly.
"""

from __future__ import annotations

import functools
import json
from importlib import resources

UNTRUSTED: dict[str, frozenset[str]] = {
    "dynamodb": frozenset(
        {
            # Backups: point-in-time recovery restores the present, imports and restores would make tables that the
            # lab's records do not know.
            "CreateBackup",
            "DeleteBackup",
            "DescribeBackup",
            "DescribeExport",
            "DescribeImport",
            "ExportTableToPointInTime",
            "ImportTable",
            "ListBackups",
            "ListExports",
            "ListImports",
            "RestoreTableFromBackup",
            "RestoreTableToPointInTime",
            "UpdateContinuousBackups",
            "SearchVectors",  # no operation of AWS's
        }
    ),
}

REST_SERVICES = frozenset({"s3", "scheduler"})
"""Services whose requests do not name their operation; the engine itself refuses what it lacks."""


@functools.cache
def operations() -> dict[str, frozenset[str]]:
    """The operations that may be forwarded, by service (`dynamodbstreams` apart from `dynamodb`)."""
    text = resources.files("lab.engines").joinpath("ministack_operations.json").read_text()
    listed: dict[str, str] = json.loads(text)
    return {
        service: frozenset(names.split()) - UNTRUSTED.get(service, frozenset()) for service, names in listed.items()
    }


def has_service(service: str) -> bool:
    """Whether the engine serves any call of a service, by its signing name."""
    return service in REST_SERVICES or service in operations()


def has_operation(service: str, operation: str | None) -> bool:
    """Whether the engine serves an operation; None, for a request that names none, is true of REST services only."""
    if service in REST_SERVICES:
        return True
    return operation is not None and operation in operations().get(service, frozenset())
