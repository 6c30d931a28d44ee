"""What the lab asks of an engine in a container, the same of each.

One set of regions for all tests of an engine; each test has tables and functions of its own.
"""

from __future__ import annotations

import http.client
import io
import itertools
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from sized_requests import ECHO, EchoApi, make_echo_api

from lab.compose.docker_faults import ContainerFault, break_region
from lab.compose.host import ComposeLab
from lab.testing import CallFromPlaceFailed, RegionContainers

pytestmark = pytest.mark.docker
ROLE = "arn:aws:iam::000000000000:role/contract"
EAST, WEST = "us-east-1", "us-west-2"
_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=["localstack", "ministack"])
def regions(request: pytest.FixtureRequest) -> Iterator[RegionContainers]:
    with RegionContainers(engine=request.param) as containers:
        yield containers


@pytest.fixture
def table(regions: RegionContainers) -> str:
    """A global table of its own for each test."""
    name = f"contract-{next(_numbers)}"
    dynamodb = regions.client("dynamodb", EAST)
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    dynamodb.update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": WEST}}])
    regions.lab.eventually(lambda: _replica_active(dynamodb, name), within_s=60)
    return name


def _replica_active(dynamodb: Any, name: str) -> bool:
    described = dynamodb.describe_table(TableName=name)["Table"]
    return [r["ReplicaStatus"] for r in described.get("Replicas", ())] == ["ACTIVE"]


def item(regions: RegionContainers, region: str, table: str, key: str) -> dict[str, Any] | None:
    found = regions.client("dynamodb", region).get_item(TableName=table, Key={"id": {"S": key}}, ConsistentRead=True)
    value: dict[str, Any] | None = found.get("Item")
    return value


def test_a_write_arrives_in_the_other_region_each_way(regions: RegionContainers, table: str) -> None:
    for source, target in ((EAST, WEST), (WEST, EAST)):
        wanted = {"id": {"S": source}, "n": {"N": "1"}, "b": {"B": b"\x00\xff"}, "s": {"SS": ["x", "y"]}}
        regions.client("dynamodb", source).put_item(TableName=table, Item=wanted)
        found = regions.lab.eventually(lambda s=source, t=target: item(regions, t, table, s), within_s=20)
        assert found["n"] == {"N": "1"} and found["b"] == {"B": b"\x00\xff"} and sorted(found["s"]["SS"]) == ["x", "y"]


def test_every_kind_of_write_is_replicated(regions: RegionContainers, table: str) -> None:
    dynamodb = regions.client("dynamodb", EAST)
    dynamodb.put_item(TableName=table, Item={"id": {"S": "deleted"}})
    dynamodb.delete_item(TableName=table, Key={"id": {"S": "deleted"}})
    dynamodb.update_item(
        TableName=table,
        Key={"id": {"S": "updated"}},
        UpdateExpression="SET a = :a",
        ExpressionAttributeValues={":a": {"N": "2"}},
    )
    dynamodb.batch_write_item(
        RequestItems={table: [{"PutRequest": {"Item": {"id": {"S": f"batch-{n}"}}}} for n in range(25)]}
    )
    dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": table, "Item": {"id": {"S": "transacted"}}}}])
    regions.lab.converged(table)
    scanned = regions.client("dynamodb", WEST).scan(TableName=table, ConsistentRead=True)["Items"]
    assert {entry["id"]["S"] for entry in scanned} == {"updated", "transacted", *(f"batch-{n}" for n in range(25))}


def test_the_later_of_two_writes_wins_in_both_regions(regions: RegionContainers, table: str) -> None:
    regions.lab.cut(EAST, WEST)
    try:
        for region in (EAST, WEST):
            regions.client("dynamodb", region).put_item(
                TableName=table, Item={"id": {"S": "contended"}, "from": {"S": region}}
            )
    finally:
        regions.lab.heal()
    regions.lab.converged(table)
    for region in (EAST, WEST):
        found = item(regions, region, table, "contended")
        assert found is not None and found["from"] == {"S": WEST}


def test_statements_read_in_batches_and_do_not_write_to_replicas(regions: RegionContainers, table: str) -> None:
    dynamodb = regions.client("dynamodb", EAST)
    dynamodb.put_item(TableName=table, Item={"id": {"S": "read"}})
    reading = {"Statement": f'SELECT * FROM "{table}" WHERE id = ?', "Parameters": [{"S": "read"}]}
    (answer,) = dynamodb.batch_execute_statement(Statements=[reading])["Responses"]
    assert answer["Item"] == {"id": {"S": "read"}}
    writing = {"Statement": f"INSERT INTO \"{table}\" VALUE {{'id': 'written'}}"}
    with pytest.raises(dynamodb.exceptions.ClientError, match="does not write to tables with replicas"):
        dynamodb.batch_execute_statement(Statements=[writing])


def make_function(regions: RegionContainers, name: str, source: str, **settings: Any) -> Any:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("app.py", source)
    functions = regions.client("lambda", EAST)
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": buffer.getvalue()},
        **settings,
    )
    return functions


def test_a_function_runs_finds_its_region_and_logs(regions: RegionContainers) -> None:
    source = (
        "import os\n"
        "def handler(event, context):\n"
        "    print('a line of the handler')\n"
        "    return {'event': event, 'region': os.environ['AWS_REGION'], 'name': context.function_name,\n"
        "            'leaked': sorted(k for k in os.environ if k.startswith('LAB_'))}\n"
    )
    name = f"tells{next(_numbers)}"
    functions = make_function(regions, name, source)
    answer = functions.invoke(FunctionName=name, Payload=b'{"a": 1}', LogType="Tail")
    payload = json.loads(answer["Payload"].read())
    assert payload == {"event": {"a": 1}, "region": EAST, "name": name, "leaked": []}
    assert "FunctionError" not in answer


def test_an_exception_and_a_timeout_are_told_as_on_aws(regions: RegionContainers) -> None:
    name = f"raises{next(_numbers)}"
    functions = make_function(regions, name, "def handler(event, context):\n    raise ValueError('wrong')\n")
    answer = functions.invoke(FunctionName=name)
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "ValueError"
    slow = f"slow{next(_numbers)}"
    make_function(regions, slow, "import time\ndef handler(event, context):\n    time.sleep(30)\n", Timeout=1)
    answer = functions.invoke(FunctionName=slow)
    assert "timed out" in json.loads(answer["Payload"].read())["errorMessage"].lower()


def test_an_api_reaches_its_function_from_a_place(regions: RegionContainers) -> None:
    answer = regions.lab.place("dublin").get("http://api.lab.test/health")
    assert (answer.status, answer.region) == (200, EAST)
    assert regions.lab.place("tokyo").get("http://api.lab.test/health").region == WEST


def test_an_edited_handler_is_deployed_in_place(regions: RegionContainers, tmp_path: Path) -> None:
    handlers = Path(__file__).parents[2] / "handlers"
    edited = tmp_path / "handlers"
    shutil.copytree(handlers, edited)
    source = edited / "feedback" / "app.py"
    source.write_text(source.read_text().replace("This item is coming from", "This item was edited in"))
    try:
        deploy(regions, edited)
        for place, region in (("dublin", EAST), ("tokyo", WEST)):
            answer = regions.lab.eventually(lambda p=place, r=region: posted(regions, p, r), within_s=60)
            assert answer.json()["value"] == f"This item was edited in {region}"
    finally:
        deploy(regions, handlers)


@pytest.mark.parametrize("regions", ["ministack"], indirect=True)  # what differs by engine is in the test above
def test_a_handler_that_is_saved_while_compose_watches_is_live_in_every_region_and_nothing_is_made_anew(
    regions: RegionContainers, tmp_path: Path
) -> None:
    running = regions.lab.running
    assert isinstance(running, ComposeLab)
    repository = Path(__file__).parents[2]
    shutil.copytree(repository / "handlers", tmp_path / "handlers")
    source = tmp_path / "handlers" / "feedback" / "app.py"
    made = {name: container.id for name, container in running.project.containers().items()}
    where = ["-p", regions.project, "-f", str(repository / "docker-compose.yml"), "--project-directory", str(tmp_path)]
    log = tmp_path / "watch.log"
    with log.open("w") as output:
        watch = subprocess.Popen(["docker", "compose", *where, "watch", "--no-up"], stdout=output, stderr=output)
    try:
        regions.lab.eventually(lambda: "watch enabled" in log.read_text().lower(), within_s=60)
        source.write_text(source.read_text().replace("This item is coming from", "This item was saved in"))
        for place, region in (("dublin", EAST), ("tokyo", WEST)):
            regions.lab.eventually(
                lambda p=place, r=region: posted(regions, p, r).json()["value"] == f"This item was saved in {r}",
                within_s=120,
            )
    finally:
        watch.terminate()
        watch.wait(30)
        deploy(regions, repository / "handlers")
    assert {name: container.id for name, container in running.project.containers().items()} == made


def test_a_handler_is_given_the_same_event_on_every_engine(regions: RegionContainers, tmp_path: Path) -> None:
    handlers = Path(__file__).parents[2] / "handlers"
    echo = tmp_path / "handlers"
    shutil.copytree(handlers, echo)
    (echo / "feedback" / "app.py").write_text(
        "import json\ndef handler(event, context):\n    return {'statusCode': 200, 'body': json.dumps(event)}\n"
    )
    try:
        deploy(regions, echo)
        place = regions.lab.place("dublin")
        sent = {"X-Forwarded-For": "203.0.113.9", "X-Lab-Event": "forged", "x-case": "kept"}
        answer = place.get("http://api.lab.test/health?a=1&a=%20", headers=sent)
        (api,) = regions.client("apigateway", EAST).get_rest_apis()["items"]
        host = f"{api['id']}.execute-api.{EAST}.amazonaws.com"
        address = regions.lab.topology.reachable(regions.lab.topology.region(EAST).address, 80)
        status, body = get(*address, {"Host": host}, "/prod/health")
    finally:
        deploy(regions, handlers)
    assert status == 200
    by_host = json.loads(body)
    assert by_host["headers"]["Host"] == by_host["requestContext"]["domainName"] == host
    assert (by_host["path"], by_host["requestContext"]["path"]) == ("/health", "/prod/health")
    event = answer.json()
    assert sorted(event["headers"]) == sorted(
        ["Host", "X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "x-case"]
    )
    context = event["requestContext"]
    assert event["headers"]["X-Forwarded-For"] == f"203.0.113.9, {context['identity']['sourceIp']}"
    assert context["identity"]["sourceIp"] != "127.0.0.1"
    assert (event["path"], context["path"], context["domainName"]) == ("/health", "/health", "api.lab.test")
    assert (event["headers"]["X-Forwarded-Port"], event["headers"]["X-Forwarded-Proto"]) == ("80", "http")
    assert context["requestId"] == answer.header("x-amzn-requestid")
    assert event["multiValueQueryStringParameters"] == {"a": ["1", " "]}


@pytest.fixture
def echo(regions: RegionContainers) -> Iterator[EchoApi]:
    """An API whose handler tells the sizes of what arrived."""
    name = f"echo{next(_numbers)}"
    functions = make_function(regions, name, ECHO)
    functions.add_permission(
        FunctionName=name, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    gateway = regions.client("apigateway", EAST)
    topology = regions.lab.topology
    api = make_echo_api(gateway, EAST, name, topology.reachable(topology.region(EAST).address, 80))
    try:
        yield api
    finally:
        gateway.delete_rest_api(restApiId=api.api_id)


def test_what_api_gateway_takes_reaches_the_handler_whole_on_every_engine(echo: EchoApi) -> None:
    path, agent = "/prod/" + "p" * 9_900, [("User-Agent", '"' * 10_000)]
    status, told = echo.send(path, agent)
    assert (status, told["path"], told["context_path"], told["agent"]) == (200, 9_901, 9_906, 10_000)
    status, told = echo.send("/prod/x?q=" + "q" * 9_900, [(f"x-{n}", "v") for n in range(1_000)])
    assert (status, told["query"]) == (200, 9_901) and told["names"] > 1_000
    status, told = echo.send("/prod/x", agent, b"b" * 5_900_000)
    assert (status, told["body"]) == (200, 5_900_000)


def test_what_api_gateway_does_not_take_is_refused_as_on_aws_on_every_engine(echo: EchoApi) -> None:
    for size in (10_300, 20_000, 63_000, 70_000):
        assert echo.send("/prod/x", [("x-large", "v" * size)]) == (431, {"message": "Request Header Fields Too Large"})
    for target in ("/prod/" + "p" * 10_300, "/prod/x?q=" + "q" * 63_000, "/prod/x?q=" + "q" * 1_000_000):
        assert echo.send(target) == (414, {"message": "Request URI too long"})
    assert echo.send("/prod/x", body=b"b" * 6_400_000) == (413, {"message": "Request Too Long"})
    too_much = b"b" * (10 * 1024 * 1024 + 1)
    assert echo.send("/prod/x", body=too_much) == (413, {"message": "HTTP content length exceeded 10485760 bytes."})
    assert echo.send("/prod/x")[0] == 200


def deploy(regions: RegionContainers, handlers: Path) -> None:
    """As a user does it, from the folder of the lab."""
    done = lab_command(regions, "deploy", "--handlers", str(handlers))
    assert done.returncode == 0, done.stderr


def lab_command(regions: RegionContainers, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab.cli", "-C", str(regions.lab.folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def posted(regions: RegionContainers, place: str, region: str) -> Any:
    answer = regions.lab.place(place).post("http://api.lab.test/feedback")
    assert (answer.status, answer.region) == (201, region), answer
    return answer


def test_a_region_outside_the_lab_is_refused(regions: RegionContainers) -> None:
    from lab.testing.region import make_client

    elsewhere = make_client("dynamodb", "ap-south-1", regions.lab.region(EAST).endpoint_url)
    with pytest.raises(elsewhere.exceptions.ClientError, match="not in this lab"):
        elsewhere.list_tables()


def test_a_load_balancer_and_an_accelerator_have_ports_of_the_host(regions: RegionContainers) -> None:
    elb = regions.client("elbv2", WEST)
    balancer = elb.create_load_balancer(Name="told", Subnets=["subnet-a", "subnet-b"])["LoadBalancers"][0]
    answer = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "told by the load balancer"}
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": answer}],
    )
    accelerators = boto3.client(
        "globalaccelerator",
        region_name=WEST,
        endpoint_url=regions.lab.topology.url(regions.lab.topology.global_address, 4566),
        aws_access_key_id="lab",
        aws_secret_access_key="lab",
    )
    made = accelerators.create_accelerator(Name="told", IdempotencyToken="told")["Accelerator"]
    listener = accelerators.create_listener(
        AcceleratorArn=made["AcceleratorArn"], Protocol="TCP", PortRanges=[{"FromPort": 80, "ToPort": 80}]
    )["Listener"]
    accelerators.create_endpoint_group(
        ListenerArn=listener["ListenerArn"],
        EndpointGroupRegion=WEST,
        EndpointConfigurations=[{"EndpointId": balancer["LoadBalancerArn"]}],
    )
    names = regions.lab.place("tokyo").resolver.lookup(balancer["DNSName"]).addresses
    for address in (*names, *made["IpSets"][0]["IpAddresses"]):
        host, port = regions.lab.topology.reachable(address, 80)
        assert host == "127.0.0.1"
        headers = {"Host": balancer["DNSName"] if address in names else made["DnsName"]}
        found = regions.lab.eventually(lambda h=host, p=port, sent=headers: get(h, p, sent), within_s=60)
        assert found == (200, b"told by the load balancer")


def get(host: str, port: int, headers: dict[str, str], path: str = "/") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise AssertionError(f"{host}:{port}: {error!r}") from error
    finally:
        connection.close()


def test_a_region_that_was_killed_comes_back_with_its_tables_and_functions(
    regions: RegionContainers, table: str
) -> None:
    regions.client("dynamodb", EAST).put_item(TableName=table, Item={"id": {"S": "kept"}})
    regions.lab.converged(table)
    running = regions.lab.running
    assert isinstance(running, ComposeLab)
    break_region(running.project, EAST, "kill")
    assert running.mend_containers()
    regions.lab.eventually(lambda: item(regions, EAST, table, "kept"), within_s=60)
    answer = regions.lab.eventually(lambda: regions.lab.place("dublin").get("http://api.lab.test/health"), within_s=60)
    assert answer.status == 200


def test_a_region_whose_container_is_restarted_fills_again_by_itself(regions: RegionContainers, table: str) -> None:
    regions.client("dynamodb", EAST).put_item(TableName=table, Item={"id": {"S": "kept"}})
    regions.lab.converged(table)
    running = regions.lab.running
    assert isinstance(running, ComposeLab)
    running.project.container(EAST).restart(timeout=3)
    regions.lab.eventually(lambda: item(regions, EAST, table, "kept"), within_s=120)
    regions.client("dynamodb", EAST).put_item(TableName=table, Item={"id": {"S": "later"}})
    regions.lab.eventually(lambda: item(regions, WEST, table, "later"), within_s=60)


def test_everything_restarted_at_once_serves_again(regions: RegionContainers, table: str) -> None:
    running = regions.lab.running
    assert isinstance(running, ComposeLab)
    services = running.project.containers().values()
    with ThreadPoolExecutor(len(services)) as pool:  # as `docker compose restart` does
        list(pool.map(lambda container: container.restart(timeout=3), services))
    for place in ("dublin", "tokyo"):
        answer = regions.lab.eventually(
            lambda p=place: served(regions.lab.place(p).get("http://api.lab.test/health", timeout_s=5)), within_s=180
        )
        assert answer.status == 200
    for source, target in ((EAST, WEST), (WEST, EAST)):
        regions.client("dynamodb", source).put_item(TableName=table, Item={"id": {"S": f"from-{source}"}})
        regions.lab.eventually(lambda s=source, t=target: item(regions, t, table, f"from-{s}"), within_s=60)


def served(answer: Any) -> Any:
    assert answer.status == 200, answer
    return answer


def test_a_drill_in_a_container_that_needs_docker_says_unknown_and_why(regions: RegionContainers) -> None:
    done = regions.run("drill", "region_outage", "--lose-data", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"]) == (2, "unknown")
    assert "this container has no Docker" in report["findings"][0]["summary"]
    told = regions.run("drill", "region_outage", "--lose-data").stdout
    assert "Verdict: unknown" in told and "run `lab drill` on the host" in told
    assert not regions.lab.faults.faults


DRILL = """
import sys
from pathlib import Path
from lab.compose.host import ComposeProject, attach_project
from lab.compose.sdk import docker_client
from lab.drills import DrillOptions, run_drill
from lab.testing import Lab
running = attach_project(ComposeProject(sys.argv[1], docker_client()), Path(sys.argv[2]))
run_drill("region_outage", Lab(running), DrillOptions(lose_data=True))
"""


def test_what_a_drill_that_was_killed_left_is_healed(regions: RegionContainers, tmp_path: Path) -> None:
    running = regions.lab.running
    assert isinstance(running, ComposeLab)
    drill = subprocess.Popen([sys.executable, "-c", DRILL, regions.project, str(tmp_path)])
    try:
        regions.lab.eventually(lambda: regions.lab.faults.faults and killed(running), within_s=300)
    finally:
        drill.kill()
        drill.wait()
    assert any(EAST in done for done in running.mend_containers())
    regions.lab.heal()
    assert not regions.lab.faults.faults
    answer = regions.lab.eventually(
        lambda: served(regions.lab.place("dublin").get("http://api.lab.test/health", timeout_s=5)), within_s=120
    )
    assert answer.status == 200


def killed(running: ComposeLab) -> bool:
    return bool(running.project.container(EAST).status == "exited")


@pytest.mark.parametrize("fault", ["stop", "pause", "disconnect"])
def test_a_region_whose_containers_fail_is_not_reached_until_they_are_mended(
    regions: RegionContainers, fault: ContainerFault
) -> None:
    running = regions.lab.running
    assert isinstance(running, ComposeLab)
    break_region(running.project, WEST, fault)
    try:
        with pytest.raises((CallFromPlaceFailed, AssertionError)):
            answer = regions.lab.place("tokyo").get("http://api.lab.test/health", timeout_s=3)
            assert answer.region == WEST
    finally:
        mended = running.mend_containers()
    assert mended, "what Docker did was not seen"
    answer = regions.lab.eventually(
        lambda: regions.lab.place("tokyo").get("http://api.lab.test/health", timeout_s=5), within_s=60
    )
    assert answer.status == 200


@pytest.mark.parametrize("regions", ["ministack"], indirect=True)  # the parts are the same on every engine
@pytest.mark.parametrize("service", ["replicator", "control", "resolver"])
def test_a_part_that_was_killed_is_named_and_healing_has_it_run_again(
    regions: RegionContainers, table: str, service: str
) -> None:
    running = regions.lab.running
    assert isinstance(running, ComposeLab)
    regions.client("dynamodb", WEST).put_item(TableName=table, Item={"id": {"S": "before"}})
    running.project.container(service).kill()
    status = lab_command(regions, "status")
    assert status.returncode == 1, status.stdout
    assert "exited" in status.stdout + status.stderr and service in status.stdout + status.stderr
    assert "fault of the lab" not in status.stderr
    healed = lab_command(regions, "heal")
    assert (healed.returncode, f"put right: {service} was exited" in healed.stdout) == (0, True), healed
    regions.client("dynamodb", WEST).put_item(TableName=table, Item={"id": {"S": "after"}})
    for key in ("before", "after"):
        regions.lab.eventually(lambda k=key: item(regions, EAST, table, k), within_s=60)
    lost = lab_command(regions, "lost", "--table", table)
    assert lost.stdout == "No acknowledged write was lost.\n", lost


@pytest.mark.parametrize("regions", ["ministack"], indirect=True)
def test_a_part_that_is_cut_off_its_network_is_named_and_healing_connects_it(
    regions: RegionContainers, table: str
) -> None:
    running = regions.lab.running
    assert isinstance(running, ComposeLab)
    project = running.project
    project.network("backbone").disconnect(project.container("replicator"), force=True)
    status = lab_command(regions, "status")
    assert (status.returncode, "disconnected" in status.stdout) == (1, True), status
    healed = lab_command(regions, "heal")
    assert (healed.returncode, healed.stdout) == (0, "put right: replicator was disconnected\n"), healed
    regions.client("dynamodb", WEST).put_item(TableName=table, Item={"id": {"S": "after"}})
    regions.lab.eventually(lambda: item(regions, EAST, table, "after"), within_s=60)


@pytest.mark.parametrize("service", ["control", "front-us-east-1"])
def test_a_part_that_is_restarted_goes_on_where_it_was(regions: RegionContainers, table: str, service: str) -> None:
    running = regions.lab.running
    assert isinstance(running, ComposeLab)
    regions.client("dynamodb", WEST).put_item(TableName=table, Item={"id": {"S": "before"}})
    running.project.container(service).restart(timeout=3)
    running.await_engines()
    regions.client("dynamodb", WEST).put_item(TableName=table, Item={"id": {"S": "after"}})
    for key in ("before", "after"):
        regions.lab.eventually(lambda k=key: item(regions, EAST, table, k), within_s=60)
    answer = regions.lab.eventually(
        lambda: regions.lab.place("dublin").get("http://api.lab.test/health", timeout_s=5), within_s=60
    )
    assert answer.status == 200
