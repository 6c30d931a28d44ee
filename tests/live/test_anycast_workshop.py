"""What the workshop on static addresses shows is true: its commands, on one lab, print what it prints."""

from __future__ import annotations

from pathlib import Path

from loopback_block import free_block
from shown_examples import ROOT, examples, need, play

DOCUMENT = ROOT / "docs" / "anycast.md"


def test_the_commands_of_the_workshop_on_static_addresses_print_what_it_shows(tmp_path: Path) -> None:
    need("aws")
    *shown, last = examples(DOCUMENT)
    assert shown[0].command.startswith("lab up") and last.command == "lab down"

    def from_here(command: str) -> str:
        return command.replace("handlers/item", str(ROOT / "handlers" / "item"))

    play(shown, tmp_path, free_block(), from_here)
