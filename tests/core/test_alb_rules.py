"""Which rule of a load balancer's listener a request meets."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from lab.core.alb_rules import RuleRequest, choose_target_group, find_rule, redirect_location, split_query
from lab.core.load_balancer import (
    Action,
    Condition,
    LoadBalancerListener,
    QueryStringValue,
    Rule,
    TargetGroupTuple,
    matches_code,
)

DEFAULT = Rule("default", 0, (Action("fixed-response", status_code=404),))


def listener(*conditions: Condition) -> LoadBalancerListener:
    rule = Rule("rule", 10, (Action("fixed-response", status_code=200),), conditions)
    return LoadBalancerListener("arn", "HTTP", 80, (rule, DEFAULT))


def request(
    method: str = "GET",
    host: str = "app.lab.test",
    path: str = "/",
    query: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    source_ip: str = "198.18.1.10",
) -> RuleRequest:
    return RuleRequest(method, host, path, split_query(query), headers, source_ip)


def meets(condition: Condition, asked: RuleRequest) -> bool:
    return find_rule(listener(condition), asked).arn == "rule"


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("app.lab.test", "APP.Lab.Test", True),
        ("*.lab.test", "app.lab.test", True),
        ("*.lab.test", "lab.test", False),
        ("ap?.lab.test", "app.lab.test", True),
        ("ap?.lab.test", "ap.lab.test", False),
        ("app.lab.test", "app-lab-test", False),
    ],
)
def test_host_headers_compare_without_case_and_with_wildcards(pattern: str, host: str, expected: bool) -> None:
    assert meets(Condition("host-header", (pattern,)), request(host=host)) is expected


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/get/*", "/get/1", True),
        ("/get/*", "/get/", True),
        ("/get/*", "/GET/1", False),
        ("/a?c", "/abc", True),
        ("/a.c", "/abc", False),
        ("/*/b", "/a/x/b", True),
        ("/img/**/x", "/img/a/b/x", True),
    ],
)
def test_paths_compare_with_case_and_with_wildcards(pattern: str, path: str, expected: bool) -> None:
    assert meets(Condition("path-pattern", (pattern,)), request(path=path)) is expected


def test_methods_compare_exactly() -> None:
    condition = Condition("http-request-method", ("GET", "HEAD"))
    assert meets(condition, request("HEAD"))
    assert not meets(condition, request("get"))


def test_a_header_condition_looks_at_every_value_of_the_header() -> None:
    condition = Condition("http-header", ("*Chrome*", "*Safari*"), http_header_name="User-Agent")
    assert meets(condition, request(headers=(("user-agent", "a"), ("user-agent", "mozilla safari/1"))))
    assert not meets(condition, request(headers=(("x-agent", "Chrome"),)))


def test_a_query_condition_compares_keys_and_values_without_case() -> None:
    condition = Condition(
        "query-string", query_strings=(QueryStringValue("v1*", "Version"), QueryStringValue("*example*"))
    )
    assert meets(condition, request(query="a=1&version=V12"))
    assert meets(condition, request(query="q=an+EXAMPLE"))
    assert not meets(condition, request(query="version=v2"))


def test_source_ip_is_the_peer_and_not_what_a_header_says() -> None:
    condition = Condition("source-ip", ("198.18.1.0/24", "10.0.0.0/8"))
    assert meets(condition, request())
    assert not meets(condition, request(source_ip="198.18.2.10", headers=(("x-forwarded-for", "198.18.1.10"),)))


def test_a_regular_expression_may_stand_for_a_pattern() -> None:
    condition = Condition("path-pattern", regex_values=("^/v[0-9]+/",))
    assert meets(condition, request(path="/v12/x"))
    assert not meets(condition, request(path="/vx/x"))


def test_all_conditions_of_a_rule_must_hold_and_any_value_of_each() -> None:
    both = listener(Condition("path-pattern", ("/a", "/b")), Condition("http-request-method", ("POST",)))
    assert find_rule(both, request("POST", path="/b")).arn == "rule"
    assert find_rule(both, request("GET", path="/b")).arn == "default"


def test_the_first_rule_that_fits_wins() -> None:
    rules = tuple(Rule(f"r{n}", n, DEFAULT.actions, (Condition("path-pattern", ("/*",)),)) for n in (1, 2))
    assert find_rule(LoadBalancerListener("arn", "HTTP", 80, (*rules, DEFAULT)), request()).arn == "r1"


def test_stars_do_not_make_matching_slow() -> None:
    assert not meets(Condition("path-pattern", ("/" + "*a" * 5 + "b",)), request(path="/" + "a" * 2000))


def test_target_groups_are_chosen_by_weight_and_not_when_all_are_zero() -> None:
    rng, groups = random.Random(1), (TargetGroupTuple("a", 90), TargetGroupTuple("b", 10), TargetGroupTuple("c", 0))
    chosen = Counter(group.arn for group in (choose_target_group(groups, rng) for _ in range(5000)) if group)
    assert abs(chosen["a"] - 4500) < 5 * (5000 * 0.9 * 0.1) ** 0.5
    assert chosen["c"] == 0
    assert choose_target_group((TargetGroupTuple("a", 0),), rng) is None


def test_a_redirect_keeps_what_its_keywords_name() -> None:
    def location(action: Action, query: str = "a=1") -> str:
        return redirect_location(action, protocol="HTTP", host="app.lab.test", port=80, path="/x/y", query=query)

    https = Action("redirect", redirect_protocol="HTTPS", redirect_port="443")
    assert location(https) == "https://app.lab.test:443/x/y?a=1"
    assert location(https, "") == "https://app.lab.test:443/x/y"
    elsewhere = Action(
        "redirect", redirect_host="new.#{host}", redirect_path="/v2/#{path}", redirect_query="from=#{query}"
    )
    assert location(elsewhere) == "http://new.app.lab.test:80/v2/x/y?from=a=1"


@pytest.mark.parametrize(
    ("matcher", "status", "expected"),
    [("200", 200, True), ("200", 201, False), ("200,202", 202, True), ("200-299", 250, True), ("200-299", 300, False)],
)
def test_matchers_are_codes_lists_and_ranges(matcher: str, status: int, expected: bool) -> None:
    assert matches_code(matcher, status) is expected
