"""S3 static websites on the data plane's port, from a real engine's buckets, by the names that lead there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from front_lab import FrontLab, front_lab

from lab.core.faults import Fault
from lab.core.s3_website_configuration import WebsiteRefused, parse_website
from lab.core.zone import AliasTarget, HostedZone, RecordSet, Zones

UNKNOWN = b'<?xml version="1.0" encoding="x"?><WebsiteConfiguration/>'
ENDPOINT = "s3-website-us-east-1.amazonaws.com."


def alias(name: str, target: str, zone_id: str) -> RecordSet:
    return RecordSet(name, "A", alias=AliasTarget(zone_id, target, False))


RULES: Any = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "here"},
    "RoutingRules": [
        {"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": "documents/"}},
        {"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"HostName": "too-late.test"}},
        {
            "Condition": {"KeyPrefixEquals": "img/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"HostName": "images.test", "Protocol": "https", "HttpRedirectCode": "307"},
        },
        {"Condition": {"KeyPrefixEquals": "one"}, "Redirect": {"ReplaceKeyWith": "error page.html"}},
        {"Condition": {"HttpErrorCodeReturnedEquals": "403"}, "Redirect": {"HostName": "never.test"}},
        {
            "Condition": {"KeyPrefixEquals": "app/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"ReplaceKeyPrefixWith": "#!/", "HttpRedirectCode": "302"},
        },
    ],
}

ZONES = Zones(
    (
        HostedZone(
            "Z1",
            "site.test.",
            (
                alias("www.site.test.", ENDPOINT, "ZS3"),
                alias("site.test.", "www.site.test.", "Z1"),
                alias("rules.site.test.", ENDPOINT, "ZS3"),
                RecordSet("bare.site.test.", "CNAME", 60, (f"bare.site.test.{ENDPOINT}",)),
                alias("absent.site.test.", ENDPOINT, "ZS3"),
                alias("west.site.test.", "s3-website-us-west-2.amazonaws.com.", "ZS3W"),
            ),
        ),
    )
)


@pytest.fixture(scope="module")
def lab() -> Iterator[FrontLab]:
    with front_lab() as running:
        running.publish(ZONES)
        s3 = running.boto("s3", s3={"addressing_style": "path"})
        for bucket in ("www.site.test", "site.test", "bare.site.test", "rules.site.test"):
            s3.create_bucket(Bucket=bucket)
        for key, body in (("index.html", b"home"), ("docs/index.html", b"docs"), ("a b.txt", b"a"), ("oops", b"lost")):
            s3.put_object(Bucket="www.site.test", Key=key, Body=body, ContentType="text/plain")
        website = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "oops"}}
        s3.put_bucket_website(Bucket="www.site.test", WebsiteConfiguration=website)
        away = {"RedirectAllRequestsTo": {"HostName": "www.site.test", "Protocol": "https"}}
        s3.put_bucket_website(Bucket="site.test", WebsiteConfiguration=away)
        s3.put_object(Bucket="rules.site.test", Key="docs/old.html", Body=b"never seen")
        s3.put_object(Bucket="rules.site.test", Key="here", Body=b"here")
        s3.put_object(Bucket="rules.site.test", Key="moved", Body=b"", WebsiteRedirectLocation="/here")
        s3.put_bucket_website(Bucket="rules.site.test", WebsiteConfiguration=RULES)
        yield running


@pytest.fixture(autouse=True)
def healed(lab: FrontLab) -> Iterator[None]:
    yield
    lab.faults()


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/", 200, b"home"),
        ("/index.html?q=1", 200, b"home"),
        ("/docs/", 200, b"docs"),
        ("/a%20b.txt", 200, b"a"),
        ("/nothing", 404, b"lost"),
        ("/../../etc/passwd", 404, b"lost"),
    ],
)
def test_a_website_serves_its_objects_index_and_error_page(
    lab: FrontLab, target: str, status: int, body: bytes
) -> None:
    for host in ("www.site.test", f"www.site.test.{ENDPOINT[:-1]}"):
        response = lab.http("GET", target, host=host)
        assert (response.status, response.body) == (status, body)
        assert response.header("content-type") == "text/plain"


def test_a_folder_without_its_slash_and_a_whole_site_are_redirected(lab: FrontLab) -> None:
    folder = lab.http("GET", "/docs", host="www.site.test")
    assert (folder.status, folder.header("location")) == (302, "/docs/")
    away = lab.http("GET", "/x?y=1", host="site.test")
    assert (away.status, away.header("location")) == (301, "https://www.site.test/x?y=1")


@pytest.mark.parametrize(
    ("method", "host", "status", "code"),
    [
        ("GET", "absent.site.test", 404, "NoSuchBucket"),
        ("GET", "s3-website.us-east-1.amazonaws.com", 404, "NoSuchBucket"),  # as the watch of the service asks
        ("GET", "bare.site.test", 404, "NoSuchWebsiteConfiguration"),
        ("POST", "www.site.test", 405, "MethodNotAllowed"),
    ],
)
def test_what_cannot_be_served_gets_s3s_page(lab: FrontLab, method: str, host: str, status: int, code: str) -> None:
    response = lab.http(method, "/", host=host)
    assert response.status == status
    assert f"<li>Code: {code}</li>".encode() in response.body


def test_a_name_that_leads_to_another_regions_websites_is_none_here(lab: FrontLab) -> None:
    assert lab.http("GET", "/", host="west.site.test").header("x-amzn-errortype") == "ForbiddenException"
    response = lab.http("GET", "/", host="west.site.test", region="us-west-2")
    assert (response.status, b"NoSuchBucket" in response.body) == (404, True)


@pytest.mark.parametrize(
    ("target", "status", "place"),
    [
        ("/docs/old.html", 301, "http://rules.site.test/documents/old.html"),
        ("/docs/a%20b?q=1&r", 301, "http://rules.site.test/documents/a%20b?q=1&r"),
        ("/docs/", 301, "http://rules.site.test/documents/"),
        ("/img/x.png", 307, "https://images.test/img/x.png"),
        ("/one/two", 301, "http://rules.site.test/error%20page.html"),
        ("/app/user/1?tab=2", 302, "http://rules.site.test/#!/user/1?tab=2"),
        ("/moved", 301, "/here"),
        ("/here", 200, None),
        ("/absent", 404, None),
    ],
)
def test_the_first_routing_rule_that_fits_redirects(lab: FrontLab, target: str, status: int, place: str | None) -> None:
    response = lab.http("GET", target, host="rules.site.test")
    assert (response.status, response.header("location")) == (status, place)
    assert response.body == (b"" if place else b"here")


INDEX = {"IndexDocument": {"Suffix": "index.html"}}


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ({}, "InvalidArgument"),
        ({"IndexDocument": {"Suffix": "a/b"}}, "InvalidArgument"),
        ({**INDEX, "RedirectAllRequestsTo": {"HostName": "x.test"}}, "MalformedXML"),
        ({"RedirectAllRequestsTo": {"HostName": "x.test", "Protocol": "ftp"}}, "InvalidRequest"),
        ({"RedirectAllRequestsTo": {"HostName": "x.test\r\nSet-Cookie: a=b"}}, "InvalidRequest"),
        ({**INDEX, "RoutingRules": [{"Redirect": {"HostName": "x.test/path"}}]}, "InvalidRequest"),
        ({**INDEX, "RoutingRules": [{"Redirect": {}}]}, "MalformedXML"),
        ({**INDEX, "RoutingRules": [{"Condition": {}, "Redirect": {"HostName": "x.test"}}]}, "InvalidRequest"),
        ({**INDEX, "RoutingRules": [{"Redirect": {"HttpRedirectCode": "200"}}]}, "InvalidRequest"),
        (
            {**INDEX, "RoutingRules": [{"Redirect": {"ReplaceKeyWith": "a", "ReplaceKeyPrefixWith": "b"}}]},
            "InvalidRequest",
        ),
        (
            {
                **INDEX,
                "RoutingRules": [
                    {"Condition": {"HttpErrorCodeReturnedEquals": "200"}, "Redirect": {"HostName": "x.test"}}
                ],
            },
            "InvalidRequest",
        ),
        ({**INDEX, "RoutingRules": [{"Redirect": {"HostName": "x.test"}}] * 51}, "InvalidRequest"),
    ],
)
def test_a_configuration_that_s3_refuses_is_refused_and_changes_nothing(
    lab: FrontLab, configuration: Any, code: str
) -> None:
    s3 = lab.boto("s3", s3={"addressing_style": "path"})
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_website(Bucket="www.site.test", WebsiteConfiguration=configuration)
    assert caught.value.response["Error"]["Code"] == code
    assert lab.http("GET", "/", host="www.site.test").body == b"home"


@pytest.mark.parametrize("body", [b"", b"{}", b"<WebsiteConfiguration>", b"<Website/>", b"\xff\x00", UNKNOWN])
def test_what_is_no_website_configuration_is_malformed_xml(body: bytes) -> None:
    with pytest.raises(WebsiteRefused) as caught:
        parse_website(body)
    assert caught.value.error.code == "MalformedXML"


def test_faults_of_s3_act_on_websites(lab: FrontLab) -> None:
    lab.faults(Fault("f", "error", 0, region="us-east-1", service="s3", error_code="SlowDown"))
    response = lab.http("GET", "/", host="www.site.test")
    assert response.status >= 500 and b"SlowDown" in response.body
