"""What a handler finds around it, and that its processes live exactly as long as they should."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from functions_region import ENDPOINT, children, is_alive, region_of, write_function
from waiting import eventually_async

from lab.core.lambda_environment import CREDENTIALS
from lab.core.lambda_errors import ServiceUnavailable

ENVIRON = "import os\ndef handler(event, context): return dict(os.environ)\n"
PID = """
    import os, time

    def handler(event, context):
        if event:
            time.sleep(event)
        return os.getpid()
"""


def test_a_handler_sees_aws_variables_and_nothing_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")

    async def scenario() -> None:
        function = write_function(
            tmp_path, ENVIRON, environment={"TABLE": "feedback", "AWS_REGION": "mine", "LANG": "C.UTF-8"}
        )
        async with region_of(tmp_path, [function]) as region:
            found = await region.call()
            runtime = found.pop("LAMBDA_RUNTIME_DIR")
            assert Path(runtime, "boto3").is_dir()
            assert found.pop("AWS_LAMBDA_RUNTIME_API").startswith("127.41.1.1:")
            assert found.pop("AWS_LAMBDA_LOG_STREAM_NAME").split("]")[0].endswith("[$LATEST")
            assert found.pop("_X_AMZN_TRACE_ID").startswith("Root=1-")
            assert Path(found.pop("TMPDIR")).is_relative_to(tmp_path)
            code = function.code_dir
            assert found == {
                **CREDENTIALS,
                "_HANDLER": "app.handler",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": ENDPOINT,
                "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
                "AWS_LAMBDA_FUNCTION_NAME": "hello",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
                "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
                "AWS_REGION": "us-east-1",
                "LAMBDA_TASK_ROOT": code,
                "LANG": "C.UTF-8",
                "LD_LIBRARY_PATH": f"{runtime}:{runtime}/lib:{code}:{code}/lib:/opt/lib",
                "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
                "PYTHONPATH": runtime,
                "TABLE": "feedback",
                "TZ": ":UTC",
            }

    asyncio.run(scenario())


def test_a_handler_may_open_as_many_files_as_on_aws(tmp_path: Path) -> None:
    source = """
        import resource

        def handler(event, context):
            return resource.getrlimit(resource.RLIMIT_NOFILE)
    """

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            assert await region.call() == [1024, 1024]

    asyncio.run(scenario())


def test_a_handler_imports_the_sdk_and_its_own_code_but_nothing_of_the_lab(tmp_path: Path) -> None:
    source = """
        import importlib, os, sys

        def handler(event, context):
            found = {}
            for name in event:
                try:
                    importlib.import_module(name)
                    found[name] = True
                except ImportError:
                    found[name] = False
            return {"found": found, "cwd": os.getcwd(), "first": sys.path[0], "argv": sys.argv}
    """
    there = ["boto3", "botocore", "urllib3", "six", "dateutil", "awslambdaric", "own", "sqlite3"]
    absent = ["lab", "moto", "ministack", "orjson", "httptools", "pytest", "pip", "setuptools", "yaml"]

    async def scenario() -> None:
        function = write_function(tmp_path, source)
        Path(function.code_dir, "own.py").touch()
        async with region_of(tmp_path, [function]) as region:
            answer = await region.call(there + absent)
            assert answer["found"] == dict.fromkeys(there, True) | dict.fromkeys(absent, False)
            assert answer["cwd"] == answer["first"] == function.code_dir
            assert "lab" not in "".join(answer["argv"])

    asyncio.run(scenario())


def test_the_context_has_lambdas_fields(tmp_path: Path) -> None:
    source = """
        import os, time

        def handler(event, context):
            return {
                "id": context.aws_request_id, "arn": context.invoked_function_arn, "name": context.function_name,
                "version": context.function_version, "memory": context.memory_limit_in_mb,
                "group": context.log_group_name, "stream": context.log_stream_name,
                "remaining": context.get_remaining_time_in_millis(), "trace": os.environ["_X_AMZN_TRACE_ID"],
                "custom": context.client_context and context.client_context.custom,
            }
    """

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source, memory_mb=256, timeout_s=60)]) as region:
            invocation = await region.invoke(
                "hello", b"{}", client_context='{"custom":{"k":"v"}}', trace_id="Root=1-2-3", qualifier="$LATEST"
            )
            found = json.loads(invocation.payload)
            assert found.pop("stream") == region.status().functions[0].environments[0].log_stream
            assert 30_000 < found.pop("remaining") <= 60_000
            assert found == {
                "id": invocation.request_id,
                "arn": "arn:aws:lambda:us-east-1:000000000000:function:hello:$LATEST",
                "name": "hello",
                "version": "$LATEST",
                "memory": "256",
                "group": "/aws/lambda/hello",
                "trace": "Root=1-2-3",
                "custom": {"k": "v"},
            }

    asyncio.run(scenario())


def test_a_changed_function_gets_new_environments_after_the_current_event(tmp_path: Path) -> None:
    old_source = """
        import os, time

        def handler(event, context):
            while event and not os.path.exists(event):
                time.sleep(0.01)
            return "old"
    """

    async def scenario() -> None:
        old = write_function(tmp_path, old_source)
        new = write_function(tmp_path, "def handler(event, context): return 'new'", environment={"V": "2"})
        async with region_of(tmp_path, [old]) as region:
            assert await region.call() == "old"
            (pid,) = children()
            over = tmp_path / "over"
            running = asyncio.ensure_future(region.call(str(over)))
            await region.begun()
            region.publish(new)
            assert await region.call() == "new"
            over.touch()
            assert await running == "old", "an event that has begun ends on the old code"
            await eventually_async(lambda: not is_alive(pid))
            assert len(region.status().functions[0].environments) == 1

    asyncio.run(scenario())


def test_an_event_that_outlasts_two_changes_leaves_no_environment_of_the_old_function(tmp_path: Path) -> None:
    source = """
        import os, time

        def handler(event, context):
            while event and not os.path.exists(event):
                time.sleep(0.01)
            return os.environ["V"]
    """

    async def scenario() -> None:
        old = write_function(tmp_path, source, environment={"V": "old"})
        async with region_of(tmp_path, [old], environments_max=1) as region:
            assert await region.call() == "old"
            over = tmp_path / "over"
            running = asyncio.ensure_future(region.call(str(over)))
            await region.begun()
            region.publish(write_function(tmp_path, source, code_dir=old.code_dir, environment={"V": "new"}))
            changed = write_function(
                tmp_path, source, code_dir=old.code_dir, environment={"V": "new"}, reserved_concurrency=5
            )
            region.publish(changed)  # environments do not see that
            over.touch()
            assert await running == "old"
            assert await region.call() == "new"

    asyncio.run(scenario())


def test_a_change_that_environments_do_not_see_keeps_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        function = write_function(tmp_path, PID)
        async with region_of(tmp_path, [function]) as region:
            pid = await region.call()
            region.publish(write_function(tmp_path, PID, code_dir=function.code_dir, reserved_concurrency=5))
            assert await region.call() == pid
            region.publish(write_function(tmp_path, PID, code_dir=function.code_dir, memory_mb=512))
            assert await region.call() != pid

    asyncio.run(scenario())


def test_a_deleted_function_is_gone_with_its_processes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, PID)]) as region:
            pid = await region.call()
            region.publish()
            assert region.status().functions == ()
            await eventually_async(lambda: not is_alive(pid))

    asyncio.run(scenario())


def test_a_region_that_goes_down_kills_its_environments_and_refuses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, PID)]) as region:
            pid = await region.call()
            running = asyncio.ensure_future(region.call(60))
            await region.begun()
            region.set_condition("down")
            with pytest.raises(ServiceUnavailable, match="down"):
                await running
            with pytest.raises(ServiceUnavailable, match="down"):
                await region.call()
            with pytest.raises(ServiceUnavailable, match="down"):
                await region.warm("hello")
            await eventually_async(lambda: not is_alive(pid))
            assert region.status().functions[0].environments == ()
            region.set_condition("up")
            assert await region.call() != pid

    asyncio.run(scenario())


def test_closing_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    source = """
        import subprocess

        def handler(event, context):
            return subprocess.Popen(["/bin/sleep", "300"]).pid
    """

    async def scenario() -> int:
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            pid = int(await region.call())
            assert is_alive(pid)
        assert not children()
        await eventually_async(lambda: not is_alive(pid))
        return pid

    asyncio.run(scenario())
    assert not (tmp_path / "run" / "functions" / "us-east-1").exists()


def test_an_environment_whose_process_is_killed_while_idle_starts_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, PID)]) as region:
            pid = await region.call()
            os.kill(pid, signal.SIGKILL)
            await eventually_async(lambda: region.status().functions[0].environments[0].state == "cold")
            assert await region.call() != pid

    asyncio.run(scenario())


def test_environments_die_with_the_lab_even_when_it_is_killed(tmp_path: Path) -> None:
    script = f"""
        import asyncio, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from functions_region import region_of, write_function

        async def main():
            folder = Path({str(tmp_path)!r})
            async with region_of(folder, [write_function(folder, {textwrap.dedent(PID)!r})]) as region:
                print(await region.call(), flush=True)
                await asyncio.sleep(60)

        asyncio.run(main())
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as lab:
        assert lab.stdout is not None
        pid = int(lab.stdout.readline())
        assert is_alive(pid)
        lab.kill()
    asyncio.run(eventually_async(lambda: not is_alive(pid)))


@pytest.mark.parametrize(
    "headers",
    [
        "Host: evil.example:80",
        "Host: {host}\r\nOrigin: http://evil.example",
        "Host: {host}\r\nSec-Fetch-Site: cross-site",
        "Host: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)",
    ],
)
def test_the_runtime_api_refuses_what_a_web_page_could_send(tmp_path: Path, headers: str) -> None:
    source = "import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_RUNTIME_API']\n"

    def forge(host: str) -> bytes:
        address, _, port = host.partition(":")
        with socket.create_connection((address, int(port)), timeout=60) as forged:
            path = "/2018-06-01/runtime/invocation/next"
            forged.sendall(f"GET {path} HTTP/1.1\r\n{headers.format(host=host)}\r\n\r\n".encode())
            answer = b""
            while chunk := forged.recv(65536):
                answer += chunk
            return answer

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            host = await region.call()
            assert (await asyncio.to_thread(forge, host)).startswith(b"HTTP/1.1 403")
            assert await region.call() == host

    asyncio.run(scenario())


def test_malformed_http_at_the_runtime_api_harms_nobody(tmp_path: Path) -> None:
    source = "import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_RUNTIME_API']\n"

    def garble(host: str) -> bytes:
        address, _, port = host.partition(":")
        with socket.create_connection((address, int(port)), timeout=60) as garbled:
            garbled.sendall(b"\x00\xff not http\r\n\r\n")
            return garbled.recv(65536)

    async def scenario() -> None:
        async with region_of(tmp_path, [write_function(tmp_path, source)]) as region:
            host = await region.call()
            assert (await asyncio.to_thread(garble, host)).startswith(b"HTTP/1.1 400")
            assert await region.call() == host

    asyncio.run(scenario())
