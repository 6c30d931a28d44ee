"""Prints what the lab needs at run time, pinned as in the lock file: its dependencies, theirs, and pytest."""

import re
import tomllib
from pathlib import Path

LINE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def main() -> None:
    pins = {}
    for line in Path("requirements.lock").read_text().splitlines():
        found = LINE.match(line)
        if found:
            pins[found[1].lower()] = found[2]
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    wanted = [re.match(r"[A-Za-z0-9._-]+", text)[0] for text in (*project["dependencies"], "pytest")]
    for name in wanted:
        print(f"{name}=={pins[name.lower()]}")


main()
