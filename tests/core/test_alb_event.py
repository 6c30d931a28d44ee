"""A load balancer's event for a function, and what it makes of the function's answer."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.alb_access_log import AccessLogEntry, format_entry
from lab.core.alb_event import NotText, forwarded_for_count, forwarded_headers, health_check_event, lambda_event, traced
from lab.core.alb_response import fixed_answer, judge_lambda_response, own_answer
from lab.core.load_balancer import Action

ARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/items/0123456789abcdef"
OK = {"statusCode": 200, "isBase64Encoded": False, "headers": {"Content-Type": "text/html"}, "body": "<h1>Hi</h1>"}


def event(
    headers: list[tuple[str, str]] | None = None, body: bytes = b"", query: str = "", multi_value: bool = False
) -> dict[str, Any]:
    return lambda_event(
        ARN, method="GET", path="/get/1", query=query, headers=headers or [], body=body, multi_value=multi_value
    )


def forwarded(headers: list[tuple[str, str]], tls: tuple[str, str] | None = None, **attributes: str) -> dict[str, str]:
    pairs = forwarded_headers(
        headers,
        client="198.18.1.10",
        client_port=40001,
        port=80,
        protocol="HTTP",
        trace="Root=1-0-0",
        attributes={f"routing.http.{key.replace('__', '.')}": value for key, value in attributes.items()},
        tls=tls,
    )
    return dict(pairs)


def test_the_event_has_exactly_the_documented_fields() -> None:
    assert event([("host", "app"), ("x-forwarded-proto", "http")], query="query=1234ABCD") == {
        "requestContext": {"elb": {"targetGroupArn": ARN}},
        "httpMethod": "GET",
        "path": "/get/1",
        "queryStringParameters": {"query": "1234ABCD"},
        "headers": {"host": "app", "x-forwarded-proto": "http"},
        "body": "",
        "isBase64Encoded": False,
    }


def test_the_last_of_several_values_wins() -> None:
    made = event([("cookie", "a=1"), ("cookie", "b=2")], query="k=1&k=2")
    assert (made["headers"], made["queryStringParameters"]) == ({"cookie": "b=2"}, {"k": "2"})


def test_multi_value_mode_gives_lists_instead() -> None:
    made = event([("cookie", "a=1"), ("cookie", "b=2")], query="k=1&k=2&l", multi_value=True)
    assert made["multiValueHeaders"] == {"cookie": ["a=1", "b=2"]}
    assert made["multiValueQueryStringParameters"] == {"k": ["1", "2"], "l": [""]}
    assert "headers" not in made and "queryStringParameters" not in made


def test_the_query_is_not_decoded() -> None:
    assert event(query="q=a%20b+c%C3%A9")["queryStringParameters"] == {"q": "a%20b+c%C3%A9"}


@pytest.mark.parametrize(
    ("content_type", "encoding", "is_base64"),
    [
        ("text/plain", None, False),
        ("text/html; charset=utf-8", None, False),
        ("application/json", None, False),
        ("application/javascript", None, False),
        ("application/xml", None, False),
        ("application/x-www-form-urlencoded", None, True),
        ("image/png", None, True),
        (None, None, True),
        ("text/plain", "gzip", True),
    ],
)
def test_a_body_is_base64_by_its_content_type(content_type: str | None, encoding: str | None, is_base64: bool) -> None:
    headers = [("content-type", content_type)] if content_type else []
    headers += [("content-encoding", encoding)] if encoding else []
    made = event(headers, b"a=1")
    expected = base64.b64encode(b"a=1").decode() if is_base64 else "a=1"
    assert (made["isBase64Encoded"], made["body"]) == (is_base64, expected)


def test_text_that_is_not_utf8_is_a_bad_request() -> None:
    with pytest.raises(NotText):
        event([("content-type", "text/plain")], b"\xff\xfe")
    with pytest.raises(NotText):
        event([("x-name", "\xff")])


def test_a_health_check_has_one_header_and_nothing_else() -> None:
    assert health_check_event(ARN, "/health", multi_value=False) == {
        "requestContext": {"elb": {"targetGroupArn": ARN}},
        "httpMethod": "GET",
        "path": "/health",
        "queryStringParameters": {},
        "headers": {"user-agent": "ELB-HealthChecker/2.0"},
        "body": "",
        "isBase64Encoded": False,
    }


def test_the_forwarded_headers_are_ours_and_hop_by_hop_ones_go() -> None:
    made = forwarded([("host", "app"), ("connection", "close"), ("x-forwarded-proto", "gopher"), ("x-a", "1")])
    assert made == {
        "host": "app",
        "x-a": "1",
        "x-amzn-trace-id": "Root=1-0-0",
        "x-forwarded-for": "198.18.1.10",
        "x-forwarded-port": "80",
        "x-forwarded-proto": "http",
    }


def test_header_names_that_are_not_valid_are_dropped_when_asked_for() -> None:
    headers = [("host", "app"), ("x_under", "1"), ("x.dot", "2"), ("x-fine", "3")]
    assert {"x_under", "x.dot", "x-fine"} <= forwarded(headers).keys()
    kept = forwarded(headers, drop_invalid_header_fields__enabled="true").keys()
    assert {"x_under", "x.dot", "x-fine"} & kept == {"x-fine"}


def test_the_clients_tls_is_told_when_asked_for_and_never_by_the_client() -> None:
    told, tls = {"x_amzn_tls_version_and_cipher_suite__enabled": "true"}, ("TLS_AES_256_GCM_SHA384", "TLSv1.3")
    assert "x-amzn-tls-version" not in forwarded([], tls)
    made = forwarded([("x-amzn-tls-version", "forged")], tls, **told)
    assert (made["x-amzn-tls-version"], made["x-amzn-tls-cipher-suite"]) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert "x-amzn-tls-version" not in forwarded([("x-amzn-tls-version", "forged")], None, **told)


def test_forwarded_for_is_appended_kept_or_removed() -> None:
    given_by_client = [("x-forwarded-for", "203.0.113.7")]
    assert forwarded(given_by_client)["x-forwarded-for"] == "203.0.113.7, 198.18.1.10"
    assert forwarded(given_by_client, xff_header_processing__mode="preserve")["x-forwarded-for"] == "203.0.113.7"
    assert "x-forwarded-for" not in forwarded(given_by_client, xff_header_processing__mode="remove")
    assert forwarded([], xff_client_port__enabled="true")["x-forwarded-for"] == "198.18.1.10:40001"


def test_forwarded_for_addresses_are_counted_over_all_headers() -> None:
    assert forwarded_for_count([("x-forwarded-for", ", ".join(["1.1.1.1"] * 30)), ("x-forwarded-for", "2.2.2.2")]) == 31


def test_a_trace_is_begun_or_gets_our_self() -> None:
    rng = random.Random(1)
    begun = traced(None, rng, 1_700_000_000_000)
    assert begun.startswith("Root=1-6553f100-") and len(begun) == len("Root=1-6553f100-") + 24
    assert traced("Root=1-2-3;Parent=4", rng, 0).endswith(";Root=1-2-3;Parent=4")
    assert traced("Root=1-2-3", rng, 0).startswith("Self=1-00000000-")
    assert traced("CalledFrom=app", rng, 0).startswith("Root=1-")


def judge(value: Any, *, multi_value: bool = False) -> tuple[int, str | None, str | None]:
    answer, why = judge_lambda_response(json.dumps(value).encode(), multi_value=multi_value)
    return answer.status, answer.reason, why


def test_a_good_answer_is_passed_on() -> None:
    answer, why = judge_lambda_response(json.dumps(OK | {"statusDescription": "200 Fine"}).encode(), multi_value=False)
    assert (answer.status, answer.body, answer.phrase, why) == (200, b"<h1>Hi</h1>", "Fine", None)
    assert answer.headers == (("Server", "awselb/2.0"), ("Content-Type", "text/html"))
    assert answer.made_by_target


def test_hop_by_hop_headers_and_the_length_are_not_the_functions_to_say() -> None:
    value = OK | {"headers": {"Connection": "close", "Content-Length": "9", "Transfer-Encoding": "chunked", "X-A": "1"}}
    answer, _ = judge_lambda_response(json.dumps(value).encode(), multi_value=False)
    assert answer.headers == (("Server", "awselb/2.0"), ("X-A", "1"))


def test_a_base64_body_is_decoded() -> None:
    value = OK | {"isBase64Encoded": True, "body": base64.b64encode(b"\x00\xff").decode()}
    assert judge_lambda_response(json.dumps(value).encode(), multi_value=False)[0].body == b"\x00\xff"


def test_multi_value_headers_are_sent_one_by_one() -> None:
    value = {"statusCode": 200, "isBase64Encoded": False, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}}
    answer, _ = judge_lambda_response(json.dumps(value).encode(), multi_value=True)
    assert answer.headers[1:] == (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))


@pytest.mark.parametrize(
    "value",
    [
        "text",
        [1],
        None,
        {key: value for key, value in OK.items() if key != "statusCode"},
        {key: value for key, value in OK.items() if key != "headers"},
        {key: value for key, value in OK.items() if key != "isBase64Encoded"},
        OK | {"statusCode": "200"},
        OK | {"statusCode": 99},
        OK | {"statusCode": True},
        OK | {"headers": {"X": 1}},
        OK | {"headers": {"X": "a\r\nY: b"}},
        OK | {"headers": {"X Y": "a"}},
        OK | {"headers": ["X"]},
        OK | {"body": {"a": 1}},
        OK | {"isBase64Encoded": True, "body": "?"},
        OK | {"isBase64Encoded": "true"},
        OK | {"statusDescription": 200},
        OK | {"statusDescription": "200 OK\r\nX: y"},
    ],
)
def test_a_malformed_answer_is_a_502(value: Any) -> None:
    status, reason, why = judge(value)
    assert (status, reason) == (502, "LambdaInvalidResponse")
    assert why


def test_single_headers_are_malformed_in_multi_value_mode() -> None:
    assert judge(OK, multi_value=True)[:2] == (502, "LambdaInvalidResponse")


def test_what_is_not_json_is_malformed() -> None:
    assert judge_lambda_response(b"\xff{", multi_value=False)[0].reason == "LambdaInvalidResponse"


def test_an_answer_over_one_megabyte_is_a_502_of_its_own() -> None:
    assert judge(OK | {"body": "x" * 1_048_576})[:2] == (502, "LambdaResponseTooLarge")


def test_response_headers_over_32_kilobytes_are_a_502() -> None:
    assert judge(OK | {"headers": {f"X-{n}": "y" * 1000 for n in range(33)}})[0] == 502


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*OK, "statusDescription", "x"]), inner),
    )
)
def test_no_answer_of_a_function_breaks_the_balancer(value: Any) -> None:
    for multi_value in (False, True):
        answer, why = judge_lambda_response(json.dumps(value).encode(), multi_value=multi_value)
        assert (answer.status == 502) == (why is not None) or answer.made_by_target


def test_the_balancers_own_pages_look_like_aws() -> None:
    page = own_answer(503)
    assert page.headers == (("Server", "awselb/2.0"), ("Content-Type", "text/html"))
    assert b"<center><h1>503 Service Temporarily Unavailable</h1></center>" in page.body


def test_a_fixed_response_has_its_own_type_and_body() -> None:
    answer = fixed_answer(Action("fixed-response", status_code=418, content_type="text/plain", message_body="short"))
    assert (answer.status, answer.body, dict(answer.headers)["Content-Type"]) == (418, b"short", "text/plain")


def test_an_access_log_line_has_aws_fields_and_cannot_be_broken_by_its_content() -> None:
    entry = AccessLogEntry(
        type="http",
        time_ms=1_530_570_180_186,
        balancer_id="app/items/0123456789abcdef",
        client="198.18.1.10",
        client_port=2817,
        target="arn:aws:lambda:us-east-1:000000000000:function:item",
        request_processing_s=0.001,
        target_processing_s=0.002,
        response_processing_s=-1,
        elb_status=502,
        target_status=None,
        received_bytes=34,
        sent_bytes=366,
        method="GET",
        url="http://app.lab.test:80/get/1",
        http_version="1.1",
        user_agent='curl "x"\n',
        target_group_arn=ARN,
        trace_id="Root=1-2-3",
        created_ms=1_530_570_180_000,
        rule_priority=10,
        actions="waf,forward",
        error_reason="LambdaInvalidResponse",
        connection_id="TID_1234abcd5678ef90",
    )
    assert format_entry(entry) == (
        "http 2018-07-02T22:23:00.186000Z app/items/0123456789abcdef 198.18.1.10:2817 - 0.001 0.002 -1 502 - 34 366 "
        '"GET http://app.lab.test:80/get/1 HTTP/1.1" "curl \\x22x\\x22\\x0a" - - '
        f'{ARN} "Root=1-2-3" "-" "-" 10 2018-07-02T22:23:00.000000Z "waf,forward" "-" "LambdaInvalidResponse" '
        '"-" "-" "-" "-" TID_1234abcd5678ef90'
    )
