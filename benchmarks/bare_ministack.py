"""MiniStack alone, as a peer to measure against: its process on a TCP port, clients of it, functions in it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

REGION = "us-east-1"


class BareMiniStack:
    """A running one at `endpoint`."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def client(self, service: str) -> Any:
        """A boto3 client of a service."""
        access = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
        return boto3.client(service, endpoint_url=self.endpoint, **access)

    def create_function(self, name: str, source: str) -> str:
        """Deploy one handler; its ARN."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("app.py", source)
        made = self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role="arn:aws:iam::000000000000:role/x",
            Handler="app.handler",
            Code={"ZipFile": packed.getvalue()},
            Timeout=10,
            Environment={"Variables": {"AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": REGION}},
        )
        return str(made["FunctionArn"])


@contextmanager
def bare_ministack(port: int, folder: Path) -> Iterator[BareMiniStack]:
    """Start it, with its files in a folder, and end it."""
    environment = {
        "PATH": os.environ["PATH"],
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "TMPDIR": str(folder),
        "STATE_DIR": str(folder / "state"),
        "HOME": str(folder),
    }
    command = [sys.executable, "-m", "ministack"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port)
        yield BareMiniStack(port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # it waits for clients that went without a word
            process.kill()
            process.wait()


def _wait_for_port(port: int) -> None:
    """Until something accepts connections there, at most 20 s."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
