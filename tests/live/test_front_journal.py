"""The journal of acknowledged writes on disk."""

from __future__ import annotations

from pathlib import Path

from lab.live.journal import Journal


def fill(journal: Journal, count: int) -> None:
    for n in range(count):
        journal.append(n, "users", [{"pk": {"S": str(n)}}], f"{n:020d}{n:010d}")


def test_entries_are_numbered_without_gaps_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "us-east-1.jsonl"
    journal = Journal(path)
    fill(journal, 700)
    journal.close()
    journal = Journal(path)
    assert journal.append(1, "users", []) == 701
    assert [e["n"] for e in journal.read(695)] == [696, 697, 698, 699, 700, 701]
    assert [e["n"] for e in journal.read(0, limit=3)] == [1, 2, 3]
    assert [e["n"] for e in journal.read(300, limit=2)] == [301, 302]
    assert journal.read(701) == []
    journal.close()


def test_a_line_that_a_crash_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    fill(journal, 3)
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"n":4,"time')
    journal = Journal(path)
    assert journal.last == 3
    assert journal.append(1, "users", []) == 4
    assert [e["n"] for e in journal.read(0)] == [1, 2, 3, 4]
    journal.close()


def test_the_oldest_half_goes_when_the_file_is_full(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path, max_bytes=20_000)
    fill(journal, 2_000)
    assert path.stat().st_size <= 20_000
    numbers = [e["n"] for e in journal.read(0)]
    assert numbers == list(range(numbers[0], 2_001))
    assert len(numbers) >= 50
    journal.close()


def test_what_is_trimmed_is_gone_and_numbers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    fill(journal, 1_000)
    journal.trim(900)
    assert journal.read(0)[0]["n"] == 901
    journal.trim(1_000)
    assert journal.read(0) == []
    assert path.stat().st_size < 200
    journal.close()
    journal = Journal(path)
    assert journal.append(1, "users", []) == 1_001
    assert [e["n"] for e in journal.read(0)] == [1_001]
    journal.close()
