"""What the README shows is true: its commands run, on a lab of their own, and print what it prints.

A line of the README is found in the real output when numbers, times and identifiers are left out of account.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cli_lab import free_block

from lab.testing import Lab

README = Path(__file__).parents[2] / "README.md"
VOLATILE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]+|\bd-[a-z0-9]{10}\b|(?<=execute-api/)[a-z0-9]{10}|[0-9]+(?:\.[0-9]+)*"
)
FRAMES = re.compile(r"[─━│┃┏┓┗┛┡┩┳┻╇┬┼┴├┤└┘┌┐]+")
OPTIONAL = re.compile(r"first failed request|DNS answers|first success|health check healthy")
"""Happenings of a place that a run may lack or put elsewhere; the drill's own checks judge them."""


@dataclass(frozen=True)
class Example:
    """One command of the README and the lines that it shows below it."""

    command: str
    shown: tuple[str, ...]


def examples() -> list[Example]:
    """Every `$ ` line of the README's console blocks."""
    found: list[Example] = []
    for block in re.findall(r"```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append(Example(command, tuple(line for line in shown.splitlines() if line.strip())))
    return found


def shape(line: str) -> str:
    """A line without frames, numbers and identifiers, its white space folded."""
    return " ".join(VOLATILE.sub("#", FRAMES.sub(" ", line)).split())


def run(command: str, folder: Path, block: str) -> str:
    """Run a line of the README in a shell, against the lab of these tests."""
    scripts = str(Path(sys.executable).parent)
    environment = {
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "100",
        "AWS_PAGER": "",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("127.10.", f"{block}.") + " 2>&1"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def assert_shown(example: Example, printed: str) -> None:
    """Each line that the README shows is in what was printed."""
    shapes = [shape(line) for line in printed.splitlines()]
    for line in example.shown:
        if OPTIONAL.search(line):
            continue
        assert shape(line) in shapes, f"`{example.command}` did not print {line!r}:\n{printed}"


EXAMPLES = examples()
STARTING = EXAMPLES[0]
DRILL = next(example for example in EXAMPLES if example.command.startswith("lab drill"))


def test_the_readme_shows_commands() -> None:
    assert STARTING.command == "lab up --detach"
    assert len(EXAMPLES) >= 9
    assert all(example.shown for example in EXAMPLES)


def test_the_commands_of_the_readme_print_what_it_shows(tmp_path: Path) -> None:
    """One after the other, as a reader would; the drill has a lab of its own."""
    block = free_block()
    try:
        for example in EXAMPLES:
            if example is DRILL:
                continue
            command = example.command.replace("lab up", f"lab up --block {block}")
            assert_shown(example, run(command, tmp_path, block))
    finally:
        run("lab down", tmp_path, block)


def test_the_drill_of_the_readme_prints_its_timeline(lab: Lab) -> None:
    folder = Path(lab.topology.state_dir).parent
    assert_shown(DRILL, run(DRILL.command.replace(" --speed 30", ""), folder, lab.topology.block))


def test_the_test_of_the_readme_passes(lab: Lab) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(source, names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    assert callable(test)
    test(lab)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert link.startswith("https://") or (README.parent / link).exists(), link
