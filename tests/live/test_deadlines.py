"""Many short waits behind one timer."""

from __future__ import annotations

import asyncio

from lab.live.deadlines import Deadlines


def test_a_wait_that_takes_too_long_expires_once_and_others_go_on() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        late: list[str] = []
        gone = asyncio.Event()
        long = deadlines.begin(60, lambda: late.append("long"))
        short = deadlines.begin(0.02, lambda: (late.append("short"), gone.set()))
        await asyncio.wait_for(gone.wait(), 60)
        assert late == ["short"]
        assert deadlines.expired(short) and not deadlines.expired(long)

    asyncio.run(main())


def test_an_earlier_deadline_that_begins_later_comes_first_and_the_later_one_still_comes() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        late: list[str] = []
        both = asyncio.Event()
        deadlines.begin(0.05, lambda: (late.append("second"), both.set()))
        deadlines.begin(0.01, lambda: late.append("first"))
        await asyncio.wait_for(both.wait(), 60)
        assert late == ["first", "second"]

    asyncio.run(main())


def test_a_wait_that_ended_never_expires() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        late: list[str] = []
        after = asyncio.Event()
        deadlines.end(deadlines.begin(0.01, lambda: late.append("ended")))
        deadlines.begin(0.02, after.set)
        await asyncio.wait_for(after.wait(), 60)
        assert late == []

    asyncio.run(main())
