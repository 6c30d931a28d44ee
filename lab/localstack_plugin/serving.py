"""What LocalStack's web server takes: at least what a front lets through, so that the front alone answers for sizes.

Twisted takes 16 KB of request line and headers together and 500 headers, and answers more with 400 or a closed
connection. API Gateway takes a URL of 10,240 characters beside headers of 10,240 bytes, of however many names, and a
front adds what it tells of the request (`lab.localstack_plugin.events`), which repeats URL and headers.
"""

from __future__ import annotations

from lab.live.http_server import MAX_HEADER_BYTES

HEAD_BYTES_MAX = 4 * MAX_HEADER_BYTES


def install() -> None:
    """Raise the limits; before LocalStack listens."""
    from twisted.web.http import HTTPChannel  # type: ignore[import-not-found]

    HTTPChannel.totalHeadersSize = HEAD_BYTES_MAX
    HTTPChannel.MAX_LENGTH = HEAD_BYTES_MAX
    HTTPChannel.maxHeaders = MAX_HEADER_BYTES
