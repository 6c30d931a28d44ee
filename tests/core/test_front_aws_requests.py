"""What an AWS request asks for, where it goes, and how it is refused."""

from __future__ import annotations

import json

import pytest
from botocore.parsers import create_parser

from lab.core.aws_error import AwsError, error_answer
from lab.core.aws_request import BadSignature, Scope, operation_of, scope_of, wire_protocol
from lab.core.aws_route import PathForm, ToControl, ToRegion, ToService, path_form, route, s3_problem

REGIONS = ("us-east-1", "us-west-2")


def signed(service: str, region: str) -> list[tuple[str, str]]:
    credential = f"AKID/20260101/{region}/{service}/aws4_request"
    return [("Authorization", f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00")]


def test_the_scope_is_read_from_the_header_or_a_presigned_query() -> None:
    assert scope_of(signed("s3", "us-east-1"), "") == Scope("s3", "us-east-1", "AKID")
    query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260101%2Feu-west-1%2Fs3%2Faws4_request"
    assert scope_of([], query) == Scope("s3", "eu-west-1", "AKID", presigned=True)
    assert scope_of([("Host", "x")], "a=b") is None


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([("Authorization", "Bearer token")], ""),
        ([("Authorization", "AWS AKID:signature")], ""),
        ([("Authorization", "AWS4-HMAC-SHA256 Credential=a/b/c")], ""),
        (signed("s3", "us-east-1") * 2, ""),
        (signed("s3", "us-east-1"), "X-Amz-Credential=a"),
        ([], "X-Amz-Credential=nonsense"),
        ([], "X-Amz-Credential=A%2F20260101%2Fr%2Fs%2Faws4_request&X-Amz-Credential=B"),
    ],
)
def test_an_unreadable_or_doubled_signature_is_refused(headers: list[tuple[str, str]], query: str) -> None:
    with pytest.raises(BadSignature):
        scope_of(headers, query)


@pytest.mark.parametrize(
    ("service", "region", "target", "expected"),
    [
        ("dynamodb", "us-east-1", "DynamoDB_20120810.PutItem", ToService("dynamodb")),
        ("dynamodb", "us-east-1", "DynamoDBStreams_20120810.GetRecords", ToService("dynamodb")),
        ("dynamodb", "us-west-2", "DynamoDB_20120810.PutItem", ToRegion("us-west-2")),
        ("route53", "us-east-1", None, ToControl("route53", spared=True)),
        ("iam", "eu-central-1", None, ToControl("iam", spared=True)),
        ("lambda", "us-east-1", None, ToControl("lambda")),
        ("lambda", "us-west-2", None, ToRegion("us-west-2")),
        ("s3", "us-east-1", None, ToService("s3")),
    ],
)
def test_the_scope_decides_where_a_call_goes(service: str, region: str, target: str | None, expected: object) -> None:
    headers = [] if target is None else [("X-Amz-Target", target)]
    assert route(Scope(service, region, "A"), "us-east-1", REGIONS, headers) == expected


@pytest.mark.parametrize(
    ("service", "region", "target", "code"),
    [
        ("dynamodb", "ap-south-1", "DynamoDB_20120810.PutItem", "UnrecognizedClientException"),
        ("s3", "ap-south-1", None, "AuthorizationHeaderMalformed"),
        ("s3", "us-east-1", "DynamoDB_20120810.UpdateTable", "InvalidSignatureException"),
        ("ssm", "us-east-1", "Unheard_2020.Of", "UnknownOperationException"),
    ],
)
def test_what_cannot_be_routed_is_refused_by_name(service: str, region: str, target: str | None, code: str) -> None:
    headers = [] if target is None else [("X-Amz-Target", target)]
    refused = route(Scope(service, region, "A"), "us-east-1", REGIONS, headers)
    assert isinstance(refused, AwsError)
    assert refused.code == code
    if region == "ap-south-1":
        assert "us-east-1, us-west-2" in refused.message


def test_both_path_forms_name_an_api() -> None:
    assert path_form("/restapis/a1/prod/_user_request_/x/y") == PathForm("a1", "prod", "/x/y")
    assert path_form("/restapis/a1/prod/_user_request_") == PathForm("a1", "prod", "/")
    assert path_form("/_aws/execute-api/a1/prod/x%20y") == PathForm("a1", "prod", "/x%20y")
    assert path_form("/_aws/execute-api/a1/prod") == PathForm("a1", "prod", "/")
    assert path_form("/restapis/a1/stages/prod") is None
    assert path_form("/_aws/sqs") is None


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_localstack/health", "/health", "/v4/abcdefgh", "/_x", "/A/b"])
def test_engine_admin_paths_are_no_buckets(path: str) -> None:
    assert s3_problem(path, [], virtual_host=False) is not None


@pytest.mark.parametrize("path", ["/", "/bucket", "/bucket/", "/my.bucket-1/_ministack/reset", "/healthy/x\ny"])
def test_buckets_and_keys_pass(path: str) -> None:
    assert s3_problem(path, [], virtual_host=False) is None


@pytest.mark.parametrize(
    ("service", "method", "target", "headers", "body", "expected"),
    [
        ("dynamodb", "POST", "/", [("X-Amz-Target", "DynamoDB_20120810.Query")], b"", "Query"),
        ("monitoring", "POST", "/service/Granite/operation/PutMetricData", [], b"", "PutMetricData"),
        ("lambda", "POST", "/2015-03-31/functions/f/invocations", [], b"", "Invoke"),
        ("lambda", "GET", "/2015-03-31/functions/f", [], b"", None),
        ("s3", "GET", "/b/k?X-Amz-Date=1", [], b"", "GetObject"),
        ("s3", "PUT", "/b/k", [], b"", "PutObject"),
        ("s3", "GET", "/b?list-type=2", [], b"", "ListObjectsV2"),
        ("s3", "GET", "/b?acl", [], b"", None),
        ("sns", "POST", "/", [("Content-Type", "application/x-www-form-urlencoded")], b"Action=Publish&x=1", "Publish"),
        ("sts", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", [], b"", "GetCallerIdentity"),
    ],
)
def test_the_operation_is_named_where_the_protocol_names_it(
    service: str, method: str, target: str, headers: list[tuple[str, str]], body: bytes, expected: str | None
) -> None:
    path, _, query = target.partition("?")
    assert operation_of(service, method, path, query, headers, body) == expected


@pytest.mark.parametrize(
    ("service", "headers", "botocore_name"),
    [
        ("dynamodb", [("X-Amz-Target", "DynamoDB_20120810.X")], "json"),
        ("lambda", [], "rest-json"),
        ("s3", [], "rest-xml"),
        ("route53", [], "rest-xml"),
        ("sns", [], "query"),
        ("ec2", [], "ec2"),
        ("monitoring", [("smithy-protocol", "rpc-v2-cbor")], "smithy-rpc-v2-cbor"),
    ],
)
def test_botocore_reads_the_lab_s_errors_in_every_protocol(
    service: str, headers: list[tuple[str, str]], botocore_name: str
) -> None:
    error = AwsError("SomeException", "a <message> & more", 418)
    answer = error_answer(error, wire_protocol(service, headers), "id-1")
    lowered = {name.lower(): value for name, value in answer.headers}
    parser = create_parser(botocore_name)
    parsed = parser.parse({"body": answer.body, "headers": lowered, "status_code": answer.status}, None)
    assert parsed["Error"]["Code"] == "SomeException"
    assert parsed["Error"]["Message"] == "a <message> & more"
    assert answer.status == 418


def test_long_messages_fit_into_cbor() -> None:
    for size in (10, 23, 24, 255, 256, 3000):
        answer = error_answer(AwsError("E", "x" * size), "rpc-v2-cbor", "id")
        parsed = create_parser("smithy-rpc-v2-cbor").parse(
            {"body": answer.body, "headers": {"content-type": "application/cbor"}, "status_code": 400}, None
        )
        assert parsed["Error"]["Message"] == "x" * size


def test_statuses_follow_the_code() -> None:
    assert AwsError("InternalServerError", "").http_status == 500
    assert AwsError("ServiceUnavailable", "").http_status == 503
    assert AwsError("TooManyRequestsException", "").http_status == 429
    assert AwsError("ProvisionedThroughputExceededException", "").http_status == 400
    body = error_answer(AwsError("ThrottlingException", "m"), "json", "id").body
    assert json.loads(body)["__type"].endswith("#ThrottlingException")
