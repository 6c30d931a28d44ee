"""Lambda functions as deployed: what the control part records and the execution environments run."""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_MAX_ENVIRONMENTS = 8


@dataclass(frozen=True)
class Permission:
    """One statement of a function's resource policy: who may invoke it, and for which source."""

    statement_id: str
    principal: str
    action: str = "lambda:InvokeFunction"
    source_arn: str | None = None


@dataclass(frozen=True)
class Function:
    """One function in one region, version $LATEST.

    `timeout_s` 1 to 900; `memory_mb` 128 to 10240 (reported, not enforced). `code_dir` is the folder with the unpacked
    code; it changes whenever the code does. `reserved_concurrency` None means none reserved, 0 switches it off.
    """

    region: str
    name: str
    handler: str
    runtime: str
    role: str
    code_dir: str
    code_sha256: str
    code_size: int
    last_modified: str
    revision_id: str
    timeout_s: int = 3
    memory_mb: int = 128
    description: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    reserved_concurrency: int | None = None
    permissions: tuple[Permission, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    architectures: tuple[str, ...] = ("x86_64",)
    ephemeral_storage_mb: int = 512
    created_ms: int = 0

    @property
    def log_group(self) -> str:
        return f"/aws/lambda/{self.name}"


@dataclass(frozen=True)
class Functions:
    """The document `functions`: those of all regions."""

    functions: tuple[Function, ...] = ()
