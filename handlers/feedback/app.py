"""Feedback that any region takes and every region serves: POST /feedback, GET /feedback/{id}, GET /health.

A plain Lambda function behind API Gateway (REST, AWS_PROXY). Its environment:

TABLE_NAME          the DynamoDB table, partition key `feedback_id` (S)
AWS_REGION          set by Lambda
HEALTH_CHECK_URLS   optional, separated by commas: what `GET /health` calls besides the table
STATUS              optional: the status that `GET /health` answers with whatever it finds, such as 503
"""

import json
import os
import uuid
from urllib.error import URLError
from urllib.request import Request, urlopen

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = os.environ["AWS_REGION"]
TABLE_NAME = os.environ.get("TABLE_NAME", "feedback")
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
    """Route by the API's resource, as API Gateway names it in the event."""
    route = f"{event['httpMethod']} {event['resource']}"
    if route == "POST /feedback":
        return create_feedback()
    if route == "GET /feedback/{id}":
        return read_feedback(event["pathParameters"]["id"])
    if route == "GET /health":
        return check_health()
    return respond(404, {"message": f"no route {route}", "region": REGION})


def create_feedback():
    """Put a new item that tells which region took it."""
    item = {"feedback_id": str(uuid.uuid4()), "value": f"This item is coming from {REGION}"}
    try:
        dynamodb.put_item(TableName=TABLE_NAME, Item={name: {"S": value} for name, value in item.items()})
    except (BotoCoreError, ClientError) as error:
        return respond(503, {"message": f"cannot write feedback: {error}", "region": REGION})
    return respond(201, {**item, "region": REGION})


def read_feedback(feedback_id):
    """Read an item, whichever region it was written in."""
    try:
        answer = dynamodb.get_item(TableName=TABLE_NAME, Key={"feedback_id": {"S": feedback_id}})
    except (BotoCoreError, ClientError) as error:
        return respond(503, {"message": f"cannot read feedback: {error}", "region": REGION})
    if "Item" not in answer:
        return respond(404, {"message": f"no feedback {feedback_id}", "region": REGION})
    item = {name: value.get("S") for name, value in answer["Item"].items()}
    return respond(200, {**item, "region": REGION})


def check_health():
    """Call everything that the other routes need; each call is bounded in time."""
    if os.environ.get("STATUS"):
        return respond_forced(os.environ["STATUS"])
    failed = {}
    try:
        probing_dynamodb.get_item(TableName=TABLE_NAME, Key={"feedback_id": {"S": "health"}})
    except (BotoCoreError, ClientError) as error:
        failed["dynamodb"] = str(error)
    for url in filter(None, (url.strip() for url in os.environ.get("HEALTH_CHECK_URLS", "").split(","))):
        problem = call(url)
        if problem:
            failed[url] = problem
    return respond(503 if failed else 200, {"region": REGION, "healthy": not failed, "failed": failed})


def respond_forced(status):
    """The answer that the variable STATUS asks for."""
    code = int(status) if status.isdigit() and 200 <= int(status) <= 599 else 503
    return respond(code, {"region": REGION, "healthy": code < 400, "failed": {}, "forced": status})


def call(url):
    """What is wrong with a URL, or None."""
    try:
        with urlopen(Request(url, headers={"User-Agent": "feedback-health"}), timeout=TIMEOUT_S) as answer:
            return None if 200 <= answer.status < 400 else f"status {answer.status}"
    except (URLError, OSError, ValueError) as error:
        return str(error)


def respond(status, body):
    """A response as API Gateway's proxy integration wants it."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": json.dumps(body),
    }
