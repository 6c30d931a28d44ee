"""The settings of one lab as frozen values: what `lab.toml` and the command line's options come to.

Without a `lab.toml` the defaults below stand and nothing heavy is imported; `lab.config.toml_file` reads the file.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.core.deployment import DeploymentPlan, FunctionPlan, HealthCheckPlan, Route, TablePlan, feedback_plan
from lab.core.replication_lag import ReplicationLag
from lab.core.topology import DOMAIN, ClockSkew, Place, RoundTrip, Topology, regional_addresses
from lab.errors import UserError

FILE_NAME = "lab.toml"
STATE_FOLDER = ".lab"
DEFAULT_REGIONS = ("us-east-1", "us-west-2")
REGIONS_MAX = 32
BLOCK_PATTERN = re.compile(r"127\.(\d{1,3})\Z")


ONE_MACHINE = (
    "regions",
    "block",
    "speed",
    "seed",
    "domain",
    "ports",
    "places",
    "round_trips",
    "replication",
    "clock_skews",
    "legacy_global_tables",
    "accelerator_delay_ms",
    "accelerator_latency",
)


@dataclass(frozen=True)
class Ports:
    """The ports of every address of the lab."""

    aws: int = 4566
    http: int = 8080
    dns: int = 5300
    control: int = 8000


@dataclass(frozen=True)
class Settings:
    """One lab's settings. `folder` is the project's folder; `functions` and `tables` None mean the shipped ones."""

    folder: Path
    regions: tuple[str, ...] = DEFAULT_REGIONS
    block: str = "127.10"
    speed: float = 1.0
    seed: int = 0
    handlers: Path | None = None
    domain: str = DOMAIN
    ports: Ports = Ports()
    places: tuple[Place, ...] = ()
    round_trips: tuple[RoundTrip, ...] = ()
    replication: ReplicationLag = field(default_factory=ReplicationLag)
    clock_skews: tuple[ClockSkew, ...] = ()
    legacy_global_tables: bool = False
    accelerator_delay_ms: int = 30_000
    accelerator_latency: bool = False
    functions: tuple[FunctionPlan, ...] | None = None
    tables: tuple[TablePlan, ...] | None = None
    health_check: HealthCheckPlan | None = None

    @property
    def state_dir(self) -> Path:
        return self.folder / STATE_FOLDER


def project_folder(start: Path) -> Path:
    """The nearest folder, from `start` upwards, with a `lab.toml` or the state of a lab; `start` if there is none."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file() or (folder / STATE_FOLDER / "instance.json").is_file():
            return folder
    return start


def load_settings(folder: Path) -> Settings:
    """The settings of a project folder. Raises ConfigError."""
    path = folder / FILE_NAME
    if not path.exists() and not path.is_symlink():
        return Settings(folder)
    from lab.config.toml_file import read_settings  # pydantic is only paid for where there is a file

    return read_settings(path)


def override(
    settings: Settings,
    *,
    regions: str | None = None,
    block: str | None = None,
    speed: float | None = None,
    handlers: Path | None = None,
) -> Settings:
    """The settings with the command line's options in place of theirs. Raises UserError."""
    if regions is not None:
        codes = tuple(code for code in re.split(r"[,\s]+", regions) if code)
        settings = replace(settings, regions=check_regions(codes))
    if block is not None:
        settings = replace(settings, block=check_block(block))
    if speed is not None:
        settings = replace(settings, speed=check_speed(speed))
    if handlers is not None:
        settings = replace(settings, handlers=handlers)
    return settings


def check_regions(codes: tuple[str, ...]) -> tuple[str, ...]:
    """The region codes, if each is one of AWS's and none comes twice. Raises UserError."""
    from lab.data import geography

    known = geography().regions
    if not codes:
        raise UserError("no region given: name at least one, such as us-east-1,us-west-2")
    if len(codes) > REGIONS_MAX:
        raise UserError(f"{len(codes)} regions are more than the lab can run: at most {REGIONS_MAX}")
    for code in codes:
        if code not in known:
            raise UserError(f"unknown region {code!r}: {suggestion(code, known)}")
        if codes.count(code) > 1:
            raise UserError(f"region {code} is given twice")
    return codes


def check_block(block: str) -> str:
    """The block of addresses, if it is the first two numbers of loopback addresses. Raises UserError."""
    match = BLOCK_PATTERN.match(block.removesuffix(".0.0/16"))
    if match is None or int(match[1]) > 255:
        raise UserError(f"{block!r} is not a block of loopback addresses: give its first two numbers, such as 127.20")
    return f"127.{int(match[1])}"


def check_speed(speed: float) -> float:
    """The speed, if it is one. Raises UserError."""
    if not 0.1 <= speed <= 1000:
        raise UserError(f"speed {speed:g} is out of range: 1 is AWS's pace, 30 is thirty times as fast (0.1 to 1000)")
    return speed


def suggestion(word: str, known: Iterable[str], *, several: str = "one of") -> str:
    """What to say after an unknown word: the closest known ones, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if close and len(names) > 8:
        return f"did you mean {' or '.join(close)}?"
    return f"expected {several} {', '.join(names)}" + (f" (did you mean {close[0]}?)" if close else "")


def make_topology(settings: Settings, *, run_dir: str) -> Topology:
    """The topology of an instance with these settings."""
    from lab.data import places

    return Topology(
        block=settings.block,
        regions=regional_addresses(settings.block, settings.regions),
        places=(*places(), *settings.places),
        state_dir=str(settings.state_dir.resolve()),
        run_dir=run_dir,
        speed=settings.speed,
        seed=settings.seed,
        aws_port=settings.ports.aws,
        http_port=settings.ports.http,
        dns_port=settings.ports.dns,
        control_port=settings.ports.control,
        domain=settings.domain,
        round_trips=settings.round_trips,
        replication=settings.replication,
        clock_skews=settings.clock_skews,
        legacy_global_tables=settings.legacy_global_tables,
        accelerator_delay_ms=settings.accelerator_delay_ms,
        accelerator_latency=settings.accelerator_latency,
    )


def shipped_handlers() -> Path:
    """The folder of the handlers that come with the lab."""
    import lab

    return Path(os.path.realpath(lab.__file__)).parent.parent / "handlers"


def one_machine_settings(settings: Settings) -> tuple[str, ...]:
    """What lab.toml sets that only a lab on one machine reads; the containers have variables (docs/compose.md)."""
    default = Settings(settings.folder)
    return tuple(name for name in ONE_MACHINE if getattr(settings, name) != getattr(default, name))


def handlers_folder(settings: Settings) -> Path:
    """Where the functions' folders are: the option or setting, else the project's `handlers/`, else the shipped one."""
    if settings.handlers is not None:
        return settings.handlers.expanduser().resolve()
    own = settings.folder / "handlers"
    return own.resolve() if own.is_dir() else shipped_handlers()


def make_plan(settings: Settings) -> DeploymentPlan:
    """What to deploy. Raises UserError if a function's folder is missing or no route is known for the handlers."""
    folder = handlers_folder(settings)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: `--handlers` (or `handlers` in {FILE_NAME}) names a folder of functions")
    if settings.functions is None:
        return _shipped_plan(settings, folder)
    functions = []
    for function in settings.functions:
        code = folder / function.folder
        if not code.is_dir():
            raise UserError(f"function {function.name}: no folder {code}; make it, or correct `folder` in {FILE_NAME}")
        functions.append(replace(function, folder=str(code)))
    plan = DeploymentPlan(tuple(functions), settings.tables or (), settings.health_check, zone=settings.domain)
    if not plan.routes:
        raise UserError(
            f"no function in {settings.folder / FILE_NAME} has a route, and API Gateway has no API without one: "
            'give one `routes`, such as ["GET /health"]'
        )
    return (
        _checked_health(plan, settings) if plan.health_check else replace(plan, health_check=_found_health_check(plan))
    )


def _checked_health(plan: DeploymentPlan, settings: Settings) -> DeploymentPlan:
    """The plan, if something answers its health check. Raises UserError."""
    assert plan.health_check is not None
    if not any(_answers(route, plan.health_check.path) for route, _ in plan.routes):
        raise UserError(
            f"{settings.folder / FILE_NAME}: `health_check.path`: no function has a route GET "
            f"{plan.health_check.path}: it has to be one of the API's routes"
        )
    return plan


def _answers(route: Route, path: str) -> bool:
    """Whether a route answers GET of a path."""
    if route.method not in ("GET", "ANY"):
        return False
    parts, wanted = route.path.split("/"), path.partition("?")[0].split("/")
    if parts[-1].endswith("+}"):
        parts, wanted = parts[:-1], wanted[: len(parts) - 1] if len(wanted) >= len(parts) else []
    return len(parts) == len(wanted) and all(
        part == found or part.startswith("{") for part, found in zip(parts, wanted, strict=True)
    )


def _shipped_plan(settings: Settings, folder: Path) -> DeploymentPlan:
    code = folder / "feedback"
    if not (code / "app.py").is_file():
        found = sorted(path.parent.name for path in folder.glob("*/app.py")) or ["orders"]
        example = f'[[functions]]\nname = "{found[0]}"\nfolder = "{found[0]}"\nroutes = ["GET /{found[0]}"]'
        raise UserError(
            f"{folder}: the lab does not know the routes of these handlers; "
            f"name them in {settings.folder / FILE_NAME}, for example\n\n{example}\n"
        )
    plan = feedback_plan(str(code), settings.domain)
    plan = replace(plan, tables=settings.tables or plan.tables, health_check=settings.health_check or plan.health_check)
    return _checked_health(plan, settings)


def _found_health_check(plan: DeploymentPlan) -> HealthCheckPlan | None:
    """A route to check: `/health` if there is one, else the first GET without a parameter."""
    paths = [route.path for route, _ in plan.routes if route.method in ("GET", "ANY") and "{" not in route.path]
    if not paths:
        return None
    return HealthCheckPlan("/health" if "/health" in paths else paths[0])
