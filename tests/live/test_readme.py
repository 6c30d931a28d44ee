"""What the README shows is true: its commands run, on a lab of their own, and print what it prints."""

from __future__ import annotations

import re
from pathlib import Path

from cli_lab import free_block
from shown_examples import (
    ROOT,
    assert_links_lead_somewhere,
    assert_python_passes,
    assert_shown,
    examples,
    need,
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


def test_the_commands_of_the_readme_print_what_it_shows(tmp_path: Path) -> None:
    """One after the other, as a reader would; the drill has a lab of its own."""
    need("aws", "curl", "dig")
    block = free_block()
    try:
        for example in EXAMPLES:
            if example is DRILL:
                continue
            command = example.command.replace("lab up", f"lab up --block {block}")
            assert_shown(example, run(command, tmp_path, block, example.settings), OPTIONAL)
    finally:
        run("lab down", tmp_path, block)


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
