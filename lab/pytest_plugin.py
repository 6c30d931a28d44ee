"""The pytest plugin: `lab` and `lab_session` fixtures, and the options that choose which instance they use.

Importing it costs nothing: everything of the lab is imported by the fixtures. A project that does not ask for them
never notices that it is installed.

    def test_every_place_survives(lab):
        lab.region("us-east-1").fail()
        lab.eventually(lambda: lab.place("dublin").get("http://api.lab.test/health").region == "us-west-2")
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab.testing import Lab

DEFAULT_SPEED = 30.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--lab`, `--lab-speed` and `--engine`."""
    group = parser.getgroup("lab", "multi-region lab")
    group.addoption(
        "--lab",
        choices=("own", "attach", "containers"),
        default="own",
        help="own: start an instance for the tests in a free block of addresses (default); attach: use the running "
        "one; containers: start regions in containers, on the engine of --engine (localstack is never without)",
    )
    group.addoption(
        "--lab-speed",
        type=float,
        default=None,
        metavar="N",
        help=f"every wait of an own instance is divided by N (default {DEFAULT_SPEED:g})",
    )
    group.addoption(
        "--engine",
        choices=("ministack", "localstack"),
        default="ministack",
        help="what runs the regions of an own instance (default ministack)",
    )


@pytest.fixture(scope="session")
def lab_session(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The instance that the whole test session uses; stopped at the end if it is the tests' own."""
    from lab.errors import LabError
    from lab.testing import session

    refusal = ""
    started = None
    try:
        started = session.start(
            request.config.getoption("--lab"),
            speed=request.config.getoption("--lab-speed"),
            default_speed=DEFAULT_SPEED,
            engine=request.config.getoption("--engine"),
        )
    except LabError as error:
        refusal = str(error)
    if started is None:  # said outside of the except clause: the error's own traceback tells a user nothing
        pytest.fail(f"no lab for the tests: {refusal}", pytrace=False)
    try:
        yield started.lab
    finally:
        started.stop()


@pytest.fixture
def lab(lab_session: Lab) -> Iterator[Lab]:
    """The lab without faults: what a test breaks is healed when it ends, however it ends."""
    lab_session.heal()
    try:
        yield lab_session
    finally:
        lab_session.heal()
