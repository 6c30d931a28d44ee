"""The errors that API Gateway itself answers on a REST API's data plane, with AWS's statuses and texts.

https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html. Customised gateway
responses are not imitated. The texts of 413 and 431 are what is seen in the wild, not documented; 414 has the words of
https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html.
"""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class GatewayError:
    """One answer: `{"message": ...}` and `x-amzn-ErrorType`."""

    status: int
    message: str
    error_type: str

    @property
    def body(self) -> bytes:
        return json.dumps({"message": self.message}, separators=(",", ":")).encode()


MISSING_AUTHENTICATION_TOKEN = GatewayError(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
FORBIDDEN = GatewayError(403, "Forbidden", "ForbiddenException")
BAD_INTEGRATION_ANSWER = GatewayError(502, "Internal server error", "InternalServerErrorException")
INVOCATION_REFUSED = GatewayError(500, "Internal server error", "InternalServerErrorException")
INTEGRATION_TIMEOUT = GatewayError(504, "Endpoint request timed out", "InternalServerErrorException")
TOO_MANY_REQUESTS = GatewayError(429, "Too Many Requests", "TooManyRequestsException")
CONTENT_TOO_LARGE = GatewayError(413, "HTTP content length exceeded 10485760 bytes.", "RequestTooLargeException")
EVENT_TOO_LARGE = GatewayError(413, "Request Too Long", "RequestTooLargeException")
HEADERS_TOO_LARGE = GatewayError(431, "Request Header Fields Too Large", "BadRequestException")
URL_TOO_LONG = GatewayError(414, "Request URI too long", "BadRequestException")
BAD_REQUEST = GatewayError(400, "Bad Request", "BadRequestException")
