"""IAM and STS on moto's own backends, imported when the first call comes (24 MB, 0.2 s).

moto keeps its records in memory. The calls that changed something are written down and made again after a restart of
control, with moto's chance seeded by their number, so that ids and keys are the same as before; only the dates of
creation are then those of the restart.
"""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson

from lab.control import moto_parts
from lab.core.topology import ACCOUNT_ID
from lab.live.append import append_whole
from lab.live.http_message import Request, Response

_READING = ("Get", "List", "Simulate", "Generate", "Decode", "Assume")
SERVICES = ("iam", "sts")


class MotoServices:
    """The two services. Calls go one after another through one thread: moto's records know no others."""

    def __init__(self, journal: Path) -> None:
        self._journal_path = journal
        self._thread = ThreadPoolExecutor(1, "moto")
        self._responses: dict[str, Any] = {}
        self._written = 0
        self._loading = threading.Lock()

    async def answer(self, service: str, region: str, request: Request) -> Response:
        """Answer one call of IAM or STS."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._answer, service, region, request)

    def of(self, service: str) -> Callable[[str, Request], Any]:
        """`answer` for one service, as the dispatcher wants it."""

        async def answer(region: str, request: Request) -> Response:
            return await self.answer(service, region, request)

        return answer

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _answer(self, service: str, region: str, request: Request) -> Response:
        if not self._responses:
            self._load()
        action = parse_qs(request.body.decode("utf-8", "replace")).get("Action", [""])[0]
        changes = service == "iam" and not action.startswith(_READING)
        if changes:
            self._seed(self._written)
        response = self._perform(service, region, request.headers, request.body)
        if changes and response.status < 300:
            entry = {"region": region, "body": request.body.decode("utf-8", "replace")}
            append_whole(self._journal_path, orjson.dumps(entry) + b"\n")
            self._written += 1
        return response

    def _load(self) -> None:
        os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT_ID
        with moto_parts.loading:
            moto_parts.complete()
            from moto.iam.responses import IamResponse
            from moto.sts.responses import TokenResponse

        self._responses = {"iam": IamResponse, "sts": TokenResponse}
        if not self._journal_path.exists():
            return
        headers = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        for line in self._journal_path.read_bytes().splitlines():
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:  # control was killed while it wrote the last one, before its answer
                continue
            self._seed(self._written)
            self._perform("iam", entry["region"], headers, entry["body"].encode())
            self._written += 1

    @staticmethod
    def _seed(number: int) -> None:
        from moto.moto_api._internal import mock_random

        mock_random.seed(number)

    def _perform(self, service: str, region: str, headers: list[tuple[str, str]], body: bytes) -> Response:
        from moto.core.request import Request as MotoRequest

        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "SERVER_NAME": f"{service}.amazonaws.com",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
        }
        for name, value in headers:
            key = name.upper().replace("-", "_")
            if key == "CONTENT_TYPE":
                environ[key] = value
            elif key not in ("CONTENT_LENGTH", "HOST", "TRANSFER_ENCODING"):
                environ[f"HTTP_{key}"] = value
        request = MotoRequest(environ)
        answered = self._responses[service].dispatch(request, request.url, request.headers)
        status, answer_headers, answer = answered
        raw = answer.encode() if isinstance(answer, str) else answer
        skipped = ("content-length", "status")
        kept = [(str(n), str(v)) for n, v in dict(answer_headers).items() if str(n).lower() not in skipped]
        return Response(int(status), kept, raw)
