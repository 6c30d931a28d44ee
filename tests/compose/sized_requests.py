"""Requests of chosen sizes, written byte by byte, and an API whose handler tells what arrived."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

from lab.deploy.rest_api import integration_uri

ECHO = (
    "import json\n"
    "def handler(event, context):\n"
    "    size = lambda pairs: sum(len(name) + len(value) for name, value in (pairs or {}).items())\n"
    "    told = {'path': len(event['path']), 'context_path': len(event['requestContext']['path']),\n"
    "            'names': len(event['headers']), 'agent': len(event['headers'].get('User-Agent', '')),\n"
    "            'query': size(event['queryStringParameters']), 'body': len(event['body'] or '')}\n"
    "    return {'statusCode': 200, 'body': json.dumps(told)}\n"
)


@dataclass(frozen=True)
class EchoApi:
    """An API of one region that passes every request to a function: its id and Host, and where the front is."""

    api_id: str
    host: str
    address: tuple[str, int]

    def send(
        self, target: str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> tuple[int, dict[str, Any]]:
        """The status and the decoded body. A connection that breaks raises OSError."""
        method = "POST" if body else "GET"
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers or []]
        with socket.create_connection(self.address, timeout=60) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            response = HTTPResponse(connection)
            response.begin()
            return response.status, json.loads(response.read())


def make_echo_api(client: Any, region: str, function: str, address: tuple[str, int]) -> EchoApi:
    """An API that passes every path to a function, deployed."""
    api = client.create_rest_api(name=function, endpointConfiguration={"types": ["REGIONAL"]})
    where = {"restApiId": api["id"]}
    resource = client.create_resource(**where, parentId=api["rootResourceId"], pathPart="{proxy+}")["id"]
    client.put_method(**where, resourceId=resource, httpMethod="ANY", authorizationType="NONE")
    uri = integration_uri(region, function)
    client.put_integration(
        **where, resourceId=resource, httpMethod="ANY", type="AWS_PROXY", integrationHttpMethod="POST", uri=uri
    )
    client.create_deployment(**where, stageName="prod")
    return EchoApi(api["id"], f"{api['id']}.execute-api.{region}.amazonaws.com", address)
