"""`python -m lab.control TOPOLOGY_PATH`: the control part's process."""

from __future__ import annotations

import sys

from lab.control.app import Control
from lab.live.part import run_part

if __name__ == "__main__":
    sys.exit(run_part("control", Control, hello=False))
