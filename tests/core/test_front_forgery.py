"""Which requests a web page could have forged."""

from __future__ import annotations

import pytest

from lab.core.forgery import aws_host_rule, forged, host_name

RULE = aws_host_rule(("127.10.1.1",), "us-east-1")
HOST = ("Host", "127.10.1.1:4566")


@pytest.mark.parametrize(
    "host",
    [
        "127.10.1.1",
        "127.10.1.1:4566",
        "localhost:4566",
        "LOCALHOST",
        "us-east-1.localhost",
        "dynamodb.us-east-1.amazonaws.com",
        "bucket.s3.us-east-1.amazonaws.com",
        "s3.us-east-1.amazonaws.com",
    ],
)
def test_the_regions_own_names_are_allowed(host: str) -> None:
    assert forged("GET", [("Host", host)], RULE) is None


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "127.10.2.1", "127.0.0.1:4566", "dynamodb.us-west-2.amazonaws.com", "localhost.evil.example"],
)
def test_any_other_host_is_misdirected(host: str) -> None:
    refused = forged("GET", [("Host", host)], RULE)
    assert refused is not None
    assert refused.status == 421


def test_a_missing_or_repeated_host_is_refused() -> None:
    for headers in ([], [HOST, HOST]):
        refused = forged("GET", headers, RULE)
        assert refused is not None
        assert refused.status == 421


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([], True),
        ([("Origin", "http://127.10.1.1:4566")], True),
        ([("Origin", "http://evil.example")], False),
        ([("Origin", "null")], False),
        ([("origin", "http://127.10.1.1:8000")], False),
        ([("Sec-Fetch-Site", "none")], True),
        ([("Sec-Fetch-Site", "same-origin")], True),
        ([("Sec-Fetch-Site", "cross-site")], False),
        ([("Sec-Fetch-Site", "same-site")], False),
    ],
)
def test_what_a_browser_sends_for_another_page_is_refused(headers: list[tuple[str, str]], allowed: bool) -> None:
    assert (forged("GET", [HOST, *headers], RULE) is None) is allowed


@pytest.mark.parametrize(
    ("method", "headers", "allowed"),
    [
        ("POST", [("Content-Type", "application/json")], True),
        ("POST", [("Content-Type", "text/plain;charset=UTF-8")], False),
        ("POST", [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")], False),
        ("POST", [("Content-Type", "Multipart/Form-Data; boundary=x")], False),
        ("POST", [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", "AWS4-HMAC-SHA256")], True),
        ("PUT", [("Content-Type", "text/plain")], True),
        ("POST", [], True),
    ],
)
def test_a_body_that_a_form_could_send_is_refused_unless_it_is_signed(
    method: str, headers: list[tuple[str, str]], allowed: bool
) -> None:
    assert (forged(method, [HOST, *headers], RULE) is None) is allowed


def test_a_host_name_loses_its_port_and_final_dot() -> None:
    assert host_name(" API.lab.test.:8080 ") == "api.lab.test"
    assert host_name("api.lab.test") == "api.lab.test"
