"""What the control part publishes, as each other part keeps it: named JSON documents, on disk and in memory.

Control pushes a document to a part (`PUT /documents/NAME` on its Unix socket); the part writes it to its own folder
before it answers, so that it goes on with the last known one when control is gone, after a restart too. A change of a
few records comes as a change (`PATCH`, with the version that it builds upon) and is appended to the document on disk.
"""

from __future__ import annotations

import contextlib
import gc
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import orjson

from lab.core import codec
from lab.core.accelerator import Accelerators
from lab.core.endpoint_name import EndpointNames
from lab.core.faults import FaultSet
from lab.core.function import Functions
from lab.core.health_check import HealthChecks
from lab.core.load_balancer import LoadBalancers
from lab.core.rest_api import RestApis
from lab.core.table import Tables
from lab.core.zone import Zones
from lab.core.zone_change import ChangeDoesNotFit, ZonesChange, changed_zones, changed_zones_json
from lab.live.append import append_whole
from lab.live.http_message import Request, Response, json_response

DOCUMENTS: dict[str, type] = {
    "zones": Zones,
    "endpoints": EndpointNames,
    "health_checks": HealthChecks,
    "functions": Functions,
    "apis": RestApis,
    "tables": Tables,
    "faults": FaultSet,
    "load_balancers": LoadBalancers,
    "accelerators": Accelerators,
}
"""Every document by name; its class has defaults for all fields, which stand while none was published."""

VERSION_HEADER = "x-lab-version"
"""A push may carry a version, a growing number; a part refuses (409) a version that is below the one that it has."""

BASE_HEADER = "x-lab-base-version"
"""A change (`PATCH`) says which version it builds upon; a part that has another refuses it (412) and wants it all."""

CHANGES_BYTES_MAX = 4_000_000
"""So many bytes of changes are kept beside a document before it is written whole again."""

T = TypeVar("T")


def _name_of(cls: type) -> str:
    return next(name for name, candidate in DOCUMENTS.items() if candidate is cls)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's content in one step; a crash leaves the old or the new content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:  # a full disk has no room for half of it either
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """What is made here is kept: a collection amid ten thousand new records would take longer than making them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class DocumentStore:
    """The documents of one part, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._values: dict[str, Any] = {}
        self._parsed: dict[str, Any] = {}
        self._versions: dict[str, int] = {}
        self._bases: dict[str, int] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        for name, cls in DOCUMENTS.items():
            path = folder / f"{name}.json"
            data = path.read_bytes() if path.exists() else b"{}"
            self._parsed[name] = orjson.loads(data)
            self._values[name] = codec.decode(cls, self._parsed[name])
            self._bases[name] = zlib.crc32(data)
            self._restore_changes(name)

    def get(self, cls: type[T]) -> T:
        """The current document of a class: `store.get(Zones)`."""
        value: T = self._values[_name_of(cls)]
        return value

    def watch(self, cls: type, callback: Callable[[], None]) -> None:
        """Call back after each change of a document."""
        self._watchers.setdefault(_name_of(cls), []).append(callback)

    def put(self, name: str, data: bytes) -> None:
        """Take a published document. Raises KeyError for an unknown name, ValueError for one that does not fit."""
        with _without_collections():
            parsed = orjson.loads(data)
            value: Any = codec.decode_again(DOCUMENTS[name], parsed, self._parsed[name], self._values[name])
        self._write_whole(name, data)
        self._values[name], self._parsed[name] = value, parsed
        self._tell(name)

    def patch(self, name: str, data: bytes) -> None:
        """Take a change of the document `zones`, a `ZonesChange`. Raises KeyError for others, ValueError."""
        if name != _name_of(Zones):
            raise KeyError(name)
        change = orjson.loads(data)
        value, parsed = self._changed(name, change)
        path = self._changes_path(name)
        start = b"" if path.exists() and path.stat().st_size else b"%d\n" % self._bases[name]
        long = append_whole(path, start + data + b"\n") > CHANGES_BYTES_MAX
        self._values[name], self._parsed[name] = value, parsed
        if long:
            self._write_whole(name, orjson.dumps(parsed))
        self._tell(name)

    def _changed(self, name: str, change: Any) -> tuple[Any, Any]:
        made = codec.decode(ZonesChange, change)
        return changed_zones(self._values[name], made), changed_zones_json(self._parsed[name], change)

    def _changes_path(self, name: str) -> Path:
        return self._folder / f"{name}.changes"

    def _restore_changes(self, name: str) -> None:
        """Do again what was done to a document since it came whole; a line that a crash cut off was not answered."""
        try:
            base, *lines = self._changes_path(name).read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        if base == b"%d" % self._bases[name]:
            for line in lines[:-1]:
                self._values[name], self._parsed[name] = self._changed(name, orjson.loads(line))
        if base != b"%d" % self._bases[name] or lines[-1:] != [b""]:
            # Begin anew from what holds: the next change must not follow half a line.
            self._write_whole(name, orjson.dumps(self._parsed[name]))

    def _write_whole(self, name: str, whole: bytes) -> None:
        write_atomically(self._folder / f"{name}.json", whole)
        # A crash before the changes are gone does no harm: they name the document that they were made for.
        self._bases[name] = zlib.crc32(whole)
        self._changes_path(name).unlink(missing_ok=True)

    def _tell(self, name: str) -> None:
        for callback in self._watchers.get(name, []):
            callback()

    def answer(self, request: Request) -> Response | None:
        """Answer `PUT`, `PATCH` and `GET /documents/NAME`; None for any other request."""
        prefix = "/documents/"
        if not request.path.startswith(prefix):
            return None
        name = request.path.removeprefix(prefix)
        if name not in DOCUMENTS:
            return json_response(404, b'{"error":"no such document"}')
        if request.method == "GET":
            return json_response(200, orjson.dumps(codec.encode(self._values[name])))
        version = request.header(VERSION_HEADER)
        held = self._versions.get(name, 0)
        if version is not None and version.isdecimal() and int(version) < held:
            return json_response(409, orjson.dumps({"error": f"older than what is here, {held}", "version": held}))
        try:
            if request.method == "PATCH":
                if request.header(BASE_HEADER) != str(held):
                    return json_response(412, orjson.dumps({"error": "made for another version", "version": held}))
                self.patch(name, request.body)
            else:
                self.put(name, request.body)
        except KeyError:
            return json_response(405, orjson.dumps({"error": f"{name} is taken whole only"}))
        except ChangeDoesNotFit as error:
            return json_response(412, orjson.dumps({"error": str(error), "version": held}))
        except ValueError as error:
            return json_response(400, orjson.dumps({"error": str(error)}))
        if version is not None and version.isdecimal():
            self._versions[name] = int(version)
        return json_response(200, b"{}")
