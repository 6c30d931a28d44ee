"""No web page can make a port of the lab do or tell anything: every port that a running lab opens, asked by a forger.

The ports are read from the kernel, not from the lab, so that one which nobody thought of is asked too.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from lab.testing import Lab

EVIL = "http://evil.example"
SILENT_S = 2.0
"""How long a port is listened to that may well say nothing."""
LISTEN = "0A"


def listening_ports(block: str) -> list[tuple[str, int]]:
    """The TCP ports that the kernel says are listened on in a block of loopback addresses."""
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address_hex, port_hex = local.split(":")
        address = ".".join(str(byte) for byte in reversed(bytes.fromhex(address_hex)))
        if state == LISTEN and address.startswith(f"{block}."):
            found.append((address, int(port_hex, 16)))
    return sorted(found)


def ask(address: str, port: int, request: str, within_s: float = 60.0) -> bytes:
    """What comes back within a time; b"" if the connection is refused or closed, or nothing comes.

    Refused: an execution environment's port goes with the environment.
    """
    try:
        connection = socket.create_connection((address, port), 60.0)
    except ConnectionRefusedError:
        return b""
    with connection:
        connection.settimeout(within_s)
        connection.sendall(request.encode("latin-1"))
        answer = b""
        try:
            while b"\r\n\r\n" not in answer:
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
        except (TimeoutError, ConnectionResetError):
            return answer
        return answer


def status_of(answer: bytes) -> int | None:
    """The status of an HTTP answer; None where none came."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else None


def http(method: str, path: str, host: str, headers: dict[str, str] | None = None, body: str = "") -> str:
    """A request as a browser would send it."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines) + "\r\n\r\n" + body


CREATE_TABLE = (
    '{"TableName":"forged","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],'
    '"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}'
)
SCOPE = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
TARGET = "DynamoDB_20120810.CreateTable"
PATHS = (
    "/",
    "/api/status",
    "/api/faults",
    "/status",
    "/health",
    "/2018-06-01/runtime/invocation/next",
    "/_ministack/reset",
)


def paths_for(lab: Lab, port: int) -> tuple[str, ...]:
    """The paths to try; DNS over TCP takes a request for the length of a message and waits, so one is enough there."""
    return PATHS[:1] if port == lab.topology.dns_port else PATHS


def supervisor_pid(lab: Lab) -> int:
    """The process that all others of the lab descend from."""
    parts = lab.status()["parts"]["supervisor"]["parts"]
    return int(next(part["pid"] for part in parts if part["part"] == "supervisor"))


def processes_of(root: int) -> set[int]:
    """A process and all its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def socket_inodes(pid: int) -> set[str]:
    """The inodes of the sockets that a process holds."""
    found = set()
    with contextlib.suppress(FileNotFoundError):  # an execution environment has ended
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found


@pytest.fixture
def ports(lab: Lab) -> list[tuple[str, int]]:
    found = listening_ports(lab.topology.block)
    opened = {(region.address, port) for region in lab.topology.regions for port in (4566, 8080)}
    opened |= {(lab.topology.global_address, port) for port in (4566, 8000, 5300)}
    assert opened <= set(found)
    return found


def test_a_rebound_name_is_refused_on_every_port(lab: Lab, ports: list[tuple[str, int]]) -> None:
    for address, port in ports:
        for path in paths_for(lab, port):
            for host in ("evil.example", f"evil.example:{port}"):
                status = status_of(ask(address, port, http("GET", path, host), SILENT_S))
                assert status is None or 400 <= status < 500, f"{address}:{port} answered {status} to {path} as {host}"


def test_a_foreign_origin_is_refused_wherever_something_could_be_changed_or_read(
    lab: Lab, ports: list[tuple[str, int]]
) -> None:
    for address, port in ports:
        if port == lab.topology.http_port:
            continue  # the data plane is the user's own API: its CORS rules are the handler's business
        for path in paths_for(lab, port):
            for method in ("GET", "POST"):
                forged = http(
                    method, path, f"{address}:{port}", {"Origin": EVIL, "Content-Type": "application/json"}, "{}"
                )
                status = status_of(ask(address, port, forged, SILENT_S))
                assert status is None or 400 <= status < 500, f"{address}:{port} answered {status} to {method} {path}"


def test_a_form_creates_nothing(lab: Lab) -> None:
    for region in lab.regions:
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            forged = http(
                "POST",
                "/",
                f"{region.address}:4566",
                {"Content-Type": content_type, "X-Amz-Target": TARGET},
                CREATE_TABLE,
            )
            assert status_of(ask(region.address, 4566, forged)) == 403
        assert "forged" not in region.client("dynamodb").list_tables()["TableNames"]


def test_even_a_signed_call_with_a_foreign_origin_creates_nothing(lab: Lab) -> None:
    for region in lab.regions:
        forged = http(
            "POST",
            "/",
            f"{region.address}:4566",
            {
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": TARGET,
                "Authorization": SCOPE,
                "Origin": EVIL,
            },
            CREATE_TABLE,
        )
        assert status_of(ask(region.address, 4566, forged)) == 403
        assert "forged" not in region.client("dynamodb").list_tables()["TableNames"]


def test_control_wants_its_token(lab: Lab) -> None:
    address, port = lab.topology.global_address, lab.topology.control_port
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        for method, path in (("GET", "/api/status"), ("POST", "/api/faults"), ("DELETE", "/api/faults")):
            body = '{"effect":"down","region":"us-east-1"}' if method == "POST" else ""
            answer = ask(address, port, http(method, path, f"{address}:{port}", headers, body))
            assert status_of(answer) in (401, 403)
    assert not lab.faults.faults


def test_a_path_form_api_cannot_be_called_by_a_page(lab: Lab) -> None:
    for region in lab.regions:
        api = region.client("apigateway").get_rest_apis()["items"][0]["id"]
        for path in (f"/_aws/execute-api/{api}/prod/health", f"/restapis/{api}/prod/_user_request_/health"):
            host = f"{region.address}:4566"
            assert status_of(ask(region.address, 4566, http("GET", path, host))) == 200
            assert status_of(ask(region.address, 4566, http("GET", path, host, {"Origin": EVIL}))) == 403
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert status_of(ask(region.address, 4566, http("POST", path, host, form, "a=b"))) == 403


def test_nothing_of_the_lab_listens_beyond_loopback(lab: Lab) -> None:
    inodes = {inode for pid in processes_of(supervisor_pid(lab)) for inode in socket_inodes(pid)}
    seen = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] not in inodes or (table.startswith("/proc/net/tcp") and fields[3] != LISTEN):
                continue
            address_hex = fields[1].split(":")[0]
            seen += 1
            assert len(address_hex) == 8 and bytes.fromhex(address_hex)[3] == 127, f"{table}: {line}"
    assert seen >= 7
