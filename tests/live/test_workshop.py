"""What the workshop shows is true: its commands, chapter after chapter on one lab, print what it prints."""

from __future__ import annotations

import re
from pathlib import Path

from loopback_block import free_block
from shown_examples import ROOT, assert_python_passes, examples, need, play, python_blocks

from lab.testing import Lab

WORKSHOP = ROOT / "docs" / "workshop.md"
OPTIONAL = re.compile("Connection refused")
"""Whoever is slow to ask comes after the failover."""


def test_the_commands_of_the_workshop_print_what_it_shows(tmp_path: Path) -> None:
    need("aws", "dig")
    *shown, last = examples(WORKSHOP)
    assert shown[0].command.startswith("lab up") and last.command == "lab down"
    play(shown, tmp_path, free_block(), optional=OPTIONAL)


def test_the_test_of_the_workshop_passes(lab: Lab) -> None:
    (source,) = python_blocks(WORKSHOP)
    assert_python_passes(source, lab)
