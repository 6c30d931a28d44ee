"""API Gateway's deployments and stages: what the data planes serve is a deployment's snapshot, not the edited API.

https://docs.aws.amazon.com/apigateway/latest/api/API_CreateDeployment.html. Canaries, caches, logs' settings and
throttling are stored at most, never acted on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.control.apigateway import patch
from lab.control.apigateway.integration import deployed
from lab.control.apigateway.records import Api, ApiStage, Deployment
from lab.control.apigateway.state import ApiGatewayState, page, when
from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.live.clock import now_ms


class StagesPlane:
    """Operations on deployments and stages."""

    def __init__(self, state: ApiGatewayState) -> None:
        self._state = state

    # deployments

    def create_deployment(self, call: Call) -> dict[str, Any]:
        api = self._state.api(call)
        given = call.parameters
        methods = [(resource, name) for resource in api.resources for name in resource.methods]
        if not methods:
            raise AwsError("BadRequestException", "The REST API doesn't contain any methods")
        if any("methodIntegration" not in resource.methods[name] for resource, name in methods):
            raise AwsError("BadRequestException", "No integration defined for method")
        snapshot = tuple(deployed(r.resource_id, r.path, r.methods, api.region) for r in api.resources if r.methods)
        deployment = Deployment(self._state.new_id(6), now_ms(), snapshot, given.get("description", ""))
        api = replace(api, deployments=(*api.deployments, deployment))
        stage_name = given.get("stageName")
        if stage_name:
            api = _deployed_to(api, stage_name, deployment, given)
        self._state.keep_api(api)
        return _deployment(deployment)

    def get_deployment(self, call: Call) -> dict[str, Any]:
        return _deployment(_find_deployment(self._state.api(call), call.parameters["deploymentId"]))

    def get_deployments(self, call: Call) -> dict[str, Any]:
        return page([_deployment(deployment) for deployment in self._state.api(call).deployments], call)

    def update_deployment(self, call: Call) -> dict[str, Any]:
        api = self._state.api(call)
        deployment = _find_deployment(api, call.parameters["deploymentId"])
        changed = patch.apply(call.parameters.get("patchOperations", []), {"/description": ("description", patch.text)})
        updated = replace(deployment, **changed)
        self._state.keep_api(replace(api, deployments=_swap(api.deployments, deployment, updated)))
        return _deployment(updated)

    def delete_deployment(self, call: Call) -> dict[str, Any]:
        api = self._state.api(call)
        deployment = _find_deployment(api, call.parameters["deploymentId"])
        if any(stage.deployment_id == deployment.deployment_id for stage in api.stages):
            raise AwsError(
                "BadRequestException",
                "Active stages pointing to this deployment must be moved or deleted",
            )
        self._state.keep_api(replace(api, deployments=_swap(api.deployments, deployment, None)))
        return {}

    # stages

    def create_stage(self, call: Call) -> dict[str, Any]:
        api = self._state.api(call)
        given = call.parameters
        _find_deployment(api, given["deploymentId"])
        if any(stage.name == given["stageName"] for stage in api.stages):
            raise AwsError("ConflictException", "Stage already exists")
        stage = _new_stage(given["stageName"], given["deploymentId"], given)
        self._state.keep_api(replace(api, stages=(*api.stages, stage)))
        return _stage(stage)

    def get_stage(self, call: Call) -> dict[str, Any]:
        return _stage(_find_stage(self._state.api(call), call.parameters["stageName"]))

    def get_stages(self, call: Call) -> dict[str, Any]:
        wanted = call.parameters.get("deploymentId")
        stages = self._state.api(call).stages
        return {"item": [_stage(stage) for stage in stages if wanted in (None, stage.deployment_id)]}

    def update_stage(self, call: Call) -> dict[str, Any]:
        api = self._state.api(call)
        stage = _find_stage(api, call.parameters["stageName"])
        variables, settings = dict(stage.variables), dict(stage.settings)
        stored: list[dict[str, Any]] = []
        acted_on: list[dict[str, Any]] = []
        for operation in call.parameters.get("patchOperations", []):
            head = operation.get("path", "").strip("/").partition("/")[0]
            (acted_on if head in ("deploymentId", "description", "variables") else stored).append(operation)
        changed = patch.apply(
            acted_on,
            {"/deploymentId": ("deployment_id", patch.text), "/description": ("description", patch.text)},
            maps={"variables": variables},
        )
        for operation in stored:
            if operation.get("path") == "/tracingEnabled":
                settings["tracingEnabled"] = patch.flag(operation.get("value"))
            # Caches, logs and throttling are accepted and have no effect: clients set them as a matter of course.
        if "deployment_id" in changed:
            _find_deployment(api, changed["deployment_id"])
        updated = replace(stage, variables=variables, settings=settings, updated_ms=now_ms(), **changed)
        self._state.keep_api(replace(api, stages=_swap(api.stages, stage, updated)))
        return _stage(updated)

    def delete_stage(self, call: Call) -> dict[str, Any]:
        api = self._state.api(call)
        stage = _find_stage(api, call.parameters["stageName"])
        for domain in self._state.domains_of(call.region):
            if any((m.api_id, m.stage) == (api.api_id, stage.name) for m in domain.mappings):
                raise AwsError(
                    "BadRequestException",
                    "Please remove all base path mappings related to the stage in your domains first "
                    f"({domain.domain_name})",
                )
        self._state.keep_api(replace(api, stages=_swap(api.stages, stage, None)))
        return {}


def _swap(items: tuple[Any, ...], old: Any, new: Any | None) -> tuple[Any, ...]:
    swapped = tuple(new if item is old else item for item in items)
    return tuple(item for item in swapped if item is not None)


def _deployed_to(api: Api, stage_name: str, deployment: Deployment, given: dict[str, Any]) -> Api:
    for stage in api.stages:
        if stage.name == stage_name:
            variables = {**stage.variables, **given.get("variables", {})}
            moved = replace(stage, deployment_id=deployment.deployment_id, variables=variables, updated_ms=now_ms())
            return replace(api, stages=_swap(api.stages, stage, moved))
    settings = {**given, "description": given.get("stageDescription", "")}
    return replace(api, stages=(*api.stages, _new_stage(stage_name, deployment.deployment_id, settings)))


def _new_stage(name: str, deployment_id: str, given: dict[str, Any]) -> ApiStage:
    if not name or not all(letter.isalnum() or letter in "_-" for letter in name) or len(name) > 128:
        raise AwsError("BadRequestException", "Stage name only allows a-zA-Z0-9_- (hyphen and underscore)")
    created_ms = now_ms()
    return ApiStage(
        name,
        deployment_id,
        created_ms,
        created_ms,
        variables=given.get("variables", {}),
        description=given.get("description", ""),
        tags=given.get("tags", {}),
        settings={"tracingEnabled": given.get("tracingEnabled", False)},
    )


def _find_deployment(api: Api, deployment_id: str) -> Deployment:
    for deployment in api.deployments:
        if deployment.deployment_id == deployment_id:
            return deployment
    raise AwsError("NotFoundException", "Invalid Deployment identifier specified")


def _find_stage(api: Api, name: str) -> ApiStage:
    for stage in api.stages:
        if stage.name == name:
            return stage
    raise AwsError("NotFoundException", "Invalid stage identifier specified")


def _deployment(deployment: Deployment) -> dict[str, Any]:
    return {
        "id": deployment.deployment_id,
        "description": deployment.description or None,
        "createdDate": when(deployment.created_ms),
    }


def _stage(stage: ApiStage) -> dict[str, Any]:
    return {
        "deploymentId": stage.deployment_id,
        "stageName": stage.name,
        "description": stage.description or None,
        "cacheClusterEnabled": False,
        "cacheClusterStatus": "NOT_AVAILABLE",
        "methodSettings": {},
        "variables": dict(stage.variables) or None,
        "tags": dict(stage.tags) or None,
        "createdDate": when(stage.created_ms),
        "lastUpdatedDate": when(stage.updated_ms),
        **stage.settings,
    }
