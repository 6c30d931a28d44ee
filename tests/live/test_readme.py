"""What the README shows is true: its commands run, on a lab of their own, and print what it prints."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from loopback_block import free_block
from shown_examples import (
    ROOT,
    assert_links_lead_somewhere,
    assert_python_passes,
    assert_shown,
    examples,
    need,
    play,
    python_blocks,
    run,
)

from lab.testing import Lab

README = ROOT / "README.md"
OPTIONAL = re.compile(r"first failed request|DNS answers|first success|health check healthy")
"""Happenings of a place that a run may lack or put elsewhere; the drill's own checks judge them."""
EXAMPLES = examples(README)
STARTING = EXAMPLES[0]
DRILL = next(example for example in EXAMPLES if example.command.startswith("lab drill"))


def test_the_readme_shows_commands() -> None:
    assert STARTING.command == "lab up --detach"
    assert len(EXAMPLES) >= 9
    assert all(example.shown for example in EXAMPLES)


def test_every_block_of_the_readme_is_run_by_one_of_these_tests() -> None:
    """What `make up` and `make test` do is what CI does with them; here, that they are what they are called."""
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert {language for language, _ in blocks} == {"", "console", "python"}
    (targets,) = (content for language, content in blocks if not language)
    for line in targets.splitlines():
        command = line.partition("#")[0].split()
        assert command[0] == "make"
        done = subprocess.run(
            [*command, "--dry-run"], cwd=README.parent, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert ("lab up" if command[1] == "up" else "pytest") in done.stdout


def test_every_command_in_the_text_of_the_readme_exists(tmp_path: Path) -> None:
    """`--help` behind a command has its name and its options checked, and nothing done."""
    text = re.sub(r"^```.*?^```", "", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    commands = {" ".join(found.split()) for found in re.findall(r"`((?:\.venv/bin/)?lab [^`]+)`", text)}
    assert len(commands) >= 10
    for command in sorted(commands):
        if not command.endswith("/lab"):
            printed = run(f"{command.removeprefix('.venv/bin/')} --help", tmp_path, "127.10")
            assert printed.startswith("Usage: lab "), command


def test_the_commands_of_the_readme_print_what_it_shows(tmp_path: Path) -> None:
    """One after the other, as a reader would; the drill has a lab of its own."""
    need("aws", "curl", "dig")
    shown = [example for example in EXAMPLES if example is not DRILL]
    play(shown, tmp_path, free_block(), optional=OPTIONAL)


def test_the_drill_of_the_readme_prints_its_timeline(lab: Lab) -> None:
    folder = Path(lab.topology.state_dir).parent
    printed = run(DRILL.command.replace(" --speed 30", ""), folder, lab.topology.block)
    assert_shown(DRILL, printed, OPTIONAL)


def test_the_test_of_the_readme_passes(lab: Lab) -> None:
    (source,) = python_blocks(README)
    assert_python_passes(source, lab)


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))):
        assert_links_lead_somewhere(document)
