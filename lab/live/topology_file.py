"""The topology of an instance on disk: what every part of the lab reads first."""

from __future__ import annotations

from pathlib import Path

import orjson

from lab.core import codec
from lab.core.topology import Topology
from lab.live.documents import write_atomically


def write_topology(path: Path, topology: Topology) -> None:
    """Write `topology.json`."""
    write_atomically(path, orjson.dumps(codec.encode(topology), option=orjson.OPT_INDENT_2))


def read_topology(path: Path) -> Topology:
    """Read `topology.json`. Raises FileNotFoundError, CodecError."""
    return codec.decode(Topology, orjson.loads(path.read_bytes()))
