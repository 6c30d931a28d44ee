"""What the workshop shows is true: its commands, chapter after chapter on one lab, print what it prints."""

from __future__ import annotations

from pathlib import Path

from loopback_block import free_block
from shown_examples import ROOT, assert_python_passes, assert_shown, examples, need, python_blocks, run

from lab.testing import Lab

WORKSHOP = ROOT / "docs" / "workshop.md"


def test_the_commands_of_the_workshop_print_what_it_shows(tmp_path: Path) -> None:
    need("aws", "dig")
    *shown, last = examples(WORKSHOP)
    assert shown[0].command.startswith("lab up") and last.command == "lab down"
    block = free_block()
    try:
        for example in shown:
            command = example.command.replace("lab up", f"lab up --block {block}")
            assert_shown(example, run(command, tmp_path, block, example.settings))
    finally:
        run(last.command, tmp_path, block)


def test_the_test_of_the_workshop_passes(lab: Lab) -> None:
    (source,) = python_blocks(WORKSHOP)
    assert_python_passes(source, lab)
