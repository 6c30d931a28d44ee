"""Where in a TOML file each key is: the standard library's parser does not tell.

It reads files that `tomllib` has accepted, so it need not notice mistakes; what it does not find gets the line of the
nearest key around it.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.|$|=)""")


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every key and table header by its path; array tables count from 0."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    nesting = _Nesting()
    for number, line in enumerate(text.splitlines(), start=1):
        if nesting.inside:
            nesting.read(line)
            continue
        header = _HEADER.match(line)
        if header is not None:
            table = _resolve(_key(header[2]), counts)
            if header[1] == "[[":
                index = counts.get(table, -1) + 1
                counts[table] = index
                lines.setdefault(table, number)
                table = (*table, index)
            lines[table] = number
            for length in range(1, len(table)):  # [a.b] makes `a` too
                lines.setdefault(table[:length], number)
            continue
        key, value = _assignment(line)
        if key:
            for length in range(1, len(key) + 1):
                lines.setdefault((*table, *key[:length]), number)
            nesting.read(value)
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a key, or of what is nearest around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _key(text: str) -> tuple[str, ...]:
    parts: list[str] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            break
        parts.append(next(group for group in match.groups()[:3] if group is not None))
        position = match.end()
    return tuple(parts)


def _assignment(line: str) -> tuple[tuple[str, ...], str]:
    """The key before the equals sign and the text after it; no key if the line is not an assignment."""
    parts: list[str] = []
    position = 0
    while True:
        match = _PART.match(line, position)
        if match is None or match[4] == "":
            return (), ""
        parts.append(next(group for group in match.groups()[:3] if group is not None))
        position = match.end()
        if match[4] == "=":
            return tuple(parts), line[position:]


def _resolve(key: tuple[str, ...], counts: dict[Path, int]) -> Path:
    """A header's key with the indexes of the array tables that it is in; not its own, if it is one."""
    path: Path = ()
    for number, part in enumerate(key):
        path = (*path, part)
        if number < len(key) - 1 and path in counts:
            path = (*path, counts[path])
    return path


class _Nesting:
    """Whether a value goes on in the next line: open brackets, or an open multi-line string."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""

    @property
    def inside(self) -> bool:
        return self._depth > 0 or self._quote != ""

    def read(self, text: str) -> None:
        position = 0
        while position < len(text):
            if self._quote:
                end = text.find(self._quote, position)
                if end < 0:
                    return
                position, self._quote = end + 3, ""
                continue
            three, one = text[position : position + 3], text[position]
            if three in ('"""', "'''"):
                self._quote = three
                position += 3
            elif one in "\"'":
                position = _string_end(text, position)
            elif one == "#":
                return
            else:
                self._depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(one, 0)
                position += 1


def _string_end(text: str, start: int) -> int:
    """The position after a string on one line that starts at `start`."""
    quote, position = text[start], start + 1
    while position < len(text) and text[position] != quote:
        position += 2 if text[position] == "\\" and quote == '"' else 1
    return position + 1
