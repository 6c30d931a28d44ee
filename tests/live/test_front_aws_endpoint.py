"""The AWS endpoint of a region with real boto3 clients, real engines, and faults."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from front_lab import REGIONS, FrontLab, front_lab
from waiting import eventually

from lab.core.faults import Fault
from lab.live.http_message import json_response

UNREACHABLE = (ConnectionClosedError, EndpointConnectionError)


@pytest.fixture(scope="module")
def lab() -> Iterator[FrontLab]:
    with front_lab() as running:
        running.deploy_function()
        running.deploy_api()
        for region in REGIONS:
            running.create_table("users", region)
        running.create_table("orders", sort=True)
        running.replicate("users")
        yield running


@pytest.fixture(autouse=True)
def healed(lab: FrontLab) -> Iterator[None]:
    yield
    lab.faults()


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def journal(lab: FrontLab, after: int = 0) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(lab.edge("GET", f"/journal/us-east-1?after={after}").body)["entries"]
    return entries


def test_item_operations_reach_the_engine_and_writes_are_journaled_and_wake_the_replicator(lab: FrontLab) -> None:
    client = lab.boto("dynamodb")
    entries = journal(lab)
    before = entries[-1]["n"] if entries else 0
    began_ms = time.time() * 1000
    lab.woken.clear()
    client.put_item(TableName="users", Item={"pk": {"S": "a"}, "v": {"N": "1"}})
    client.update_item(TableName="orders", Key={"pk": {"S": "a"}, "sk": {"S": "b"}})
    client.batch_write_item(RequestItems={"users": [{"PutRequest": {"Item": {"pk": {"S": str(n)}}}} for n in range(3)]})
    client.transact_write_items(TransactItems=[{"Delete": {"TableName": "users", "Key": {"pk": {"S": "0"}}}}])
    client.execute_statement(Statement="INSERT INTO \"orders\" VALUE {'pk': ?, 'sk': 'c'}", Parameters=[{"S": "a"}])
    client.delete_item(TableName="users", Key={"pk": {"S": "never there"}})
    with pytest.raises(ClientError):
        client.put_item(TableName="users", Item={"pk": {"S": "a"}}, ConditionExpression="attribute_not_exists(pk)")
    entries = journal(lab, before)
    assert [(e["table"], e["keys"]) for e in entries] == [
        ("users", [{"pk": {"S": "a"}}]),
        ("orders", [{"pk": {"S": "a"}, "sk": {"S": "b"}}]),
        ("users", [{"pk": {"S": str(n)}} for n in range(3)]),
        ("users", [{"pk": {"S": "0"}}]),
        ("orders", [{"pk": {"S": "a"}, "sk": {"S": "c"}}]),
        ("users", [{"pk": {"S": "never there"}}]),
    ]
    assert "sequence" not in entries[-1]  # nothing was changed
    assert "sequence" not in entries[-2]  # the engine leaves PartiQL out of its streams
    for entry in entries[:-2]:
        assert began_ms - 1 <= entry["time_ms"] == int(entry["sequence"][:20]) <= time.time() * 1000 + 1
    assert client.get_item(TableName="users", Key={"pk": {"S": "a"}})["Item"]["v"] == {"N": "1"}
    eventually(lambda: "/wake/us-east-1/users" in lab.woken)
    assert "/wake/us-east-1/orders" not in lab.woken  # no other region has it


@pytest.mark.parametrize("operation", ["PutItem", "GetItem"])
def test_a_body_that_is_no_json_object_is_refused_whatever_the_engine_makes_of_it(
    lab: FrontLab, operation: str
) -> None:
    headers = [
        ("X-Amz-Target", f"DynamoDB_20120810.{operation}"),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, Signature=0"),
        ("Content-Type", "application/x-amz-json-1.0"),
    ]
    for body in (b"{", b"[]", b"5", b"\xff", b'{"TableName":"users","Item":{"id":{"S":"\xff"}}}'):
        host, port = lab.address("us-east-1"), lab.topology.aws_port
        response = lab.http("POST", "/", host=host, headers=headers, body=body, port=port)
        assert (response.status, b"SerializationException" in response.body) == (400, True), response.body


def test_partiql_does_not_write_to_a_table_with_replicas_and_goes_on_reading_it(lab: FrontLab) -> None:
    client = lab.boto("dynamodb")
    with pytest.raises(ClientError) as error:
        client.execute_statement(Statement="INSERT INTO \"users\" VALUE {'pk': 'x'}")
    assert code_of(error) == "ValidationException"
    assert client.execute_statement(Statement="SELECT * FROM \"users\" WHERE pk = 'x'")["Items"] == []


def test_describe_table_shows_the_replicas_and_streams_show_no_marks(lab: FrontLab) -> None:
    client = lab.boto("dynamodb")
    table = client.describe_table(TableName="users")["Table"]
    assert table["GlobalTableVersion"] == "2019.11.21"
    assert table["Replicas"] == [{"RegionName": "us-west-2", "ReplicaStatus": "ACTIVE"}]
    assert "Replicas" not in client.describe_table(TableName="orders")["Table"]
    streams = lab.boto("dynamodbstreams")
    shard = streams.describe_stream(StreamArn=table["LatestStreamArn"])["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(
        StreamArn=table["LatestStreamArn"], ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    client.put_item(TableName="users", Item={"pk": {"S": "streamed"}})
    records = streams.get_records(ShardIterator=iterator)["Records"]
    assert records
    assert all("lab" not in record for record in records)


def test_table_operations_and_control_planes_go_to_control_with_their_region(lab: FrontLab) -> None:
    lab.passed.clear()
    lab.control_answer = lambda request: json_response(200, b'{"TableNames":[],"Functions":[]}')
    lab.boto("dynamodb").delete_table(TableName="gone")
    lab.boto("lambda").list_functions()
    seen = [(r.path, r.header("x-lab-region"), r.header("x-lab-method"), r.header("x-lab-target")) for r in lab.passed]
    assert seen == [
        ("/aws/dynamodb", "us-east-1", "POST", "/"),
        ("/aws/lambda", "us-east-1", "GET", "/2015-03-31/functions"),
    ]
    assert lab.passed[0].header("x-amz-target") == "DynamoDB_20120810.DeleteTable"
    assert json.loads(lab.passed[0].body) == {"TableName": "gone"}
    assert "Credential=test/" in str(lab.passed[0].header("authorization"))


def test_lambda_is_invoked_in_its_region(lab: FrontLab) -> None:
    answer = lab.boto("lambda").invoke(FunctionName="echo", Payload=b'{"a": 1}')
    assert answer["StatusCode"] == 200
    assert json.loads(json.loads(answer["Payload"].read())["body"]) == {"a": 1}


def test_other_services_of_the_engine_work(lab: FrontLab) -> None:
    s3 = lab.boto("s3")
    s3.create_bucket(Bucket="bucket-1")
    s3.put_object(Bucket="bucket-1", Key="a/b c", Body=b"x" * 300_000, ContentType="text/plain")
    assert s3.get_object(Bucket="bucket-1", Key="a/b c")["Body"].read() == b"x" * 300_000
    assert s3.head_object(Bucket="bucket-1", Key="a/b c")["ContentLength"] == 300_000
    for version in ("s3", "s3v4"):
        presigner = lab.boto("s3", signature_version=version)
        url = presigner.generate_presigned_url("get_object", Params={"Bucket": "bucket-1", "Key": "a/b c"})
        with urllib.request.urlopen(url, timeout=60) as response:
            assert response.read() == b"x" * 300_000
            assert response.headers["access-control-allow-origin"] is None
    sqs = lab.boto("sqs")
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    assert lab.address("us-east-1") in queue
    sqs.send_message(QueueUrl=queue, MessageBody="hi")
    assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "hi"
    assert lab.boto("sns").create_topic(Name="t")["TopicArn"].startswith("arn:aws:sns:us-east-1:000000000000:")
    metric = {"MetricName": "m", "Value": 1.0}
    lab.boto("cloudwatch").put_metric_data(Namespace="lab", MetricData=[metric])
    assert lab.boto("cloudwatch").list_metrics(Namespace="lab")["Metrics"][0]["MetricName"] == "m"
    assert lab.boto("logs").describe_log_groups()["logGroups"] is not None
    lab.boto("ssm").put_parameter(Name="/p", Value="v", Type="String")
    lab.boto("secretsmanager").create_secret(Name="s", SecretString="v")
    lab.boto("events").list_event_buses()
    lab.boto("kms").list_keys()
    lab.boto("scheduler").list_schedules()


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("dynamodb", "restore_table_to_point_in_time", {"SourceTableName": "users", "TargetTableName": "copy"}),
        ("dynamodb", "create_backup", {"TableName": "users", "BackupName": "backup"}),
        ("ssm", "list_documents", {}),
        ("cloudwatch", "list_metric_streams", {}),
        ("rds", "describe_db_instances", {}),
        ("ec2", "describe_instances", {}),
        ("stepfunctions", "list_state_machines", {}),
        ("eks", "list_clusters", {}),
        ("cloudformation", "list_stacks", {}),
        ("sns", "get_sms_attributes", {}),
    ],
)
def test_what_the_engine_lacks_is_refused_in_the_services_shape(
    lab: FrontLab, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    client = lab.boto(service)
    with pytest.raises(ClientError) as error:
        getattr(client, operation)(**arguments)
    assert code_of(error) in ("UnknownOperationException", "UnknownOperation")


def test_another_region_of_the_lab_is_reached_through_the_link(lab: FrontLab) -> None:
    lab.boto("dynamodb", "us-west-2").put_item(TableName="users", Item={"pk": {"S": "only west"}})
    through = lab.boto("dynamodb", "us-west-2", at="us-east-1")
    assert "Item" in through.get_item(TableName="users", Key={"pk": {"S": "only west"}})
    here = lab.boto("dynamodb")
    assert "Item" not in here.get_item(TableName="users", Key={"pk": {"S": "only west"}})
    answer = lab.http("GET", "/feedback?mode=other&region=us-west-2")
    assert json.loads(answer.body) == ["users"]


@pytest.mark.parametrize("service", ["dynamodb", "s3", "sns", "lambda", "cloudwatch"])
def test_a_region_outside_the_lab_is_refused_with_the_regions_that_there_are(lab: FrontLab, service: str) -> None:
    client = lab.boto(service, "ap-south-1", at="us-east-1")
    call = {
        "dynamodb": "list_tables",
        "s3": "list_buckets",
        "sns": "list_topics",
        "lambda": "list_functions",
        "cloudwatch": "list_metrics",
    }[service]
    with pytest.raises(ClientError) as error:
        getattr(client, call)()
    assert "us-east-1, us-west-2" in error.value.response["Error"]["Message"]


def test_a_cut_link_stops_calls_one_way(lab: FrontLab) -> None:
    lab.faults(Fault("f1", "cut", 0, region="us-east-1", target="us-west-2"))
    with pytest.raises(UNREACHABLE):
        lab.boto("dynamodb", "us-west-2", at="us-east-1").list_tables()
    assert lab.boto("dynamodb", "us-east-1", at="us-west-2").list_tables()["TableNames"]
    assert lab.boto("dynamodb", "us-west-2").list_tables()["TableNames"]
    lab.faults(Fault("f2", "down", 0, region="us-west-2"))
    with pytest.raises(UNREACHABLE):
        lab.boto("dynamodb", "us-west-2", at="us-east-1").list_tables()
    lab.faults(Fault("f3", "hang", 0, region="us-west-2"))
    with pytest.raises(ReadTimeoutError):
        lab.boto("dynamodb", "us-west-2", at="us-east-1", read_timeout=0.4).list_tables()


def test_faults_on_a_service_and_an_operation_hit_only_these(lab: FrontLab) -> None:
    client, hasty = lab.boto("dynamodb"), lab.boto("dynamodb", read_timeout=0.5)
    lab.faults(
        Fault(
            "f1",
            "error",
            0,
            region="us-east-1",
            service="dynamodb",
            operation="PutItem",
            error_code="ProvisionedThroughputExceededException",
        )
    )
    with pytest.raises(ClientError) as error:
        client.put_item(TableName="users", Item={"pk": {"S": "x"}})
    assert code_of(error) == "ProvisionedThroughputExceededException"
    client.get_item(TableName="users", Key={"pk": {"S": "x"}})
    lab.faults(Fault("f2", "hang", 0, region="us-east-1", service="dynamodb"))
    with pytest.raises(ReadTimeoutError):
        hasty.list_tables()
    lab.faults(Fault("f3", "down", 0, region="us-east-1", service="dynamodb"))
    with pytest.raises(UNREACHABLE):
        client.list_tables()
    lab.boto("sqs").list_queues()
    lab.faults(Fault("f4", "delay", 0, region="us-east-1", service="dynamodb", delay_ms=200))
    began = time.monotonic()
    client.list_tables()
    assert time.monotonic() - began >= 0.2
    lab.faults(Fault("f5", "error", 0, region="us-east-1", service="s3", error_code="SlowDown"))
    with pytest.raises(ClientError) as error:
        lab.boto("s3").list_buckets()
    assert code_of(error) == "SlowDown"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_an_error_with_a_probability_comes_now_and_then(lab: FrontLab) -> None:
    lab.faults(Fault("f1", "error", 0, service="sqs", probability=0.5, error_code="InternalError"))
    client = lab.boto("sqs")
    outcomes = set()
    for _ in range(60):
        try:
            client.list_queues()
            outcomes.add("ok")
        except ClientError as error:
            outcomes.add(error.response["Error"]["Code"])
    assert outcomes == {"ok", "InternalError"}


def test_a_lost_engine_is_a_503_and_its_return_is_noticed(lab: FrontLab) -> None:
    client = lab.boto("dynamodb", "us-west-2")
    client.list_tables()
    lab.stop_process("engine-us-west-2", signal.SIGKILL)
    with pytest.raises(ClientError) as error:
        client.put_item(TableName="users", Item={"pk": {"S": "x"}})
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] in (500, 503)
    lab.start_process("engine-us-west-2", "lab.engines.ministack", "us-west-2")
    lab.wait_ready("engine-us-west-2")
    assert client.list_tables()["TableNames"] == []
    lab.create_table("users", "us-west-2")


def test_without_control_its_calls_are_unavailable_and_the_rest_works(lab: FrontLab) -> None:
    lab.stop_control()
    with pytest.raises(ClientError) as error:
        lab.boto("lambda").list_functions()
    assert code_of(error) == "ServiceUnavailable"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    with pytest.raises(ClientError) as error:
        lab.boto("iam", at="us-east-1").list_roles()
    assert code_of(error) == "ServiceUnavailable"
    lab.boto("dynamodb").list_tables()
    assert lab.http("GET", "/feedback").status == 200
