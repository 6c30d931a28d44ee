"""The commands that the documents show, run as a reader would, and what they print held against what is shown.

A shown line is found in the real output when numbers, times and identifiers are left out of account. Lines that only
set something hold for the rest of their document.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.core.drill_machine import MACHINE

ROOT = Path(__file__).parents[2]
VOLATILE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]+|\bd-[a-z0-9]{10}\b|(?<=execute-api/)[a-z0-9]{10}|[0-9]+(?:\.[0-9]+)*"
)
FRAMES = re.compile(r"[─━│┃┏┓┗┛┡┩┳┻╇┬┼┴├┤└┘┌┐]+")
SETTING = re.compile(r"export( \w+=\S+)+$|\w+\(\) \{.*\}$")
"""A line that sets variables or names a function of the shell."""

UNKNOWN = 2
OVERLOADED = f"{MACHINE}: work took at most"


@dataclass(frozen=True)
class Example:
    """One command of a document, the lines that it shows below it, and what the lines before it set."""

    command: str
    shown: tuple[str, ...]
    settings: str = ""


def examples(document: Path) -> list[Example]:
    """Every `$ ` line of a document's console blocks."""
    found: list[Example] = []
    settings = ""
    for block in re.findall(r"```console\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            if SETTING.match(command):
                assert not shown.strip(), f"{command} prints nothing"
                settings += f"{command}\n"
            else:
                found.append(Example(command, tuple(line for line in shown.splitlines() if line.strip()), settings))
    return found


def python_blocks(document: Path) -> list[str]:
    """The Python code that a document shows, a block each."""
    return re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def shape(line: str) -> str:
    """A line without frames, numbers and identifiers, its white space folded."""
    return " ".join(VOLATILE.sub("#", FRAMES.sub(" ", line)).split())


def run(command: str, folder: Path, block: str, settings: str = "", limit_s: float = 180) -> str:
    """Run a command in a shell, against the lab at `block`, and give what it printed; it has to succeed."""
    scripts = str(Path(sys.executable).parent)
    environment = {
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "110",
        "AWS_PAGER": "",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", (settings + command).replace("127.10.", f"{block}.") + " 2>&1"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    if command.startswith("lab drill") and done.returncode == UNKNOWN and OVERLOADED in done.stdout:
        pytest.skip("the machine was overloaded, and the drill said so")
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def assert_shown(example: Example, printed: str, optional: re.Pattern[str] | None = None) -> None:
    """Each line that a document shows is in what was printed; lines that match `optional` may be missing."""
    shapes = [shape(line) for line in printed.splitlines()]
    for line in example.shown:
        if optional is not None and optional.search(line):
            continue
        assert shape(line) in shapes, f"`{example.command}` did not print {line!r}:\n{printed}"


def play(
    shown: Iterable[Example],
    folder: Path,
    block: str,
    prepare: Callable[[str], str] = str,
    optional: re.Pattern[str] | None = None,
) -> None:
    """Run examples, of which the first starts a lab, each after `prepare`, and stop the lab in the end."""
    try:
        for example in shown:
            command = prepare(example.command.replace("lab up", f"lab up --block {block}"))
            assert_shown(example, run(command, folder, block, example.settings), optional)
    finally:
        run("lab down", folder, block)


def assert_links_lead_somewhere(document: Path) -> None:
    """Every link of a document is a page of the web or a file that exists."""
    for link in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (document.parent / link).exists(), link


def assert_python_passes(source: str, *arguments: object) -> None:
    """The one test function of a shown block passes."""
    names: dict[str, object] = {}
    exec(source, names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    assert callable(test)
    test(*arguments)


def need(*programs: str) -> None:
    """Skip, saying so, where a program that a document uses is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
