"""The lab from a test's or a drill's side: people in places, regions that fail and heal, waiting.

lab = attach()                                       # the lab that runs in the current folder
lab.region("us-east-1").fail()
lab.eventually(lambda: lab.place("dublin").get("http://api.lab.test/health").region == "us-west-2")
lab.heal()
"""

from __future__ import annotations

from lab.testing.containers import RegionContainers
from lab.testing.lab import Lab, attach
from lab.testing.place import Answer, CallFromPlaceFailed, PlaceClient, Timings
from lab.testing.region import RegionHandle

__all__ = [
    "Answer",
    "CallFromPlaceFailed",
    "Lab",
    "PlaceClient",
    "RegionContainers",
    "RegionHandle",
    "Timings",
    "attach",
]
