"""The pytest plugin with a real lab: an instance of its own that goes at the end, and the running one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.testing import session

pytest_plugins = ["pytester"]

BREAKS_AND_FAILS = """
    import pathlib

    def test_first_breaks_a_region_and_fails(lab):
        pathlib.Path("seen").write_text(lab.topology.state_dir + "\\n" + lab.topology.global_address)
        lab.region("us-east-1").fail()
        assert lab.region("us-east-1").condition == "down"
        assert False, "on purpose"

    def test_second_finds_it_healed(lab):
        assert lab.faults.faults == ()
        client = lab.region("us-east-1").client("dynamodb")
        client.put_item(TableName="feedback", Item={"feedback_id": {"S": "a"}, "value": {"S": "b"}})
        lab.converged("feedback")
        other = lab.region("us-west-2").client("dynamodb")
        assert other.get_item(TableName="feedback", Key={"feedback_id": {"S": "a"}})["Item"]["value"] == {"S": "b"}

    def test_third_cuts_and_heals_a_link(lab):
        lab.cut("us-east-1", "us-west-2")
        assert not lab.faults.link_up("us-west-2", "us-east-1")
        lab.heal()
        assert lab.faults.link_up("us-west-2", "us-east-1")

    def test_a_place_is_told_which_record_answered_it(lab):
        def served():
            answer = lab.place("tokyo").get("http://api.lab.test/health")
            assert answer.status == 200 and answer.json()["healthy"]
            return answer

        answer = lab.eventually(served)
        assert answer.region == "us-west-2"
        assert answer.record["set_identifier"] == "us-west-2"
"""


def test_an_own_instance_is_healed_between_tests_and_gone_at_the_end_whatever_failed(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(BREAKS_AND_FAILS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=300)
    result.assert_outcomes(passed=3, failed=1)
    state_dir, address = (pytester.path / "seen").read_text().splitlines()
    assert not Path(state_dir).exists()
    for port in (4566, 5300, 8000):
        with socket.socket() as sock:
            assert sock.connect_ex((address, port)) != 0, f"{address}:{port} is still open"


@pytest.fixture
def running() -> Iterator[session.Session]:
    started = session.start("own", speed=30.0)
    try:
        yield started
    finally:
        started.stop()


def test_attaching_uses_the_running_lab_and_leaves_it_running_and_healed(
    pytester: pytest.Pytester, running: session.Session
) -> None:
    assert running.folder is not None
    pytester.makepyfile(
        test_attach="""
        def test_it(lab):
            lab.region("us-west-2").pause_replication()
            assert not lab.faults.replicates("us-east-1", "us-west-2")
        """
    )
    pytester.makeini("[pytest]\n")
    running_folder = running.folder
    (running_folder / "test_attach.py").write_text((pytester.path / "test_attach.py").read_text())
    arguments = ("-p", "no:cacheprovider", "--rootdir", str(running_folder), "test_attach.py")
    pytester.chdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(running_folder)
        pytester.runpytest_subprocess(*arguments, "--lab=attach", timeout=300).assert_outcomes(passed=1)
        assert running.lab.faults.faults == ()
        refused = pytester.runpytest_subprocess(*arguments, "--lab=attach", "--lab-speed=7", timeout=300)
        refused.assert_outcomes(errors=1)
        refused.stdout.fnmatch_lines(["*--lab-speed 7 cannot change the running lab, which runs at 30*"])
        running.lab.region("us-east-1").pause_replication()
        broken = pytester.runpytest_subprocess(*arguments, "--lab=attach", timeout=300)
        broken.assert_outcomes(errors=1)
        broken.stdout.fnmatch_lines(["*the running lab has 1 faults in force; `lab heal` lifts them*"])
