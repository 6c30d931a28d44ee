"""Lambda's control plane, through boto3 and a real control process."""

from __future__ import annotations

import io
import stat
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_process import ROLE, ControlLab, lab_fixture, refusal, zip_of


@pytest.fixture(scope="module")
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


def test_a_created_function_is_published_with_its_code_unpacked(lab: ControlLab) -> None:
    made = lab.make_function("created", Environment={"Variables": {"TABLE": "t"}}, Timeout=7, Tags={"team": "a"})
    assert made["State"] == "Active" and made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["FunctionArn"] == "arn:aws:lambda:us-east-1:000000000000:function:created"
    (published,) = [f for f in lab.edge.document("functions").functions if f.name == "created"]
    assert (published.timeout_s, published.environment, published.region) == (7, {"TABLE": "t"}, "us-east-1")
    assert "def handler" in (Path(published.code_dir) / "app.py").read_text()


def test_a_function_exists_in_its_own_region_only(lab: ControlLab) -> None:
    lab.make_function("regional")
    code, status, message = refusal(lab.client("lambda", "us-west-2").get_function, FunctionName="regional")
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert message == "Function not found: arn:aws:lambda:us-west-2:000000000000:function:regional"


def test_waiters_work_and_the_package_can_be_fetched_again(lab: ControlLab) -> None:
    client = lab.client("lambda")
    lab.make_function("waited", Tags={"a": "b"})
    client.get_waiter("function_active_v2").wait(FunctionName="waited")
    client.get_waiter("function_updated_v2").wait(FunctionName="waited")
    found = client.get_function(FunctionName="arn:aws:lambda:us-east-1:000000000000:function:waited:$LATEST")
    assert found["Tags"] == {"a": "b"}
    with urllib.request.urlopen(found["Code"]["Location"], timeout=60) as response:
        assert zipfile.ZipFile(io.BytesIO(response.read())).namelist() == ["app.py"]


def test_new_code_has_a_new_folder_and_a_new_revision(lab: ControlLab) -> None:
    client = lab.client("lambda")
    first = lab.make_function("updated")
    second = client.update_function_code(FunctionName="updated", ZipFile=zip_of({"app.py": "handler = print"}))
    assert second["CodeSha256"] != first["CodeSha256"] and second["RevisionId"] != first["RevisionId"]
    (published,) = [f for f in lab.edge.document("functions").functions if f.name == "updated"]
    assert (Path(published.code_dir) / "app.py").read_text() == "handler = print"
    stale = {"FunctionName": "updated", "RevisionId": first["RevisionId"], "Timeout": 9}
    code, status, _ = refusal(client.update_function_configuration, **stale)
    assert (code, status) == ("PreconditionFailedException", 412)
    assert client.update_function_configuration(FunctionName="updated", MemorySize=256)["MemorySize"] == 256


def test_a_function_that_is_deleted_is_gone_everywhere(lab: ControlLab) -> None:
    client = lab.client("lambda")
    lab.make_function("deleted")
    client.delete_function(FunctionName="deleted")
    assert "deleted" not in [f.name for f in lab.edge.document("functions").functions]
    assert refusal(client.get_function_configuration, FunctionName="deleted")[0] == "ResourceNotFoundException"


def test_functions_are_listed_in_pages(lab: ControlLab) -> None:
    client = lab.client("lambda", "us-west-2")
    for name in ("page-c", "page-a", "page-b"):
        lab.make_function(name, "us-west-2")
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    assert [[f["FunctionName"] for f in page["Functions"]] for page in pages] == [["page-a", "page-b"], ["page-c"]]
    versions = client.list_versions_by_function(FunctionName="page-a")["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST"]


def test_concurrency_policy_and_tags_are_kept(lab: ControlLab) -> None:
    client = lab.client("lambda")
    arn = lab.make_function("kept")["FunctionArn"]
    client.put_function_concurrency(FunctionName="kept", ReservedConcurrentExecutions=5)
    assert client.get_function_concurrency(FunctionName="kept")["ReservedConcurrentExecutions"] == 5
    client.delete_function_concurrency(FunctionName="kept")
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName="kept")
    permission = {"StatementId": "api", "Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com"}
    client.add_permission(FunctionName="kept", **permission)
    assert '"Sid": "api"' in client.get_policy(FunctionName="kept")["Policy"]
    assert refusal(client.add_permission, FunctionName="kept", **permission)[:2] == ("ResourceConflictException", 409)
    client.remove_permission(FunctionName="kept", StatementId="api")
    assert refusal(client.get_policy, FunctionName="kept")[:2] == ("ResourceNotFoundException", 404)
    client.tag_resource(Resource=arn, Tags={"x": "1", "y": "2"})
    client.untag_resource(Resource=arn, TagKeys=["x"])
    assert client.list_tags(Resource=arn)["Tags"] == {"y": "2"}


@pytest.mark.parametrize(
    ("settings", "code", "part"),
    [
        ({"Runtime": "nodejs20.x"}, "InvalidParameterValueException", "Python runtimes only"),
        ({"Runtime": "cobol"}, "ValidationException", "enum value set"),
        ({"Role": "nobody"}, "ValidationException", "at 'role'"),
        ({"Timeout": 901}, "ValidationException", "less than or equal to 900"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException", "AWS_REGION"),
        ({"Environment": {"Variables": {"A": "x" * 5000}}}, "ValidationException", "pattern"),
        ({"Environment": {"Variables": {"LONG": "x" * 5000}}}, "InvalidParameterValueException", "4KB"),
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:a:1"]}, "NotImplemented", "layers"),
    ],
)
def test_settings_that_lambda_would_refuse_are_refused(
    lab: ControlLab, settings: dict[str, Any], code: str, part: str
) -> None:
    found, status, message = refusal(lab.make_function, name="never", **settings)
    assert found == code and part in message
    assert status == (501 if code == "NotImplemented" else 400)


def test_a_second_function_of_the_name_is_a_conflict(lab: ControlLab) -> None:
    lab.make_function("twice")
    assert refusal(lab.make_function, name="twice")[:2] == ("ResourceConflictException", 409)


def entry(name: str, mode: int = 0o100644, text: str = "x") -> bytes:
    """A package with one entry of a kind."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, text)
    return data.getvalue()


@pytest.mark.parametrize(
    "package",
    [
        b"no zip at all",
        entry("/etc/passwd"),
        entry("../outside.py"),
        entry("a/../../outside.py"),
        entry("a\\..\\outside.py"),
        entry("link", stat.S_IFLNK | 0o777, "/etc/passwd"),
        entry("link", stat.S_IFLNK | 0o777, "../outside"),
        entry("pipe", stat.S_IFIFO | 0o644),
    ],
    ids=["no zip", "absolute", "dotdot", "inner dotdot", "backslash", "absolute link", "link out", "pipe"],
)
def test_packages_that_reach_out_are_refused_and_leave_nothing(lab: ControlLab, package: bytes) -> None:
    code, status, _ = refusal(
        lab.client("lambda").create_function,
        FunctionName="evil",
        Code={"ZipFile": package},
        Handler="app.handler",
        Runtime="python3.12",
        Role=ROLE,
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert list((lab.state / "functions" / "us-east-1" / "evil").glob("*")) == []


def test_an_operation_that_is_not_there_says_so_by_name(lab: ControlLab) -> None:
    client = lab.client("lambda")
    code, status, message = refusal(client.publish_layer_version, LayerName="l", Content={"ZipFile": b"x"})
    assert (code, status) == ("NotImplemented", 501)
    assert "lambda:PublishLayerVersion" in message
