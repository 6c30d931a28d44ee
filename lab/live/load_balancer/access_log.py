"""Access logs: STATE/logs/load-balancers/REGION/NAME.log, written in batches, one old file kept.

Every load balancer has one in the lab; AWS writes them to S3 where `access_logs.s3.enabled` says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from lab.core.alb_access_log import AccessLogEntry, format_entry
from lab.core.alb_response import Answer
from lab.live.clock import now_ms
from lab.live.load_balancer.exchange import AlbRequest, Trail

FLUSH_S = 0.5
BATCH_MAX = 64
"""So many lines are written at once: more would hold up requests."""
FILE_BYTES_MAX = 8 * 1024 * 1024


class AccessLogs:
    """The access logs of one region's load balancers."""

    def __init__(self, folder: Path, log: Callable[[str], None]) -> None:
        self._folder, self._log = folder, log
        self._entries: list[tuple[str, AccessLogEntry]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, balancer_name: str, entry: AccessLogEntry) -> None:
        """Note one request; it is on disk within half a second."""
        self._entries.append((balancer_name, entry))
        if len(self._entries) >= BATCH_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what is noted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines: dict[str, list[str]] = {}
        for name, entry in self._entries:
            lines.setdefault(name, []).append(format_entry(entry))
        self._entries.clear()
        for name, texts in lines.items():
            try:
                self._append(self._folder / f"{name}.log", "\n".join(texts) + "\n")
            except OSError as error:
                self._log(f"load balancer {name}: cannot write its access log: {error}")

    def _append(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
            size = file.tell()
        if size > FILE_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))


def access_log_entry(trail: Trail, request: AlbRequest, answer: Answer | None, now_s: float) -> AccessLogEntry:
    """What became of a request; `answer` None if the client left before it. `now_s` by the loop's clock."""
    sent, back = trail.sent_to_target_s, trail.answered_by_target_s
    listener = trail.listener
    cipher, version, name = request.tls or ("-", "-", "-")
    host = request.header("host") or trail.balancer.dns_name
    url = request.target if "://" in request.target else (
        f"{listener.protocol.lower()}://{host.partition(':')[0]}:{listener.port}{request.target}"
    )  # fmt: skip
    return AccessLogEntry(
        type="https" if listener.protocol == "HTTPS" else "http",
        time_ms=now_ms(),
        balancer_id=trail.balancer.id,
        client=request.client[0],
        client_port=request.client[1],
        target=trail.target,
        request_processing_s=-1 if sent is None else sent - request.received_s,
        target_processing_s=-1 if sent is None or back is None else back - sent,
        response_processing_s=-1 if back is None else now_s - back,
        elb_status=460 if answer is None else answer.status,
        target_status=trail.target_status,
        received_bytes=request.bytes,
        sent_bytes=0 if answer is None else len(answer.body) + sum(len(n) + len(v) for n, v in answer.headers),
        method=request.method,
        url=url,
        http_version=request.http_version,
        user_agent=request.header("user-agent") or "-",
        target_group_arn=trail.target_group_arn,
        trace_id=trail.trace_id,
        created_ms=request.received_ms,
        domain_name=name,
        certificate_arn=listener.certificate_arns[0] if listener.certificate_arns else "-",
        ssl_cipher=cipher,
        ssl_protocol=version,
        rule_priority=trail.rule_priority,
        actions=trail.action,
        redirect_url=trail.redirect_url,
        error_reason=(answer.reason if answer else None) or "-",
        connection_id=request.connection_id,
    )
