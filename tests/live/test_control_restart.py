"""What outlives a `kill -9` of control, of a part, and of an engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from control_process import ROLE, ControlLab, encoded, lab_fixture
from waiting import eventually

from lab.control.publisher import SUBSCRIBERS


@pytest.fixture
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
TABLE = {
    "TableName": "feedback",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}


def test_all_records_are_back_after_control_was_killed(lab: ControlLab) -> None:
    lab.make_function()
    api_id = lab.client("apigateway").create_rest_api(name="a")["id"]
    zone_id = lab.client("route53").create_hosted_zone(Name="lab.test", CallerReference="1")["HostedZone"]["Id"]
    lab.client("route53").create_health_check(
        CallerReference="1", HealthCheckConfig={"Type": "TCP", "IPAddress": "127.0.0.1", "Port": 1}
    )
    role = lab.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"]
    lab.api("POST", "/api/faults", {"effect": "hang", "region": "us-west-2"})
    before = {name: encoded(lab.edge.document(name)) for name in ("zones", "functions", "apis", "faults", "endpoints")}
    token = (lab.state / "token").read_text()
    lab.kill_and_restart()
    assert lab.client("lambda").get_function(FunctionName="hello")["Configuration"]["Role"] == ROLE
    assert lab.client("apigateway").get_rest_api(restApiId=api_id)["name"] == "a"
    assert lab.client("route53").get_hosted_zone(Id=zone_id)["HostedZone"]["Name"] == "lab.test."
    assert lab.client("route53").get_health_check_count()["HealthCheckCount"] == 1
    found = lab.client("iam").get_role(RoleName="r")["Role"]
    assert (found["RoleId"], found["Arn"]) == (role["RoleId"], role["Arn"])
    assert lab.api("GET", "/api/faults")[1]["faults"][0]["effect"] == "hang"
    assert "fault" in [event["kind"] for event in lab.api("GET", "/api/history")[1]["events"]]
    assert (lab.state / "token").read_text() == token
    lab.make_function("another")  # published after the restart, above the versions of before
    after = {name: encoded(lab.edge.document(name)) for name in before}
    assert [f["name"] for f in after.pop("functions")["functions"]] == ["hello", "another"]
    before.pop("functions")
    assert after == before


def test_a_part_that_was_away_gets_everything_at_its_hello(lab: ControlLab) -> None:
    lab.stop_part("edge")
    lab.make_function()
    shutil.rmtree(lab.state / "stub" / "edge")
    edge = lab.start_part("edge")
    assert lab.unix("POST", "/parts/edge/hello") == 204
    assert [f.name for f in edge.document("functions").functions] == ["hello"]
    assert set(edge.asked) == {("PUT", f"/documents/{name}") for name in SUBSCRIBERS["edge"]}


def test_a_part_that_comes_back_without_a_hello_is_caught_up_too(lab: ControlLab) -> None:
    lab.stop_part("replicator")
    assert lab.api("POST", "/api/faults", {"effect": "hang", "region": "us-west-2"})[0] == 200
    part = lab.start_part("replicator")
    eventually(lambda: part.document("faults").region_condition("us-west-2") == "hang", "the fault at the replicator")


def test_an_engine_that_was_restarted_empty_gets_its_tables_again(lab: ControlLab) -> None:
    for region in ("us-east-1", "us-west-2"):
        lab.start_engine(region)
    dynamodb = lab.client("dynamodb")
    dynamodb.create_table(**TABLE)
    dynamodb.update_table(TableName="feedback", ReplicaUpdates=[{"Create": {"RegionName": "us-west-2"}}])
    (table,) = lab.edge.document("tables").global_tables
    assert [replica.region for replica in table.replicas] == ["us-east-1", "us-west-2"]
    lab.kill_engine("us-west-2")
    lab.start_engine("us-west-2")
    lab.kill_and_restart()
    assert lab.unix("POST", "/parts/engine-us-west-2/hello") == 204
    events = lab.api("GET", "/api/history")[1]["events"]
    assert ("engine_restarted", "us-west-2") in [(event["kind"], event["region"]) for event in events]
    # It is there: deleting the replica reaches the engine's table.
    assert lab.unix("POST", "/replicas/feedback/us-west-2", {"progress_percent": 100, "ready": True}) == 204
    replicas = lab.parts["replicator"].document("tables").global_tables[0].replicas
    assert [replica.status for replica in replicas] == ["ACTIVE", "ACTIVE"]


def test_control_ends_at_once_and_with_status_0_when_asked(lab: ControlLab) -> None:
    lab.make_function()
    assert lab.stop() == 0
    lab.process = lab._spawn()


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
def test_the_aws_cli_drives_route_53(lab: ControlLab) -> None:
    endpoint = f"http://{lab.topology.global_address}:{lab.topology.aws_port}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(lab.state),
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }

    def aws(*arguments: str) -> object:
        command = ["aws", *arguments, "--output", "json"]
        return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)

    made = aws("route53", "create-hosted-zone", "--name", "cli.test", "--caller-reference", "cli")
    assert isinstance(made, dict)
    batch = {
        "Changes": [
            {
                "Action": "UPSERT",
                "ResourceRecordSet": {
                    "Name": "www.cli.test",
                    "Type": "TXT",
                    "TTL": 5,
                    "ResourceRecords": [{"Value": '"a < b & c"'}],
                },
            }
        ]
    }
    zone_id = made["HostedZone"]["Id"]
    aws("route53", "change-resource-record-sets", "--hosted-zone-id", zone_id, "--change-batch", json.dumps(batch))
    listed = aws("route53", "list-resource-record-sets", "--hosted-zone-id", zone_id)
    assert isinstance(listed, dict)
    assert listed["ResourceRecordSets"][-1]["ResourceRecords"] == [{"Value": '"a < b & c"'}]
    identity = aws("sts", "get-caller-identity")
    assert isinstance(identity, dict) and identity["Account"] == "000000000000"
