"""What may stand in `lab.toml`, as pydantic models; every key has a default and unknown keys are refused."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lab.config.settings import check_block, check_regions, check_speed
from lab.core.deployment import Route
from lab.core.lambda_environment import RESERVED_VARIABLES
from lab.errors import UserError

CLIENT_NETWORK = ipaddress.IPv4Network("198.18.0.0/15")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY")
_PATH = re.compile(
    r"(/|(/([A-Za-z0-9._:-]+|\{[A-Za-z0-9._-]+\}))+|(/([A-Za-z0-9._:-]+|\{[A-Za-z0-9._-]+\}))*/\{[A-Za-z0-9._-]+\+\})\Z"
)
_FUNCTION = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_HANDLER = re.compile(r"[A-Za-z0-9_./-]+\.[A-Za-z_][A-Za-z0-9_]*\Z")
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}\Z")
_PLACE = re.compile(r"[a-z0-9-]{1,32}\Z")
_DOMAIN = re.compile(r"(?=.{1,240}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}\Z")
_COUNTRY = re.compile(r"[A-Za-z]{2}\Z")
_FOLDER = re.compile(r"[^\0]+\Z")
_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]+\Z")
VARIABLE = "a variable's name: a letter, then letters, digits and _, at least two in all"


def parse_route(text: str) -> Route:
    """ "POST /feedback" as a route. Raises ValueError."""
    method, _, path = text.strip().partition(" ")
    path = path.strip()
    if method not in METHODS or not _PATH.match(path):
        raise ValueError(f'expected a method and a path such as "GET /feedback/{{id}}", got {text!r}')
    return Route(method, path)


def _region_list(codes: list[str]) -> list[str]:
    try:
        return list(check_regions(tuple(codes)))
    except UserError as error:
        raise ValueError(str(error)) from error


def _block(block: str) -> str:
    try:
        return check_block(block)
    except UserError as error:
        raise ValueError(str(error)) from error


def _speed(speed: float) -> float:
    try:
        return check_speed(speed)
    except UserError as error:
        raise ValueError(str(error)) from error


def _route(text: str) -> str:
    parse_route(text)
    return text


def _subnet(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"expected a /24 of {CLIENT_NETWORK}, got {text!r} ({error})") from error
    if network.version != 4 or network.prefixlen != 24 or not network.subnet_of(CLIENT_NETWORK):
        raise ValueError(f"expected a /24 of {CLIENT_NETWORK}, got {text!r}")
    return text


def _key(key: dict[str, str]) -> dict[str, str]:
    if not 1 <= len(key) <= 2 or not all(key):
        raise ValueError(
            "expected one or two attributes with their types, partition key first, "
            'such as { customer = "S", number = "N" }'
        )
    return key


def _variable(name: str) -> str:
    if name in RESERVED_VARIABLES:
        raise ValueError(f"Lambda sets {name} itself and lets nobody else set it")
    return name


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.match(value):
            raise ValueError(f"expected {what}, got {value!r}")
        return value

    return AfterValidator(check)


class Model(BaseModel):
    """The base of all: strict types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PortsModel(Model):
    """`[ports]`."""

    aws: int = Field(default=4566, ge=1024, le=65535)
    http: int = Field(default=8080, ge=1024, le=65535)
    dns: int = Field(default=5300, ge=1024, le=65535)
    control: int = Field(default=8000, ge=1024, le=65535)


class PlaceModel(Model):
    """`[[places]]`: where people are. `subnet` is a /24 of 198.18.0.0/15; without one the lab picks a free one."""

    name: Annotated[str, _matching(_PLACE, "a name of small letters, digits and hyphens")]
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    country: Annotated[str, _matching(_COUNTRY, "a country's two letters, such as NO")]
    continent: Literal["AF", "AN", "AS", "EU", "NA", "OC", "SA"]
    subdivision: str | None = None
    subnet: Annotated[str, AfterValidator(_subnet)] | None = None


class RoundTripModel(Model):
    """`[[round_trips]]`: a round trip set by hand."""

    source: str
    target: str
    round_trip_ms: float = Field(ge=0, le=60_000)


class PairLagModel(Model):
    """`[[replication.lags]]`: a lag set by hand."""

    source: str
    target: str
    lag_ms: float = Field(ge=0, le=600_000)


class ClockSkewModel(Model):
    """`[[replication.clock_skews]]`: how far the clock of a region's tables is off."""

    region: str
    skew_ms: int = Field(ge=-86_400_000, le=86_400_000)


class ReplicationModel(Model):
    """`[replication]`: how long replicated writes are on their way, and whose clocks are off."""

    distance: bool = False
    jitter: float = Field(default=0.2, ge=0, le=10)
    lags: list[PairLagModel] = []
    clock_skews: list[ClockSkewModel] = []


class AcceleratorModel(Model):
    """`[accelerator]`: how accelerators behave that AWS gives no setting for."""

    delay_s: float = Field(default=30.0, ge=0, le=30)
    latency: bool = False


class FunctionModel(Model):
    """`[[functions]]`. `folder` is below the handlers' folder."""

    name: Annotated[str, _matching(_FUNCTION, "a function's name: letters, digits, - and _, at most 64")]
    folder: Annotated[str, _matching(_FOLDER, "a folder")] | None = None
    handler: Annotated[str, _matching(_HANDLER, "module.function, such as app.handler")] = "app.handler"
    routes: list[Annotated[str, AfterValidator(_route)]] = []
    environment: dict[Annotated[str, _matching(_VARIABLE, VARIABLE), AfterValidator(_variable)], str] = {}
    timeout_s: int = Field(default=10, ge=1, le=900)
    memory_mb: int = Field(default=256, ge=128, le=10_240)
    reserved_concurrency: int | None = Field(default=None, ge=0, le=1000)


class TableModel(Model):
    """`[[tables]]`: the key as `{attribute = "S"}`, partition key first."""

    name: Annotated[str, _matching(_TABLE, "a table's name: letters, digits, _ . -, 3 to 255")]
    key: Annotated[dict[str, Literal["S", "N", "B"]], AfterValidator(_key)]


class HealthCheckModel(Model):
    """`[health_check]`: how each region's API is checked."""

    path: Annotated[str, _matching(_PATH, "a path such as /health")]
    request_interval_s: Literal[10, 30] = 10
    failure_threshold: int = Field(default=3, ge=1, le=10)


class LabModel(Model):
    """The whole file."""

    regions: Annotated[list[str], AfterValidator(_region_list)] = ["us-east-1", "us-west-2"]
    block: Annotated[str, AfterValidator(_block)] = "127.10"
    speed: Annotated[float, AfterValidator(_speed)] = 1.0
    seed: int = 0
    handlers: Annotated[str, _matching(_FOLDER, "a folder")] | None = None
    domain: Annotated[str, _matching(_DOMAIN, "a domain name in small letters, such as lab.test")] = "lab.test"
    ports: PortsModel = PortsModel()
    places: list[PlaceModel] = []
    round_trips: list[RoundTripModel] = []
    replication: ReplicationModel = ReplicationModel()
    legacy_global_tables: bool = False
    accelerator: AcceleratorModel = AcceleratorModel()
    functions: list[FunctionModel] | None = None
    tables: list[TableModel] | None = None
    health_check: HealthCheckModel | None = None
