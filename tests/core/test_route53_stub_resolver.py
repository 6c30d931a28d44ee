"""A client's resolver in virtual time: what it keeps, what it asks, and the bad habits of real ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.core.route53.name import to_text, to_wire
from lab.core.stub_resolver import Ask, Found, Habits, Reply, ReplyRecord, StubCache

Server = Callable[[Ask], Reply | None]


class Client:
    """One resolver and a server that is a function; `asked` are the questions that reached it."""

    def __init__(self, server: Server, habits: Habits = Habits(), speed: float = 1.0) -> None:  # noqa: B008 - frozen
        self.cache = StubCache(speed, habits)
        self.server = server
        self.asked: list[Ask] = []

    def look_up(self, now_s: float, name: str = "api.lab.test", type: str = "A") -> Found:
        steps = self.cache.look_up(name, type, now_s * 1000)
        try:
            ask = next(steps)
            while True:
                self.asked.append(ask)
                ask = steps.send(self.server(ask))
        except StopIteration as end:
            found: Found = end.value
            return found


def address(value: str, ttl: int = 60) -> Server:
    return lambda ask: Reply("NOERROR", (ReplyRecord(ask.name, "A", ttl, value),))


def test_an_answer_is_kept_for_its_ttl_and_asked_for_again_then() -> None:
    client = Client(address("192.0.2.1"))
    assert client.look_up(0) == Found(("192.0.2.1",), 60, False, "NOERROR")
    client.server = address("192.0.2.2")
    assert client.look_up(59) == Found(("192.0.2.1",), 1, True, "NOERROR")
    assert client.look_up(60).addresses == ("192.0.2.2",)
    assert len(client.asked) == 2


def test_speed_divides_the_ttl() -> None:
    client = Client(address("192.0.2.1"), speed=30.0)
    assert client.look_up(0).ttl_s == 60
    assert client.look_up(1.9).from_cache
    assert not client.look_up(2.0).from_cache


def test_names_are_the_same_in_any_case_and_with_or_without_the_dot() -> None:
    client = Client(address("192.0.2.1"))
    client.look_up(0)
    assert client.look_up(1, "API.lab.TEST.").from_cache


@pytest.mark.parametrize("name", ["\u00fc.lab.test", "\u00dc.lab.test.", "a b.lab.test", "*.lab.test", "a*.lab.test"])
def test_a_name_is_known_again_as_the_reply_spells_it(name: str) -> None:
    def server(ask: Ask) -> Reply:
        shown = to_text(to_wire(ask.name))
        if ask.name.startswith("end."):
            return Reply("NOERROR", (ReplyRecord(shown, "A", 60, "192.0.2.1"),))
        return Reply("NOERROR", (ReplyRecord(shown, "CNAME", 60, "end.lab.test."),))

    client = Client(server)
    assert client.look_up(0, name).addresses == ("192.0.2.1",)
    assert client.look_up(1, name.lower()).from_cache
    assert len(client.asked) == 2


def test_an_alias_of_another_name_is_no_answer_and_not_asked_for_without_end() -> None:
    client = Client(lambda ask: Reply("NOERROR", (ReplyRecord("other.test.", "CNAME", 60, "c.test."),)))
    assert client.look_up(0).addresses == ()
    assert len(client.asked) == 1


def test_an_absence_is_kept_for_as_long_as_the_soa_says() -> None:
    client = Client(lambda ask: Reply("NXDOMAIN", negative_ttl_s=900))
    assert client.look_up(0).rcode == "NXDOMAIN"
    assert client.look_up(899) == Found((), 1, True, "NXDOMAIN")
    assert not client.look_up(900).from_cache


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_a_failure_is_not_kept(rcode: str) -> None:
    client = Client(lambda ask: Reply(rcode))
    assert client.look_up(0).rcode == rcode
    client.server = address("192.0.2.1")
    assert client.look_up(0).addresses == ("192.0.2.1",)


def test_a_server_that_does_not_answer_is_asked_twice() -> None:
    client = Client(lambda ask: None)
    assert client.look_up(0) == Found((), 0, False, "TIMEOUT")
    assert len(client.asked) == 2


def test_a_truncated_reply_is_asked_for_over_tcp() -> None:
    def server(ask: Ask) -> Reply:
        if not ask.tcp:
            return Reply("NOERROR", truncated=True)
        return Reply("NOERROR", (ReplyRecord(ask.name, "A", 60, "192.0.2.1"),))

    client = Client(server)
    found = client.look_up(0)
    assert (found.addresses, found.tcp) == (("192.0.2.1",), True)
    assert [ask.tcp for ask in client.asked] == [False, True]


def test_a_chain_is_followed_within_the_reply_and_beyond_it_and_the_least_ttl_counts() -> None:
    def server(ask: Ask) -> Reply:
        if ask.name == "api.lab.test.":
            chain = (
                ReplyRecord("api.lab.test.", "CNAME", 300, "b.lab.test."),
                ReplyRecord("b.lab.test.", "CNAME", 20, "c.example.com."),
            )
            return Reply("NOERROR", chain)
        return Reply("NOERROR", (ReplyRecord("c.example.com.", "A", 60, "192.0.2.1"),))

    client = Client(server)
    found = client.look_up(0)
    assert (found.addresses, found.ttl_s, found.chain) == (("192.0.2.1",), 20, ("b.lab.test.", "c.example.com."))
    assert [ask.name for ask in client.asked] == ["api.lab.test.", "c.example.com."]


def test_a_chain_in_a_circle_ends() -> None:
    other = {"a.test.": "b.test.", "b.test.": "a.test."}
    client = Client(lambda ask: Reply("NOERROR", (ReplyRecord(ask.name, "CNAME", 60, other[ask.name]),)))
    assert client.look_up(0, "a.test").addresses == ()
    assert len(client.asked) <= 20


def test_one_that_keeps_its_own_ttl_comes_late() -> None:
    client = Client(address("192.0.2.1", ttl=5), Habits(ttl_s=300))
    client.look_up(0)
    client.server = address("192.0.2.2", ttl=5)
    assert client.look_up(299).addresses == ("192.0.2.1",)
    assert client.look_up(300).addresses == ("192.0.2.2",)


def test_one_that_keeps_nothing_asks_each_time() -> None:
    client = Client(address("192.0.2.1"), Habits(ttl_s=0))
    client.look_up(0)
    assert not client.look_up(0).from_cache


def test_one_that_caches_for_ever_never_notices() -> None:
    client = Client(address("192.0.2.1"), Habits(cache_forever=True))
    client.look_up(0)
    client.server = address("192.0.2.2")
    assert client.look_up(10**6).addresses == ("192.0.2.1",)
    client.cache.flush()
    assert client.look_up(10**6).addresses == ("192.0.2.2",)


def test_one_that_pins_an_address_goes_on_with_it_whatever_it_is_told() -> None:
    client = Client(address("192.0.2.1"), Habits(pin_address=True))
    client.look_up(0)
    client.server = address("192.0.2.2")
    found = client.look_up(100)
    assert (found.addresses, found.from_cache) == (("192.0.2.1",), False)


def test_one_that_serves_stale_answers_does_so_only_when_nobody_answers() -> None:
    client = Client(address("192.0.2.1"), Habits(serve_stale=True))
    client.look_up(0)
    client.server = lambda ask: None
    assert client.look_up(100).addresses == ("192.0.2.1",)
    client.server = address("192.0.2.2")
    assert client.look_up(100).addresses == ("192.0.2.2",)


def test_one_that_speaks_tcp_only_never_asks_over_udp() -> None:
    client = Client(address("192.0.2.1"), Habits(tcp_only=True))
    assert client.look_up(0).tcp
    assert [ask.tcp for ask in client.asked] == [True]
