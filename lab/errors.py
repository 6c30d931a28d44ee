"""The lab's exceptions. Everything that the lab raises on purpose is one of these.

LabError
├── UserError             the user's mistake: a bad option, a bad lab.toml, an unknown region (exit status 2)
│   └── ConfigError       a mistake in lab.toml, with file, line and key
├── EnvironmentFailure    the machine's failure: a port in use, no loopback range, a part that did not start
│   ├── LabNotRunning     a command needs a running lab and there is none
│   └── LabUnreachable    a part of the lab does not answer, or went away half-way
└── LabFault              a fault of the lab itself that it noticed

A message says what was wrong, where, what was expected and what to do. Bugs are plain assertions.
"""

from __future__ import annotations

from typing import Any


class LabError(Exception):
    """Base of all; `str()` of it is fit for a person to read, and `exit_status` is the command line's."""

    exit_status = 1

    @property
    def details(self) -> dict[str, Any]:
        """What else a program may want to know of it, by name."""
        return {}


class UserError(LabError):
    """The user asked for something that cannot be."""

    exit_status = 2


class ConfigError(UserError):
    """A mistake in a configuration file."""

    def __init__(self, message: str, *, file: str, line: int | None = None, key: str | None = None) -> None:
        self.file, self.line, self.key = file, line, key
        where = file if line is None else f"{file}:{line}"
        super().__init__(f"{where}: {f'`{key}`: ' if key else ''}{message}")

    @property
    def details(self) -> dict[str, Any]:
        return {"file": self.file, "line": self.line, "key": self.key}


class EnvironmentFailure(LabError):
    """The machine, not the user and not the lab, is in the way."""


class LabNotRunning(EnvironmentFailure):
    """There is no running lab in this folder."""


class LabUnreachable(EnvironmentFailure):
    """A part of the lab does not answer."""


class LabFault(LabError):
    """The lab noticed that it is wrong about something."""
