"""Tags of Route 53's zones and health checks.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeTagsForResource.html
"""

from __future__ import annotations

from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53.shapes import zone_id
from lab.control.route53.state import Route53State

TAGS_MAX = 50


class TagsPlane:
    """Tags of zones and health checks."""

    def __init__(self, state: Route53State) -> None:
        self._state = state

    def change_tags_for_resource(self, call: Call) -> dict[str, Any]:
        key = self._key(call.parameters["ResourceType"], call.parameters["ResourceId"])
        if not call.parameters.get("AddTags") and not call.parameters.get("RemoveTagKeys"):
            raise AwsError("InvalidInput", "AddTags or RemoveTagKeys must be specified.")
        tags = dict(self._state.value.tags.get(key, {}))
        for tag in call.parameters.get("AddTags", ()):
            tags[tag["Key"]] = tag.get("Value", "")
        for name in call.parameters.get("RemoveTagKeys", ()):
            tags.pop(name, None)
        if len(tags) > TAGS_MAX:
            raise AwsError("InvalidInput", f"A resource has at most {TAGS_MAX} tags.")
        self._state.replace_fields(tags={**self._state.value.tags, key: tags})
        return {}

    def list_tags_for_resource(self, call: Call) -> dict[str, Any]:
        return {"ResourceTagSet": self._tag_set(call.parameters["ResourceType"], call.parameters["ResourceId"])}

    def list_tags_for_resources(self, call: Call) -> dict[str, Any]:
        kind = call.parameters["ResourceType"]
        return {"ResourceTagSets": [self._tag_set(kind, wanted) for wanted in call.parameters["ResourceIds"]]}

    def _key(self, kind: str, wanted: str) -> str:
        if kind == "healthcheck":
            return f"healthcheck/{self._state.health_check(wanted).health_check_id}"
        return f"hostedzone/{self._state.zone(wanted).zone_id}"

    def _tag_set(self, kind: str, wanted: str) -> dict[str, Any]:
        tags = self._state.value.tags.get(self._key(kind, wanted), {})
        return {
            "ResourceType": kind,
            "ResourceId": zone_id(wanted),
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
