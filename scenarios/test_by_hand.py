"""The same, by hand: a template for tests of your own handlers. The fixture `lab` heals whatever a test breaks."""

from __future__ import annotations

from lab.testing import Lab

HEALTH = "http://api.lab.test/health"
FEEDBACK = "http://api.lab.test/feedback"


def test_dublin_moves_to_another_region_and_finds_its_feedback_there(lab: Lab) -> None:
    lab.healthy()  # whatever ran before this
    dublin = lab.place("dublin")
    dublin.resolver.flush()
    written = dublin.post(FEEDBACK, json={}).json()
    home = dublin.get(HEALTH).region
    assert home is not None and written["region"] == home

    lab.converged("feedback")
    lab.region(home).fail()
    lab.eventually(lambda: dublin.get(HEALTH).region not in (None, home))

    # The write was replicated before the region died, so dublin still finds what it wrote.
    found = dublin.get(f"{FEEDBACK}/{written['feedback_id']}")
    assert found.status == 200
    assert found.json()["value"] == f"This item is coming from {home}"

    lab.region(home).heal()
    lab.eventually(lambda: dublin.get(HEALTH).region == home)
