"""What a probe has read so far of the response to it: the head, and as much of the body as the check looks at."""

from __future__ import annotations

import httptools

from lab.core.health_probe import CLOSED_EARLY, HEADER_BYTES_MAX, SEARCHED_BYTES, TOO_LARGE, status_reason

COMPRESSED_BYTES_MAX = 64 * 1024
"""How much of a compressed body is read in the hope that 5,120 bytes come out."""


class ProbeResponse:
    """Fed with what comes. `status` once the head is whole, `body` once enough is there, `failure` if neither will."""

    __slots__ = (
        "_body_wanted",
        "_chunks",
        "_header_bytes",
        "_parser",
        "_size",
        "_unparsed",
        "body",
        "encoding",
        "failure",
        "status",
    )

    def __init__(self, *, body_wanted: bool) -> None:
        self.status: int | None = None
        self.body: bytes | None = None
        self.failure: str | None = None
        self.encoding = ""
        self._body_wanted = body_wanted
        self._parser = httptools.HttpResponseParser(self)
        self._unparsed = 0
        self._header_bytes = 0
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        if self.status is None:
            self._unparsed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.failure = status_reason(self._parser.get_status_code())[1]
        except httptools.HttpParserError as error:
            self.failure = self.failure or f"Failure: The response is not valid HTTP: {error}."
        if self.status is None and self._unparsed > HEADER_BYTES_MAX:
            self.failure = TOO_LARGE

    def end(self) -> None:
        """The endpoint has closed the connection."""
        if self.status is not None and self.body is None and not self._parser.should_keep_alive():
            self._finish_body()  # a body that ends with the connection
        elif self.body is None:
            self.failure = self.failure or CLOSED_EARLY

    # httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if name.lower() == b"content-encoding":
            self.encoding = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._header_bytes > HEADER_BYTES_MAX:
            self.failure = TOO_LARGE
        elif status >= 200:
            self.status = status

    def on_body(self, body: bytes) -> None:
        if not self._body_wanted or self.body is not None:
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size >= (COMPRESSED_BYTES_MAX if self.encoding else SEARCHED_BYTES):
            self._finish_body()

    def on_message_complete(self) -> None:
        if self.status is not None and self.body is None:
            self._finish_body()

    def _finish_body(self) -> None:
        self.body = b"".join(self._chunks)
