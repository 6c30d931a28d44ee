"""Requests to operations and errors to bytes, by AWS's models; no I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.control import protocol
from lab.control.aws_error import AwsError
from lab.control.dispatch import snake_case
from lab.control.service_model import service_model
from lab.live.http_message import Request


def request(method: str, target: str, body: bytes = b"", **headers: str) -> Request:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request(method, target, named, body, None, None)


@pytest.mark.parametrize(
    ("service", "method", "target", "operation", "labels"),
    [
        ("route53", "GET", "/2013-04-01/hostedzone/Z1", "GetHostedZone", {"Id": "Z1"}),
        ("route53", "GET", "/2013-04-01/hostedzone/Z1/rrset?name=a", "ListResourceRecordSets", {"Id": "Z1"}),
        ("route53", "POST", "/2013-04-01/hostedzone/Z1/rrset/", "ChangeResourceRecordSets", {"Id": "Z1"}),
        ("route53", "GET", "/2013-04-01/hostedzonesbyname", "ListHostedZonesByName", {}),
        ("lambda", "GET", "/2015-03-31/functions/", "ListFunctions", {}),
        (
            "lambda",
            "GET",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af/configuration",
            "GetFunctionConfiguration",
            {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:f"},
        ),
        ("apigateway", "POST", "/restapis?mode=import", "ImportRestApi", {}),
        ("apigateway", "POST", "/restapis", "CreateRestApi", {}),
        (
            "apigateway",
            "PUT",
            "/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2Fa",
            "TagResource",
            {"resource_arn": "arn:aws:apigateway:us-east-1::/restapis/a"},
        ),
    ],
)
def test_a_rest_request_is_matched_to_its_operation(
    service: str, method: str, target: str, operation: str, labels: dict[str, str]
) -> None:
    match = service_model(service).match(request(method, target))
    assert (match.operation, match.labels) == (operation, labels)


def test_a_request_that_is_no_operation_is_refused() -> None:
    with pytest.raises(AwsError) as caught:
        service_model("lambda").match(request("GET", "/etc/passwd"))
    assert (caught.value.code, caught.value.status) == ("UnknownOperationException", 404)


@pytest.mark.parametrize(
    ("service", "method", "target", "body", "code", "part"),
    [
        ("lambda", "POST", "/2015-03-31/functions", b"{", "SerializationException", "not JSON"),
        ("lambda", "POST", "/2015-03-31/functions", b"[1]", "SerializationException", "not a JSON object"),
        ("lambda", "POST", "/2015-03-31/functions", b"{}", "ValidationException", "'functionName'"),
        (
            "lambda",
            "PUT",
            "/2017-10-31/functions/f/concurrency",
            b'{"ReservedConcurrentExecutions":"many"}',
            "SerializationException",
            "many",
        ),
        ("route53", "POST", "/2013-04-01/hostedzone", b"<a", "MalformedInput", "not XML"),
        ("route53", "POST", "/2013-04-01/hostedzone", b"<a/>", "InvalidInput", "expected CreateHostedZoneRequest"),
        ("route53", "POST", "/2013-04-01/hostedzone", b'<?xml version="1.0" encoding="x"?><a/>', "MalformedInput", "x"),
        (
            "route53",
            "POST",
            "/2013-04-01/hostedzone",
            b'<?xml version="1.0" encoding="big5"?><a/>',
            "MalformedInput",
            "enc",
        ),
        ("route53", "POST", "/2013-04-01/hostedzone", b"", "InvalidInput", "Member must not be null"),
        ("route53", "GET", "/2013-04-01/trafficpolicy/x/first", b"", "InvalidInput", "does not fit GetTrafficPolicy"),
        ("apigateway", "POST", "/restapis", b'{"name":{"a":1}}', "BadRequestException", "must be a string"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_in_words(
    service: str, method: str, target: str, body: bytes, code: str, part: str
) -> None:
    model = service_model(service)
    sent = request(method, target, body)
    with pytest.raises(AwsError) as caught:
        protocol.parse(model, model.match(sent), sent)
    assert caught.value.code == code and part in caught.value.message


RECORD = (
    "<Name>a.test</Name><Type>A</Type><TTL>60</TTL>"
    "<ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>"
)


def batch(record: str) -> bytes:
    change = f"<Change><Action>CREATE</Action><ResourceRecordSet>{record}</ResourceRecordSet></Change>"
    document = f"<ChangeBatch><Changes>{change}</Changes></ChangeBatch>"
    return f"<ChangeResourceRecordSetsRequest>{document}</ChangeResourceRecordSetsRequest>".encode()


def parsed_batch(body: bytes) -> dict[str, Any]:
    model = service_model("route53")
    sent = request("POST", "/2013-04-01/hostedzone/Z1/rrset", body)
    return protocol.parse(model, model.match(sent), sent)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("<TTL>60</TTL>", "<TTL>60</TTL><Colour>red</Colour>", "ResourceRecordSet has no member Colour, only Name, "),
        ("<TTL>60</TTL>", "<ttl>60</ttl>", "no member ttl"),
        ("<TTL>60</TTL>", "<TTL>60</TTL><TTL>5</TTL>", "TTL is given twice in ResourceRecordSet"),
        ("<TTL>", "<Name>b.test</Name><TTL>", "Name is given twice"),
        ("60", "", "TTL is '', expected a whole number"),
        ("60", "1_0", "expected a whole number"),
        ("60", "\u0663", "expected a whole number"),
        ("60", "9" * 5_000, "expected a whole number"),
        ("60", "<b>60</b>", "TTL has the element b"),
        ("<Type>", "<MultiValueAnswer>maybe</MultiValueAnswer><Type>", "MultiValueAnswer is 'maybe', expected true"),
        ("<Type>", "<MultiValueAnswer>True</MultiValueAnswer><Type>", "expected true or false"),
        ("<Type>", "<AliasTarget>there</AliasTarget><Type>", "AliasTarget has the text 'there'"),
        ("<ResourceRecord>", "<Record/><ResourceRecord>", "ResourceRecords has Record, expected ResourceRecord"),
        ("<ResourceRecord>", "and <ResourceRecord>", "ResourceRecords has the text 'and'"),
        ("</ResourceRecords>", "</ResourceRecords> or else", "ResourceRecordSet has the text 'or else'"),
    ],
)
def test_xml_that_awss_schema_does_not_allow_is_refused(old: str, new: str, part: str) -> None:
    with pytest.raises(AwsError) as caught:
        parsed_batch(batch(RECORD.replace(old, new)))
    assert caught.value.code == "InvalidInput" and part in caught.value.message


def test_xml_with_comments_spaces_a_namespace_and_another_encoding_is_read() -> None:
    plain = parsed_batch(batch(RECORD))
    spaced = batch(RECORD.replace("<", "\n <!-- ! --><").replace("\n <!-- ! --></", "</")).decode()
    named = spaced.replace("Request>", 'Request xmlns="https://route53.amazonaws.com/doc/2013-04-01/">', 1)
    assert plain == parsed_batch(spaced.encode()) == parsed_batch(named.encode("utf-16"))


def test_errors_have_each_services_own_shape_and_modelled_status() -> None:
    missing = protocol.failure(service_model("lambda"), "lambda", AwsError("ResourceNotFoundException", "m"), "id")
    assert (missing.status, json.loads(missing.body)) == (404, {"Type": "User", "Message": "m"})
    assert missing.header("x-amzn-errortype") == "ResourceNotFoundException"
    conflict = protocol.failure(service_model("apigateway"), "apigateway", AwsError("ConflictException", "m"), "id")
    assert (conflict.status, json.loads(conflict.body)) == (409, {"message": "m"})
    zone = protocol.failure(service_model("route53"), "route53", AwsError("NoSuchHostedZone", "<&>"), "id")
    assert zone.status == 404
    assert zone.body == (
        b'<?xml version="1.0"?>\n<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error>'
        b"<Type>Sender</Type><Code>NoSuchHostedZone</Code><Message>&lt;&amp;&gt;</Message></Error>"
        b"<RequestId>id</RequestId></ErrorResponse>"
    )


def test_operations_have_methods_of_their_names() -> None:
    assert snake_case("GetHealthCheckLastFailureReason") == "get_health_check_last_failure_reason"
    assert snake_case("TestDNSAnswer") == "test_dns_answer"
