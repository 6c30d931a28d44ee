"""The command line with a real lab: what `lab up` shows works when pasted, commands, deployments, faults."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cli_lab import CliLab, make_lab
from waiting import eventually


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliLab]:
    """A lab of two regions at six times AWS's pace, with handlers that the tests may edit."""
    made = make_lab(tmp_path_factory.mktemp("project"))
    shutil.copytree(Path(__file__).parents[2] / "handlers" / "feedback", made.folder / "handlers" / "feedback")
    try:
        (made.folder / "up.json").write_text(json.dumps(made.up("--speed", "6")))
        yield made
        made.run("down")
        made.assert_nothing_left()
    finally:
        made.end()
        shutil.rmtree(made.temporary, ignore_errors=True)


@pytest.fixture
def up(lab: CliLab) -> Any:
    """What `lab up --json` printed."""
    return json.loads((lab.folder / "up.json").read_text())


def paste(line: str, folder: Path) -> str:
    """Run a line in a shell, with `lab` on the path."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:{_tool_folder('aws')}"
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def _tool_folder(tool: str) -> str:
    found = shutil.which(tool)
    return str(Path(found).parent) if found else ""


def test_up_says_what_was_proven(up: Any) -> None:
    assert [region["region"] for region in up["regions"]] == ["us-east-1", "us-west-2"]
    assert all(region["health"]["status"] == 200 for region in up["regions"])
    ways = {(way["source"], way["target"]) for way in up["replicated"]}
    assert ways == {("us-east-1", "us-west-2"), ("us-west-2", "us-east-1")}


def test_the_curl_line_works_when_pasted(lab: CliLab, up: Any) -> None:
    assert json.loads(paste(up["commands"]["curl"], lab.folder))["region"] == "us-east-1"


@pytest.mark.skipif(shutil.which("dig") is None, reason="needs dig")
def test_the_dig_line_works_when_pasted(lab: CliLab, up: Any) -> None:
    assert f"{lab.block}.1.1" in paste(up["commands"]["dig"], lab.folder)


@pytest.mark.skipif(shutil.which("aws") is None, reason="needs the AWS CLI")
def test_the_aws_line_works_when_pasted(lab: CliLab, up: Any) -> None:
    assert "Count" in json.loads(paste(up["commands"]["aws"], lab.folder))


def test_the_lab_line_works_when_pasted(lab: CliLab, up: Any) -> None:
    assert json.loads(paste(up["commands"]["lab"], lab.folder))["healthy"] is True


def test_the_api_url_of_every_region_answers(lab: CliLab, up: Any) -> None:
    for region in up["regions"]:
        answer = lab.json("curl", f"{region['api_url']}/health")
        assert (answer["status"], json.loads(answer["body"]).get("region")) == (200, region["region"]), answer


def test_curl_tells_record_reason_region_and_times(lab: CliLab) -> None:
    answer = lab.json("curl", "--from", "tokyo", "-X", "POST", "http://api.lab.test/feedback")
    assert (answer["status"], answer["region"]) == (201, "us-west-2")
    assert answer["record"]["set_identifier"] == "us-west-2"
    assert any("chosen" in reason["text"] for reason in answer["reason"])
    assert answer["lookup"]["ms"] >= 0 and answer["connect_ms"] >= 0 and answer["request_ms"] > 0
    item = json.loads(answer["body"])["feedback_id"]

    def replicated() -> bool:
        elsewhere = lab.json("curl", "--from", "dublin", f"http://api.lab.test/feedback/{item}")
        assert (elsewhere["region"], elsewhere["status"]) == ("us-east-1", 200)
        return True

    eventually(replicated, "dublin finds the item in us-east-1")


def test_a_repeated_curl_asks_dns_once_within_the_ttl(lab: CliLab) -> None:
    done = lab.run("curl", "--from", "dublin", "-n", "2", "--interval", "0", "http://api.lab.test/health")
    assert done.status == 0
    assert done.err.count("from the cache") == 1


def test_curl_tells_each_step_when_it_is_done_and_gives_up_in_time(lab: CliLab) -> None:
    """A region that hangs: what is known of the call is on the screen while it hangs."""
    fault = lab.json("fault", "region", "us-east-1", "--hang")["faults"][0]
    try:
        hanging = subprocess.Popen(
            lab.command("curl", "--max-time", "600", f"http://{lab.block}.1.1/health"),
            cwd=lab.folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        with hanging:
            assert hanging.stderr is not None
            assert hanging.stderr.readline().startswith(f"connected {lab.block}.1.1:8080 (us-east-1)")
            assert hanging.poll() is None
            hanging.kill()
        done = lab.run("curl", "--max-time", "0.3", f"http://{lab.block}.1.1/health")
        assert done.status == 1
        assert f"no answer from {lab.block}.1.1:8080 within 0.3 s" in done.err
    finally:
        lab.json("heal", fault["fault_id"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://api.lab.test:x/"], "Port could not be cast"),
        (["ftp://api.lab.test/"], "expected an http:// or https:// URL"),
        (["http://api.lab.test/a b"], "a URL has neither spaces nor letters beyond ASCII"),
        (["http://[::1/"], "Invalid IPv6 URL"),
        (["http://a..b/"], "'a..b' has an empty label"),
        ([f"http://{'x' * 64}.test/"], "has a label of more than 63 bytes"),
        (["--max-time", "nan", "http://api.lab.test/"], "nan is not a number of seconds"),
        (["--max-time", "inf", "http://api.lab.test/"], "is not in the range"),
        (["--interval", "nan", "http://api.lab.test/"], "nan is not a number of seconds"),
        (["-X", "GE T", "http://api.lab.test/"], "'GE T' is not a method"),
        (["-H", "no colon", "http://api.lab.test/"], "'no colon' is not a header"),
        (["-H", "Name: \u00e9\u4e00", "http://api.lab.test/"], "is not a header"),
        (["-n", "0", "http://api.lab.test/"], "0 is not in the range"),
        (["--interval", "-1", "http://api.lab.test/"], "-1.0 is not in the range"),
        (["--max-time", "0", "http://api.lab.test/"], "0.0 is not in the range"),
    ],
)
def test_what_cannot_be_called_is_told(lab: CliLab, arguments: list[str], message: str) -> None:
    done = lab.run("curl", *arguments)
    assert (done.status, message in done.err) == (2, True), done.err


def test_a_link_that_is_cut_one_way_is_told_to_be(lab: CliLab) -> None:
    done = lab.run("fault", "link", "us-east-1", "us-west-2")
    lab.run("heal")
    assert "Only this way is cut; us-west-2 still replicates to us-east-1 (`--both` cuts both ways)." in done.out


def test_dig_from_a_place_is_what_dig_with_its_subnet_says(lab: CliLab) -> None:
    found = lab.json("dig", "api.lab.test", "--from", "seattle")
    assert found["record"]["set_identifier"] == "us-west-2"
    absent = lab.run("dig", "nothing.lab.test")
    assert (absent.status, absent.out.startswith("NXDOMAIN")) == (1, True)


def test_dns_is_asked_and_explained_while_control_is_away(lab: CliLab) -> None:
    (control,) = [part["pid"] for part in lab.json("status")["parts"] if part["part"] == "control"]
    os.kill(control, signal.SIGSTOP)
    try:
        found = lab.json("dig", "api.lab.test", "--from", "seattle")
    finally:
        os.kill(control, signal.SIGCONT)
    assert found["record"]["set_identifier"] == "us-west-2"
    assert any(reason["text"] == "us-west-2: chosen" for reason in found["reason"])


def test_a_comparison_that_nobody_makes_is_not_waited_for(lab: CliLab) -> None:
    (replicator,) = [part["pid"] for part in lab.json("status")["parts"] if part["part"] == "replicator"]
    os.kill(replicator, signal.SIGSTOP)
    try:
        done = lab.run("diff", "feedback")
    finally:
        os.kill(replicator, signal.SIGCONT)
    assert (done.status, "replicator does not answer" in done.err) == (1, True), done


def test_a_name_of_no_zone_and_an_unknown_place_are_told(lab: CliLab) -> None:
    refused = lab.run("curl", "http://example.com/")
    assert (refused.status, "REFUSED (not a name of the lab's zones)" in refused.err) == (1, True)
    unknown = lab.run("curl", "--from", "dublim", "http://api.lab.test/")
    assert (unknown.status, "unknown place 'dublim': did you mean dublin" in unknown.err) == (2, True)


def test_status_tells_regions_parts_and_replication(lab: CliLab) -> None:
    """The region that hung in an earlier test may have to become healthy again."""

    def healthy() -> Any:
        status = lab.json("status")
        assert {row["health_checks"][0]["status"] for row in status["regions"]} == {"healthy"}
        return status

    status = eventually(healthy, "all health checks are healthy")
    assert {row["condition"] for row in status["regions"]} == {"up"}
    assert {part["part"] for part in status["parts"]} >= {"supervisor", "control", "edge", "replicator"}
    assert len(status["replication"]["pairs"]) == 2
    human = lab.run("status").out
    assert "us-west-2" in human and max(len(line) for line in human.splitlines()) <= 110


def test_the_aws_api_tells_what_every_health_checker_sees(lab: CliLab, up: Any) -> None:
    """Each tells what its newest probe saw: a checker that met an earlier test's fault tells so until its next one."""
    route53 = boto3.client(
        "route53",
        region_name="us-east-1",
        endpoint_url=up["global_endpoint"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    try:
        for region in up["regions"]:

            def told(check: str = region["health_check_id"]) -> set[str]:
                status = route53.get_health_check_status(HealthCheckId=check)
                return {found["StatusReport"]["Status"] for found in status["HealthCheckObservations"]}

            eventually(lambda: told() == {"Success: HTTP Status Code 200, OK"}, lambda: f"told: {told()}")
    finally:
        route53.close()


def test_logs_of_a_function_that_lambdas_api_made_are_shown(lab: CliLab) -> None:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    print('made by hand')\n")
    functions = boto3.client(
        "lambda",
        region_name="us-west-2",
        endpoint_url=f"http://{lab.block}.2.1:4566",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    functions.create_function(
        FunctionName="by-hand",
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/by-hand",
        Handler="app.handler",
        Code={"ZipFile": package.getvalue()},
    )
    try:
        functions.invoke(FunctionName="by-hand")
        eventually(lambda: "made by hand" in lab.run("logs", "by-hand").out, "the function's log is not shown")
        elsewhere = lab.run("logs", "by-hand", "--region", "us-east-1")
        assert (elsewhere.status, "us-east-1 has no function by-hand" in elsewhere.err) == (2, True)
    finally:
        functions.delete_function(FunctionName="by-hand")
        functions.close()


def test_logs_of_parts_and_of_functions_are_shown(lab: CliLab) -> None:
    assert lab.run("logs", "edge").status == 0
    assert "REPORT RequestId" in lab.run("logs", "feedback").out
    unknown = lab.run("logs", "feedbak")
    assert (unknown.status, "feedback" in unknown.err) == (2, True)


def test_a_second_up_says_which_lab_runs_and_what_to_do(lab: CliLab, up: Any) -> None:
    again = lab.run("up")
    assert again.status == 2
    assert f"(pid {up['pid']}, block {lab.block}.0.0/16, us-east-1, us-west-2)" in again.err
    assert "`lab down` stops it" in again.err


def test_another_folder_is_told_whose_addresses_it_wants(lab: CliLab, tmp_path: Path) -> None:
    other = CliLab(tmp_path, lab.temporary, lab.block)
    done = other.run("up", "--block", lab.block)
    assert done.status == 3
    assert f"belongs to the lab of {lab.folder}" in done.err
    assert "lab up --block 127.20" in done.err


def test_deploy_without_a_change_changes_nothing(lab: CliLab) -> None:
    ids = {region: api["id"] for region, api in lab.json("deploy")["apis"].items()}
    assert {region: api["id"] for region, api in lab.json("deploy")["apis"].items()} == ids


def test_an_edited_handler_is_updated_in_place(lab: CliLab) -> None:
    source = lab.folder / "handlers" / "feedback" / "app.py"
    text = source.read_text()
    source.write_text(text.replace('"healthy": not failed', '"healthy": not failed, "edited": True'))
    try:
        lab.json("deploy")
        for place in ("dublin", "seattle"):
            answer = lab.json("curl", "--from", place, "http://api.lab.test/health")
            assert json.loads(answer["body"])["edited"] is True
    finally:
        source.write_text(text)
        lab.json("deploy")


def test_a_handler_that_does_not_import_is_told_with_its_traceback_only(lab: CliLab) -> None:
    source = lab.folder / "handlers" / "feedback" / "app.py"
    text = source.read_text()
    source.write_text(f"import no_such_library\n{text}")
    try:
        done = lab.run("deploy")
        assert done.status == 2
        assert f'File "{source}", line 1' in done.err
        assert "ModuleNotFoundError: No module named 'no_such_library'" in done.err
        assert "lab/deploy" not in done.err
    finally:
        source.write_text(text)
        lab.json("deploy")


def test_a_deployment_does_not_wait_for_a_region_that_hangs(lab: CliLab) -> None:
    lab.json("fault", "region", "us-east-1", "--hang")
    try:
        done = lab.run("deploy")
        assert done.status == 2
        assert "us-east-1 hangs by a fault, and deployments go to all regions" in done.err
    finally:
        lab.json("heal")


def test_a_region_that_is_down_is_left_by_all_places_and_returned_to(lab: CliLab) -> None:
    fault = lab.json("fault", "region", "us-east-1", "--down")["faults"][0]
    try:
        assert [found["fault_id"] for found in lab.json("fault", "list")["faults"]] == [fault["fault_id"]]
        refused = lab.run("curl", "--from", "dublin", "http://api.lab.test/health")
        assert refused.status == 0 or "refused" in refused.err
        eventually(lambda: _region_of(lab, "dublin") == "us-west-2", "dublin is not served by us-west-2")
        status = lab.json("status")
        assert [row["condition"] for row in status["regions"]] == ["down", "up"]
    finally:
        assert lab.json("heal", fault["fault_id"])["lifted"][0]["fault_id"] == fault["fault_id"]
    eventually(lambda: _region_of(lab, "dublin") == "us-east-1", "dublin is not served by us-east-1 again")
    unknown = lab.run("heal", "fault-99")
    assert (unknown.status, "no fault is in force" in unknown.err) == (2, True)


def _region_of(lab: CliLab, place: str) -> str | None:
    done = lab.run("curl", "--json", "--from", place, "http://api.lab.test/health")
    answer: dict[str, Any] = json.loads(done.out)
    return answer["region"] if answer.get("status") == 200 else None


def test_faults_of_links_and_replication_begin_and_end(lab: CliLab) -> None:
    assert len(lab.json("fault", "link", "us-east-1", "us-west-2", "--both")["faults"]) == 2
    assert lab.json("fault", "replication", "us-west-2", "--pause")["faults"][0]["effect"] == "replication_paused"
    assert "clock of us-west-2 250 ms behind" in lab.run("fault", "clock", "us-west-2", "--skew-ms", "-250").out
    assert lab.run("fault", "clock", "us-west-2").status == 2
    assert len(lab.json("heal")["lifted"]) == 4
    assert lab.run("heal").out == "No fault was in force.\n"
    unknown = lab.run("fault", "region", "eu-west-1", "--down")
    assert unknown.status == 2
    assert "this lab has no region 'eu-west-1': expected one of us-east-1, us-west-2" in unknown.err


def test_a_function_of_ones_own_is_deployed_with_its_routes_and_table(lab: CliLab) -> None:
    toml = lab.folder / "lab.toml"
    folder = lab.folder / "handlers" / "orders"
    folder.mkdir()
    (folder / "main.py").write_text(
        "import os\n"
        "def run(event, context):\n"
        "    body = os.environ['WORD'] + event['pathParameters']['id']\n"
        "    return {'statusCode': 200, 'body': body}\n"
    )
    toml.write_text(
        '[[functions]]\nname = "feedback"\nroutes = ["GET /health", "POST /feedback", "GET /feedback/{id}"]\n'
        'environment = { TABLE_NAME = "feedback" }\n'
        '[[functions]]\nname = "orders"\nhandler = "main.run"\nroutes = ["GET /orders/{id}"]\n'
        'environment = { WORD = "order " }\n'
        '[[tables]]\nname = "feedback"\nkey = { feedback_id = "S" }\n'
        '[[tables]]\nname = "orders"\nkey = { customer = "S", number = "N" }\n'
    )
    try:
        lab.json("deploy")
        answer = lab.json("curl", "--from", "tokyo", "http://api.lab.test/orders/7")
        assert (answer["status"], answer["body"]) == (200, "order 7")
        (folder / "main.py").write_text("def run(event, context)\n")
        broken = lab.run("deploy")
        assert broken.status == 2
        assert "function orders: the handler does not import" in broken.err and "SyntaxError" in broken.err
    finally:
        toml.unlink()
        lab.json("deploy")
    gone = lab.json("curl", "--from", "tokyo", "http://api.lab.test/orders/7")
    assert gone["status"] == 403


def test_the_shell_quotes_nothing_in_the_lines_to_paste(up: Any) -> None:
    for line in up["commands"].values():
        assert shlex.split(line)
