"""`lab.toml` read and validated whole: the settings, or an error that says file, line, key and what was expected."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path

from pydantic import ValidationError

from lab.config import lines, schema
from lab.config.mistake import location_of, message_of
from lab.config.settings import Ports, Settings, suggestion
from lab.core.deployment import FunctionPlan, HealthCheckPlan, TablePlan
from lab.core.geography import Coordinates
from lab.core.replication_lag import PairLag, ReplicationLag
from lab.core.table import KeyAttribute
from lab.core.topology import ClockSkew, Place, RoundTrip
from lab.data import geography, places
from lab.errors import ConfigError


def read_settings(path: Path) -> Settings:
    """The settings of a file. Raises ConfigError."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ConfigError("expected a file; this is a pipe or a device", file=str(path))
        text = path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
        value = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text ({error.reason} at byte {error.start})", file=str(path)) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = int(place[1]) if place and place[1] else len(text.splitlines())
        raise ConfigError(f"not valid TOML: {str(error).partition(' (at ')[0]}", file=str(path), line=line) from error
    source = _Source(path, lines.key_lines(text))
    try:
        model = schema.LabModel.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise source.error(message_of(first), location_of(first)) from error
    return _settings(model, source)


class _Source:
    """The file, to say where a mistake is."""

    def __init__(self, path: Path, key_lines: dict[lines.Path, int]) -> None:
        self.path, self._lines = path, key_lines

    def error(self, message: str, location: tuple[str | int, ...]) -> ConfigError:
        key = ""
        for part in location:
            key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
        return ConfigError(message, file=str(self.path), line=lines.line_of(self._lines, location), key=key or None)


def _settings(model: schema.LabModel, source: _Source) -> Settings:
    all_places = _places(model.places, source)
    _check_round_trips(model, all_places, source)
    functions = _functions(model.functions, source)
    folder = source.path.parent
    return Settings(
        folder=folder,
        regions=tuple(model.regions),
        block=model.block,
        speed=model.speed,
        seed=model.seed,
        handlers=folder / Path(model.handlers).expanduser() if model.handlers is not None else None,
        domain=model.domain,
        ports=_ports(model.ports, source),
        places=all_places,
        round_trips=tuple(RoundTrip(r.source, r.target, r.round_trip_ms) for r in model.round_trips),
        replication=_replication(model.replication, model.regions, source),
        clock_skews=_clock_skews(model.replication, model.regions, source),
        legacy_global_tables=model.legacy_global_tables,
        accelerator_delay_ms=round(model.accelerator.delay_s * 1000),
        accelerator_latency=model.accelerator.latency,
        functions=functions,
        tables=_tables(model.tables, source),
        health_check=None
        if model.health_check is None
        else HealthCheckPlan(
            model.health_check.path, model.health_check.request_interval_s, model.health_check.failure_threshold
        ),
    )


def _replication(model: schema.ReplicationModel, regions: list[str], source: _Source) -> ReplicationLag:
    for number, lag in enumerate(model.lags):
        for end in ("source", "target"):
            code = getattr(lag, end)
            if code not in regions:
                message = f"no region {code!r} in this lab: {suggestion(code, regions)}"
                raise source.error(message, ("replication", "lags", number, end))
        if lag.source == lag.target:
            raise source.error("a region has no lag to itself", ("replication", "lags", number, "target"))
    pairs = tuple(PairLag(lag.source, lag.target, lag.lag_ms) for lag in model.lags)
    return ReplicationLag(model.distance, model.jitter, pairs)


def _clock_skews(model: schema.ReplicationModel, regions: list[str], source: _Source) -> tuple[ClockSkew, ...]:
    found: dict[str, ClockSkew] = {}
    for number, skew in enumerate(model.clock_skews):
        where = ("replication", "clock_skews", number, "region")
        if skew.region not in regions:
            raise source.error(f"no region {skew.region!r} in this lab: {suggestion(skew.region, regions)}", where)
        if skew.region in found:
            raise source.error(f"the clock of {skew.region} is set already", where)
        found[skew.region] = ClockSkew(skew.region, skew.skew_ms)
    return tuple(found.values())


def _ports(model: schema.PortsModel, source: _Source) -> Ports:
    if model.aws == model.http:
        raise source.error(f"`aws` and `http` are both {model.aws}; they share an address", ("ports", "http"))
    if len({model.aws, model.dns, model.control}) < 3:
        raise source.error("`aws`, `dns` and `control` share an address, and must differ", ("ports",))
    return Ports(model.aws, model.http, model.dns, model.control)


def _places(models: list[schema.PlaceModel], source: _Source) -> tuple[Place, ...]:
    """The file's places, each with a subnet that no other place has."""
    taken = {place.subnet: place.name for place in places()}
    names = {place.name for place in places()}
    free = (str(network) for network in schema.CLIENT_NETWORK.subnets(new_prefix=24))
    found = []
    for number, model in enumerate(models):
        if model.name in names:
            raise source.error(f"there is a place {model.name} already", ("places", number, "name"))
        subnet = model.subnet or next(s for s in free if s not in taken and not s.startswith("198.18.0."))
        subnet = str(ipaddress.ip_network(subnet))
        if subnet in taken:
            raise source.error(f"{subnet} belongs to {taken[subnet]}", ("places", number, "subnet"))
        taken[subnet] = model.name
        names.add(model.name)
        coordinates = Coordinates(model.latitude, model.longitude)
        found.append(Place(model.name, coordinates, model.country.upper(), model.continent, model.subdivision, subnet))
    return tuple(found)


def _check_round_trips(model: schema.LabModel, own: tuple[Place, ...], source: _Source) -> None:
    regions = set(geography().regions)
    sources = regions | {place.name for place in (*places(), *own)}
    for number, trip in enumerate(model.round_trips):
        if trip.source not in sources:
            message = f"no region or place {trip.source!r}: {suggestion(trip.source, sources)}"
            raise source.error(message, ("round_trips", number, "source"))
        if trip.target not in regions:
            message = f"no region {trip.target!r}: {suggestion(trip.target, regions)}"
            raise source.error(message, ("round_trips", number, "target"))


def _tables(models: list[schema.TableModel] | None, source: _Source) -> tuple[TablePlan, ...] | None:
    if models is None:
        return None
    names = [model.name for model in models]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise source.error(f"there is a table {name} already", ("tables", number, "name"))
    return tuple(TablePlan(m.name, tuple(KeyAttribute(name, kind) for name, kind in m.key.items())) for m in models)


def _functions(models: list[schema.FunctionModel] | None, source: _Source) -> tuple[FunctionPlan, ...] | None:
    if models is None:
        return None
    names: set[str] = set()
    routes: dict[str, str] = {}
    parameters: dict[str, str] = {}
    plans = []
    for number, model in enumerate(models):
        if model.name in names:
            raise source.error(f"there is a function {model.name} already", ("functions", number, "name"))
        names.add(model.name)
        for place, text in enumerate(model.routes):
            route = schema.parse_route(text)
            _check_parameters(route.path, parameters, ("functions", number, "routes", place), source)
            other = routes.setdefault(f"{route.method} {route.path}", model.name)
            if other != model.name or model.routes.count(text) > 1:
                raise source.error(f"{text} is a route of {other} already", ("functions", number, "routes"))
        plans.append(
            FunctionPlan(
                name=model.name,
                folder=model.folder or model.name,
                handler=model.handler,
                routes=tuple(schema.parse_route(text) for text in model.routes),
                environment=model.environment,
                timeout_s=model.timeout_s,
                memory_mb=model.memory_mb,
                reserved_concurrency=model.reserved_concurrency,
            )
        )
    return tuple(plans)


def _check_parameters(path: str, parameters: dict[str, str], location: tuple[str | int, ...], source: _Source) -> None:
    """API Gateway has one parameter at each place of its tree of paths: `parameters` are those so far, by parent."""
    parent = ""
    for part in path.split("/")[1:]:
        if part.startswith("{"):
            other = parameters.setdefault(parent, part)
            if other != part:
                raise source.error(
                    f"{path}: {part} stands where another route has {other}; API Gateway takes one of them", location
                )
        parent += f"/{part}"
