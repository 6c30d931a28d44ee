"""The command line. Each command is a module of its own, imported when it is used; errors become one clear message."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lab.errors import LabError

BEGAN = time.monotonic()

COMMANDS = {
    "up": "start the lab, deploy the handlers, and show where everything is",
    "down": "stop the lab",
    "status": "regions, parts, faults, replication",
    "logs": "what the parts and functions log",
    "deploy": "deploy the handlers again after editing them",
    "curl": "call a URL from a place on earth",
    "dig": "ask the lab's DNS from a place on earth",
    "fault": "make a region, a link or replication fail",
    "heal": "undo a fault, or all of them",
    "drill": "run a drill and judge it",
    "conflicts": "writes of two regions that met, and which won",
    "lost": "acknowledged writes that died with a region",
    "diff": "compare the replicas of a table item by item",
    "accelerator": "what the accelerators do",
    "init": "write a lab.toml with every setting explained",
    "doctor": "check what this machine offers the lab",
}
"""Every command with its one line of help; the module is `lab.cli.NAME` and the command its attribute `NAME`."""


class LazyGroup(click.Group):
    """Imports a command's module only when that command runs: `lab status` must not pay for `lab up`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lab.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from lab.config.settings import suggestion

            ctx.fail(f"no command {args[0]!r}: {suggestion(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-C", "--folder", type=click.Path(path_type=Path), help="the project's folder instead of the current one")
@click.version_option(package_name="multi-region-lab", prog_name="lab")
@click.pass_context
def cli(ctx: click.Context, folder: Path | None) -> None:
    """Two or more AWS regions on one machine: real DNS, functions, replication; and faults to try them with."""
    from lab.cli.project import Project

    if folder is not None and not folder.is_dir():
        raise click.UsageError(f"no folder {folder}")
    ctx.obj = Project.find(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """The whole command line; the exit status: 0, 1 (a failure), 2 (the user's mistake), 3 (an address in use).

    With `--json` an error is told on stdout too, as `{"error": {"type", "message", "exit_status"}}` on one line; `type`
    is the error's class (`UserError`, `LabNotRunning`, ...), and a mistake in lab.toml adds `file`, `line` and `key`.
    """
    from lab.cli.output import guard_output

    guard_output()
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    try:
        result: Any = cli.main(args=arguments, prog_name="lab", standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        return 130
    except click.ClickException as error:
        if as_json:
            _tell_json("UsageError", error.format_message(), error.exit_code)
        error.show()
        return error.exit_code
    except LabError as error:
        return _tell(error, as_json=as_json)
    except PermissionError as error:
        from lab.errors import EnvironmentFailure

        return _tell(EnvironmentFailure(f"{error.filename or error}: permission denied"), as_json=as_json)
    except Exception as error:  # the outermost edge: a bug is told in one line, and kept whole in a file
        from lab.compose.sdk import docker_failure

        refused = docker_failure(error)
        if refused is not None:
            return _tell(refused, as_json=as_json)
        message = _keep_bug(error)
        if as_json:
            _tell_json("LabFault", message, 1)
        print(f"lab: {message}", file=sys.stderr)
        return 1
    return result if isinstance(result, int) else 0


def _tell(error: LabError, *, as_json: bool) -> int:
    if as_json:
        _tell_json(type(error).__name__, str(error), error.exit_status, error.details)
    print(f"lab: {error}", file=sys.stderr)
    return error.exit_status


def _tell_json(kind: str, message: str, exit_status: int, details: Mapping[str, Any] | None = None) -> None:
    """An error as one line of JSON on stdout; the sentence on stderr is for people."""
    import json

    error = {"type": kind, "message": message, "exit_status": exit_status, **(details or {})}
    print(json.dumps({"error": error}), flush=True)


def _keep_bug(error: Exception) -> str:
    """Write the traceback to a file; the message that names it."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="lab-bug-", suffix=".txt", delete=False) as report:
        traceback.print_exception(error, file=report)
    return f"a fault of the lab itself ({type(error).__name__}: {error}); see {report.name}"
