"""One file of control's records: a frozen dataclass, on disk as JSON before anyone is told of a change."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import orjson

from lab.core import codec
from lab.errors import LabFault
from lab.live.documents import write_atomically

T = TypeVar("T")


class RecordFile(Generic[T]):
    """The records of one kind. `value` is what stands; `replace` writes the file first, then takes the new value."""

    def __init__(self, path: Path, cls: type[T]) -> None:
        """Read the file; without one the class's defaults stand. Raises LabFault for a file that does not fit."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.value: T = codec.decode(cls, orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            self.value = cls()
        except ValueError as error:
            raise LabFault(
                f"{path}: not control's records: {error}; move the file away to start without them"
            ) from error

    def replace(self, value: T) -> None:
        """Make `value` the current records. A crash leaves the old or the new ones."""
        write_atomically(self._path, orjson.dumps(value))
        self.value = value
