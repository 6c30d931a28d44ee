"""A shell's usual limit on open files is no limit on connections."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

from lab.live.open_files import WANTED
from lab.testing import Lab

ASK = """
import resource
from lab.live.open_files import allow_many_open_files
allow_many_open_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_process_takes_what_it_may_have() -> None:
    line = f"ulimit -Sn 300; ulimit -Hn 2000; exec {sys.executable} -c '{ASK}'"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["2000", "2000"]


def test_the_part_that_takes_connections_has_taken_it(lab: Lab) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = WANTED if allowed == resource.RLIM_INFINITY else min(allowed, WANTED)
    edge = next(part for part in lab.status()["parts"]["supervisor"]["parts"] if part["part"] == "edge")
    limits = Path(f"/proc/{edge['pid']}/limits").read_text()
    found = re.search(r"^Max open files +(\d+)", limits, re.MULTILINE)
    assert found is not None and int(found[1]) >= wanted
