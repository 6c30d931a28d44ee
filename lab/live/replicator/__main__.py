"""`python -m lab.live.replicator TOPOLOGY_PATH`: the replicator's process."""

import sys

from lab.live.part import run_part
from lab.live.replicator.service import Replicator

if __name__ == "__main__":
    sys.exit(run_part("replicator", Replicator))
