"""Lambda's control plane: functions of every region with their code, configuration, concurrency, policy and tags.

https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html. Invocations are the fronts'. There is one version,
$LATEST; no aliases, layers, images, event source mappings or function URLs. Runtimes are Python's, and whichever is
asked for runs on the Python that the lab runs on.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from lab.control.aws_error import AwsError, not_implemented
from lab.control.dispatch import Call
from lab.control.functions import code as packages
from lab.control.functions.shapes import (
    checked_environment,
    configuration,
    function_arn,
    name_of,
    policy,
    statement,
)
from lab.control.record_file import RecordFile
from lab.core.function import Function, Functions, Permission
from lab.live.clock import now_ms

ROLE = re.compile(r"arn:aws[a-zA-Z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-/]+")
MEMORY_MB_MAX = 10_240
TIMEOUT_S_MAX = 900
UNRESERVED_CONCURRENCY_MIN = 100
CONCURRENCY_LIMIT = 1_000

ReadObject = Callable[[str, str, str], Awaitable[bytes]]
"""(region, bucket, key) to an S3 object's content; raises AwsError."""


class FunctionsPlane:
    """Lambda's operations. `folder` holds the code, `code_url` makes the URL under which a package can be fetched."""

    def __init__(
        self,
        records: RecordFile[Functions],
        folder: Path,
        changed: Callable[[], None],
        code_url: Callable[[str, str, str], str],
        read_object: ReadObject,
    ) -> None:
        self._records, self._folder, self._changed = records, folder, changed
        self._code_url, self._read_object = code_url, read_object
        self._by_key = {(f.region, f.name): f for f in records.value.functions}

    def document(self) -> Functions:
        """The document `functions`."""
        return self._records.value

    def find(self, region: str, name: str) -> Function | None:
        """The function of this name in a region."""
        return self._by_key.get((region, name))

    # functions

    async def create_function(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        name = name_of(call.region, given["FunctionName"])
        self._refuse_what_is_missing(call)
        if given.get("PackageType", "Zip") != "Zip":
            raise not_implemented("lambda", call.operation, "functions from container images; use a zip")
        for wanted in ("Runtime", "Handler"):
            if wanted not in given:
                raise AwsError(
                    "InvalidParameterValueException",
                    "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
                )
        self._refuse_existing(call.region, name)
        settings = _settings(given)
        code = await self._unpack(call.region, name, given["Code"])
        self._refuse_existing(call.region, name)  # another call may have made it meanwhile
        stamp = _stamp()
        function = Function(
            region=call.region,
            name=name,
            handler=settings.pop("handler"),
            runtime=settings.pop("runtime"),
            role=settings.pop("role"),
            code_dir=code.folder,
            code_sha256=code.sha256,
            code_size=code.size,
            last_modified=stamp,
            revision_id=str(uuid4()),
            tags=given.get("Tags", {}),
            architectures=tuple(given.get("Architectures", ("x86_64",))),
            created_ms=now_ms(),
            **settings,
        )
        self._keep(function)
        return configuration(function)

    def get_function(self, call: Call) -> dict[str, Any]:
        function = self._function(call)
        digest = Path(function.code_dir).name
        value: dict[str, Any] = {
            "Configuration": configuration(function),
            "Code": {"RepositoryType": "S3", "Location": self._code_url(function.region, function.name, digest)},
        }
        if function.tags:
            value["Tags"] = dict(function.tags)
        if function.reserved_concurrency is not None:
            value["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved_concurrency}
        return value

    def get_function_configuration(self, call: Call) -> dict[str, Any]:
        return configuration(self._function(call))

    def list_functions(self, call: Call) -> dict[str, Any]:
        names = sorted(name for region, name in self._by_key if region == call.region)
        page, marker = _page(names, call)
        return {
            "Functions": [configuration(self._by_key[call.region, name]) for name in page],
            "NextMarker": marker,
        }

    async def update_function_code(self, call: Call) -> dict[str, Any]:
        function = self._at_revision(call)
        given = call.parameters
        code = await self._unpack(call.region, function.name, given)
        # Other calls may have gone through while the code was unpacked.
        current = self._by_key.get((function.region, function.name))
        if current is None:
            raise _not_found(call.region, function.name)
        updated = replace(
            current,
            code_dir=code.folder,
            code_sha256=code.sha256,
            code_size=code.size,
            architectures=tuple(given.get("Architectures", current.architectures)),
        )
        if given.get("DryRun"):
            return configuration(updated)
        return self._update(updated)

    def update_function_configuration(self, call: Call) -> dict[str, Any]:
        function = self._at_revision(call)
        self._refuse_what_is_missing(call)
        return self._update(replace(function, **_settings(call.parameters)))

    def delete_function(self, call: Call) -> dict[str, Any]:
        function = self._function(call)
        del self._by_key[function.region, function.name]
        self._save()
        return {"StatusCode": 204}

    def list_versions_by_function(self, call: Call) -> dict[str, Any]:
        function = self._function(call)
        latest = configuration(function)
        latest["FunctionArn"] += ":$LATEST"
        return {"Versions": [latest]}

    def list_aliases(self, call: Call) -> dict[str, Any]:
        self._function(call)
        return {"Aliases": []}

    def list_event_source_mappings(self, call: Call) -> dict[str, Any]:
        return {"EventSourceMappings": []}

    def get_function_code_signing_config(self, call: Call) -> dict[str, Any]:
        return {"FunctionName": self._function(call).name, "CodeSigningConfigArn": ""}

    def get_account_settings(self, call: Call) -> dict[str, Any]:
        functions = [f for f in self._by_key.values() if f.region == call.region]
        reserved = sum(f.reserved_concurrency or 0 for f in functions)
        return {
            "AccountLimit": {
                "TotalCodeSize": 80_530_636_800,
                "CodeSizeUnzipped": packages.UNZIPPED_BYTES_MAX,
                "CodeSizeZipped": packages.ZIPPED_BYTES_MAX,
                "ConcurrentExecutions": CONCURRENCY_LIMIT,
                "UnreservedConcurrentExecutions": CONCURRENCY_LIMIT - reserved,
            },
            "AccountUsage": {"TotalCodeSize": sum(f.code_size for f in functions), "FunctionCount": len(functions)},
        }

    # concurrency

    def put_function_concurrency(self, call: Call) -> dict[str, Any]:
        function = self._function(call)
        wanted: int = call.parameters["ReservedConcurrentExecutions"]
        others = sum(
            f.reserved_concurrency or 0
            for f in self._by_key.values()
            if f.region == call.region and f.name != function.name
        )
        if CONCURRENCY_LIMIT - others - wanted < UNRESERVED_CONCURRENCY_MIN:
            raise AwsError(
                "InvalidParameterValueException",
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                f"below its minimum value of [{UNRESERVED_CONCURRENCY_MIN}].",
            )
        self._keep(replace(function, reserved_concurrency=wanted))
        return {"ReservedConcurrentExecutions": wanted}

    def get_function_concurrency(self, call: Call) -> dict[str, Any]:
        reserved = self._function(call).reserved_concurrency
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def delete_function_concurrency(self, call: Call) -> dict[str, Any]:
        self._keep(replace(self._function(call), reserved_concurrency=None))
        return {}

    # policy

    def add_permission(self, call: Call) -> dict[str, Any]:
        function = self._at_revision(call)
        given = call.parameters
        if any(p.statement_id == given["StatementId"] for p in function.permissions):
            raise AwsError(
                "ResourceConflictException",
                f"The statement id ({given['StatementId']}) provided already exists. Please provide a new statement "
                "id, or remove the existing statement.",
            )
        permission = Permission(given["StatementId"], given["Principal"], given["Action"], given.get("SourceArn"))
        updated = replace(function, permissions=(*function.permissions, permission), revision_id=str(uuid4()))
        self._keep(updated)
        return {"Statement": json.dumps(statement(updated, permission))}

    def remove_permission(self, call: Call) -> dict[str, Any]:
        function = self._at_revision(call)
        left = tuple(p for p in function.permissions if p.statement_id != call.parameters["StatementId"])
        if len(left) == len(function.permissions):
            raise AwsError(
                "ResourceNotFoundException",
                f"Statement {call.parameters['StatementId']} is not found in resource policy.",
            )
        self._keep(replace(function, permissions=left, revision_id=str(uuid4())))
        return {}

    def get_policy(self, call: Call) -> dict[str, Any]:
        function = self._function(call)
        if not function.permissions:
            raise AwsError("ResourceNotFoundException", "The resource you requested does not exist.")
        return {"Policy": policy(function), "RevisionId": function.revision_id}

    # tags

    def tag_resource(self, call: Call) -> dict[str, Any]:
        function = self._tagged(call)
        self._keep(replace(function, tags={**function.tags, **call.parameters["Tags"]}))
        return {}

    def untag_resource(self, call: Call) -> dict[str, Any]:
        function = self._tagged(call)
        dropped = call.parameters["TagKeys"]
        self._keep(replace(function, tags={k: v for k, v in function.tags.items() if k not in dropped}))
        return {}

    def list_tags(self, call: Call) -> dict[str, Any]:
        return {"Tags": dict(self._tagged(call).tags)}

    # the records

    def package(self, region: str, name: str, digest: str) -> bytes | None:
        """The zip of a function's current code, if `digest` names it."""
        function = self._by_key.get((region, name))
        if function is None or Path(function.code_dir).name != digest:
            return None
        return packages.package_path(Path(function.code_dir).parent, digest).read_bytes()

    def sweep(self) -> None:
        """Remove code that no function has; for the start of control, when nothing is being unpacked."""
        used = {Path(f.code_dir) for f in self._by_key.values()}
        for found in self._folder.glob("*/*/*"):
            if found.with_suffix("") not in used:
                if found.is_dir():
                    shutil.rmtree(found, ignore_errors=True)
                else:
                    found.unlink(missing_ok=True)

    def _function(self, call: Call) -> Function:
        name = name_of(call.region, call.parameters["FunctionName"], call.parameters.get("Qualifier"))
        function = self._by_key.get((call.region, name))
        if function is None:
            raise _not_found(call.region, name)
        return function

    def _tagged(self, call: Call) -> Function:
        name = name_of(call.region, call.parameters["Resource"])
        function = self._by_key.get((call.region, name))
        if function is None:
            raise _not_found(call.region, name)
        return function

    def _at_revision(self, call: Call) -> Function:
        function = self._function(call)
        wanted = call.parameters.get("RevisionId")
        if wanted not in (None, function.revision_id):
            raise AwsError(
                "PreconditionFailedException",
                "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
                "retrieve the latest Revision Id",
            )
        return function

    def _refuse_existing(self, region: str, name: str) -> None:
        if (region, name) in self._by_key:
            raise AwsError("ResourceConflictException", f"Function already exist: {name}")

    def _refuse_what_is_missing(self, call: Call) -> None:
        for member, what in (("Layers", "layers"), ("FileSystemConfigs", "file systems"), ("ImageConfig", "images")):
            if call.parameters.get(member):
                raise not_implemented("lambda", call.operation, f"{what}; put everything in the zip")

    async def _unpack(self, region: str, name: str, source: dict[str, Any]) -> packages.Code:
        if source.get("ZipFile") is not None:
            data: bytes = source["ZipFile"]
        elif source.get("S3Bucket") and source.get("S3Key"):
            data = await self._read_object(region, source["S3Bucket"], source["S3Key"])
        else:
            raise AwsError(
                "InvalidParameterValueException",
                "Please provide a source for function code: ZipFile, or S3Bucket and S3Key.",
            )
        return await asyncio.to_thread(packages.unpack, data, self._folder / region / name)

    def _update(self, function: Function) -> dict[str, Any]:
        updated = replace(function, revision_id=str(uuid4()), last_modified=_stamp())
        self._keep(updated)
        return configuration(updated)

    def _keep(self, function: Function) -> None:
        self._by_key[function.region, function.name] = function
        self._save()

    def _save(self) -> None:
        self._records.replace(Functions(tuple(self._by_key.values())))
        self._changed()


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """The parts of a `Function` that CreateFunction and UpdateFunctionConfiguration set, checked. Raises AwsError."""
    settings: dict[str, Any] = {}
    for member, name in (
        ("Handler", "handler"),
        ("Runtime", "runtime"),
        ("Role", "role"),
        ("Timeout", "timeout_s"),
        ("MemorySize", "memory_mb"),
        ("Description", "description"),
    ):
        if member in given:
            settings[name] = given[member]
    if "Environment" in given:
        settings["environment"] = checked_environment(given["Environment"].get("Variables", {}))
    if "EphemeralStorage" in given:
        settings["ephemeral_storage_mb"] = given["EphemeralStorage"]["Size"]
    for name, member, most in (("memory_mb", "memorySize", MEMORY_MB_MAX), ("timeout_s", "timeout", TIMEOUT_S_MAX)):
        if settings.get(name, 0) > most:
            raise AwsError(
                "ValidationException",
                f"1 validation error detected: Value '{settings[name]}' at '{member}' failed to satisfy constraint: "
                f"Member must have value less than or equal to {most}",
            )
    runtime = settings.get("runtime")
    if runtime is not None and not re.fullmatch(r"python3\.\d+", runtime):
        raise AwsError(
            "InvalidParameterValueException", f"the lab runs the Python runtimes only (python3.N), not {runtime!r}"
        )
    role = settings.get("role")
    if role is not None and not ROLE.fullmatch(role):
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{role}' at 'role' failed to satisfy constraint: Member must satisfy "
            r"regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
        )
    return settings


def _page(names: list[str], call: Call) -> tuple[list[str], str | None]:
    after = call.parameters.get("Marker")
    left = [name for name in names if after is None or name > after]
    limit = min(call.parameters.get("MaxItems", 50), 50)
    page = left[:limit]
    return page, page[-1] if len(left) > limit else None


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def _not_found(region: str, name: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"Function not found: {function_arn(region, name)}")
