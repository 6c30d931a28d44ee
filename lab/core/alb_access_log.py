"""One line of a load balancer's access log, in AWS's format.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html#access-log-entry-format
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(slots=True)
class AccessLogEntry:
    """What happened to one request. Times are epoch milliseconds or seconds; -1 seconds means that it did not happen.

    `target` is "ADDRESS:PORT" or a function's ARN, None if none was reached. `rule_priority` is 0 for the default rule,
    None if it did not come to the rules. `actions` are like "forward". A request that is no HTTP has the method "-".
    """

    type: str
    time_ms: int
    balancer_id: str
    client: str
    client_port: int
    target: str | None
    request_processing_s: float
    target_processing_s: float
    response_processing_s: float
    elb_status: int | None
    target_status: int | None
    received_bytes: int
    sent_bytes: int
    method: str
    url: str
    http_version: str
    user_agent: str
    target_group_arn: str | None
    trace_id: str
    created_ms: int
    domain_name: str = "-"
    certificate_arn: str = "-"
    ssl_cipher: str = "-"
    ssl_protocol: str = "-"
    rule_priority: int | None = 0
    actions: str = "-"
    redirect_url: str = "-"
    error_reason: str = "-"
    connection_id: str = "-"


def timestamp(time_ms: int) -> str:
    """ISO 8601 with microseconds, "2018-07-02T22:23:00.186000Z"."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{_to_the_second(seconds)}.{ms:03d}000Z"


@functools.lru_cache(maxsize=16)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _quoted(text: str) -> str:
    r"""A field in quotes; what could end it or the line is written as \xHH."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    safe = "".join(char if char.isprintable() and char not in '"\\' else f"\\x{ord(char):02x}" for char in text)
    return f'"{safe}"'


def _seconds(value: float) -> str:
    return "-1" if value < 0 else f"{value:.3f}"


def format_entry(entry: AccessLogEntry) -> str:
    """The line, without its end."""
    is_function = entry.target is not None and entry.target.startswith("arn:")
    return " ".join(
        (
            entry.type,
            timestamp(entry.time_ms),
            entry.balancer_id,
            f"{entry.client}:{entry.client_port}",
            "-" if entry.target is None or is_function else entry.target,
            _seconds(entry.request_processing_s),
            _seconds(entry.target_processing_s),
            _seconds(entry.response_processing_s),
            "-" if entry.elb_status is None else str(entry.elb_status),
            "-" if entry.target_status is None else str(entry.target_status),
            str(entry.received_bytes),
            str(entry.sent_bytes),
            _quoted(
                f"{entry.method} {entry.url} HTTP/{entry.http_version}" if entry.method != "-" else f"- {entry.url}- -"
            ),
            _quoted(entry.user_agent),
            entry.ssl_cipher,
            entry.ssl_protocol,
            entry.target_group_arn or "-",
            _quoted(entry.trace_id),
            _quoted(entry.domain_name),
            _quoted(entry.certificate_arn),
            "-" if entry.rule_priority is None else str(entry.rule_priority),
            timestamp(entry.created_ms),
            _quoted(entry.actions),
            _quoted(entry.redirect_url),
            _quoted(entry.error_reason),
            _quoted("-" if entry.target is None or is_function else entry.target),
            _quoted("-" if entry.target_status is None else str(entry.target_status)),
            _quoted("-"),
            _quoted("-"),
            entry.connection_id,
        )
    )
