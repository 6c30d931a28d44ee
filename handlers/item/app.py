"""Items behind an Application Load Balancer: POST /put, GET /get/{id}, GET /health.

A plain Lambda function as the target of a target group; pages are HTML, as a visitor of the static addresses sees them.
Its environment:

TABLE_NAME   the DynamoDB table, partition key `id` (S)
AWS_REGION   set by Lambda
STATUS       optional: the status that `GET /health` answers with whatever it finds, such as 503
"""

import base64
import html
import json
import os
import uuid
from urllib.parse import parse_qs, unquote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = os.environ["AWS_REGION"]
TABLE_NAME = os.environ.get("TABLE_NAME", "items")
TIMEOUT_S = 1.0

dynamodb = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=TIMEOUT_S, read_timeout=2 * TIMEOUT_S, retries={"total_max_attempts": 2}),
)
probing_dynamodb = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"total_max_attempts": 1}),
)


def handler(event, context):
    """Route by method and path: a load balancer's event has no resource, a health check's hardly a header."""
    method, path = event["httpMethod"], event["path"]
    if method == "POST" and path == "/put":
        return put_item(event)
    if method == "GET" and path.startswith("/get/"):
        return get_item(unquote(path.removeprefix("/get/")))
    if method == "GET" and path == "/health":
        return check_health()
    return page(404, "Not found", f"There is no {html.escape(method)} {html.escape(path)} here.")


def put_item(event):
    """Put a new item; its value is the body's `value` (JSON or a form), or tells which region took it."""
    try:
        value = given_value(event) or f"This item is coming from {REGION}"
    except ValueError as error:
        return page(400, "Bad request", f"The body cannot be read: {html.escape(str(error))}")
    item_id = str(uuid.uuid4())
    try:
        dynamodb.put_item(TableName=TABLE_NAME, Item={"id": {"S": item_id}, "value": {"S": value}})
    except (BotoCoreError, ClientError) as error:
        return page(503, "Cannot write", html.escape(str(error)))
    return page(201, "Item put", html.escape(value), {"X-Item-Id": item_id, "Location": f"/get/{item_id}"})


def given_value(event):
    """The value in the body, or "". Raises ValueError."""
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body, validate=True).decode()
    if not body:
        return ""
    if body.lstrip().startswith("{"):
        return str(json.loads(body).get("value", ""))
    return parse_qs(body).get("value", [""])[0]


def get_item(item_id):
    """Show an item, whichever region it was put in."""
    try:
        answer = dynamodb.get_item(TableName=TABLE_NAME, Key={"id": {"S": item_id}}) if item_id else {}
    except (BotoCoreError, ClientError) as error:
        return page(503, "Cannot read", html.escape(str(error)))
    if "Item" not in answer:
        return page(404, "No such item", f"There is no item {html.escape(item_id)}.")
    return page(200, "Item", html.escape(answer["Item"]["value"]["S"]))


def check_health():
    """Really read the table; the call is bounded in time."""
    forced = os.environ.get("STATUS", "")
    if forced:
        return page(int(forced) if forced.isdigit() and 200 <= int(forced) <= 599 else 503, "Health", "forced")
    try:
        probing_dynamodb.get_item(TableName=TABLE_NAME, Key={"id": {"S": "health"}})
    except (BotoCoreError, ClientError) as error:
        return page(503, "Unhealthy", html.escape(str(error)))
    return page(200, "Healthy", "The table answers.")


def page(status, title, text, headers=None):
    """A response as a load balancer wants it from its target: all of these members, and no others."""
    body = (
        "<!DOCTYPE html>\n"
        f"<html><head><title>{title}</title></head>"
        f"<body><h1>{title}</h1><p>{text}</p><p>Served by {REGION}</p></body></html>\n"
    )
    return {
        "statusCode": status,
        "isBase64Encoded": False,
        "headers": {
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Region": REGION,
            **(headers or {}),
        },
        "body": body,
    }
