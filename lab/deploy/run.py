"""A whole deployment: everything of all regions in the order in which things need each other, in parallel.

`Deployment` may be made before the lab answers (imports and clients take a while); `run` needs it up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.core.deployment import DeploymentPlan, FunctionPlan
from lab.core.topology import Topology
from lab.deploy.clients import Clients
from lab.deploy.function import deploy_function, deploy_role, permit_api
from lab.deploy.import_check import check_import
from lab.deploy.package import make_package, needs_installing
from lab.deploy.records import deploy_records
from lab.deploy.rest_api import DeployedApi, deploy_domain, deploy_routes, find_or_create_api
from lab.deploy.table import deploy_table
from lab.deploy.verify import replicate_each_way, request_health
from lab.errors import LabFault, UserError

Say = Callable[[dict[str, Any]], None]


class Deployment:
    """One deployment of a plan. `say` is given small JSON objects as steps end.

    With `again` there may be functions that work: all handlers are imported before anything is changed.
    """

    def __init__(self, topology: Topology, plan: DeploymentPlan, say: Say, *, again: bool = False) -> None:
        self._again = again
        self._topology, self._plan, self._say = topology, plan, say
        self._regions = topology.region_codes
        self._cache = Path(topology.state_dir) / "cache"
        self._began = time.monotonic()
        self._packages = {function.name: self._make_package(function) for function in plan.functions}
        self._clients = Clients(topology)

    def run(self) -> dict[str, Any]:
        """Deploy and prove it; the result as `lab up --json` prints it. Raises LabError."""
        self._began = time.monotonic()
        try:
            with ThreadPoolExecutor(2 * len(self._regions) + 2) as pool:
                return self._run(pool)
        except ClientError as error:
            raise LabFault(f"deployment: {error}") from error
        except BotoCoreError as error:
            raise LabFault(f"deployment: the lab does not answer as expected: {error}") from error

    def _run(self, pool: ThreadPoolExecutor) -> dict[str, Any]:
        checked = self._function_that_answers_health()
        imports = [pool.submit(self._check_import, f) for f in self._plan.functions if self._again or f is not checked]
        if self._again:
            for done in imports:
                done.result()
        tables = pool.submit(self._deploy_tables)
        role = pool.submit(deploy_role, self._clients.get(None, "iam"))
        regional = [pool.submit(self._deploy_region, region, role) for region in self._regions]
        apis = [future.result() for future in regional]
        tables.result()
        for done in imports:
            done.result()
        # The request starts each region's first environment. The health checkers come after it and find that one warm:
        # they are many, and all at once they would start an environment each.
        health = {api.region: pool.submit(self._request_health, api, checked) for api in apis}
        replicated = replicate_each_way(self._clients, self._plan, self._regions)
        for way in replicated:
            self._step("replicated", f"{way['source']} to {way['target']} in {way['ms']:g} ms")
        answers = {region: future.result() for region, future in health.items()}
        for region, answer in answers.items():
            self._step("request", f"GET {answer['path']} in {region}: {answer['status']} in {answer['ms']} ms")
        checks = deploy_records(self._clients.get(None, "route53"), self._plan, apis)
        self._step("records", self._plan.api_domain)
        return {
            "apis": {api.region: {"id": api.api_id, "domain_target": api.domain_target} for api in apis},
            "health_checks": checks,
            "requests": answers,
            "replicated": replicated,
        }

    def _make_package(self, function: FunctionPlan) -> bytes:
        folder = Path(function.folder)
        if needs_installing(folder, self._cache):
            self._step("install", f"what {function.name}/requirements.txt asks for, with pip")
        return make_package(folder, self._cache)

    def _function_that_answers_health(self) -> FunctionPlan | None:
        """The function that the proof calls for real; all others are only imported."""
        path = self._plan.health_check.path if self._plan.health_check else None
        found = [function for route, function in self._plan.routes if route.path == path and route.method != "POST"]
        return found[0] if found else None

    def _check_import(self, function: FunctionPlan) -> None:
        region = self._topology.regions[0]
        check_import(function, region.code, f"http://{region.address}:{self._topology.aws_port}", self._cache)

    def _request_health(self, api: DeployedApi, function: FunctionPlan | None) -> dict[str, Any]:
        try:
            return request_health(self._topology, self._plan, api)
        except UserError:
            if function is not None:
                self._check_import(function)  # says why, if it is the import
            raise

    def _deploy_tables(self) -> None:
        dynamodb = self._clients.get(self._regions[0], "dynamodb")
        for table in self._plan.tables:
            deploy_table(dynamodb, table, self._regions)
            self._step("table", f"{table.name} in {len(self._regions)} regions")

    def _deploy_region(self, region: str, role: Future[str]) -> DeployedApi:
        gateway, functions = self._clients.get(region, "apigateway"), self._clients.get(region, "lambda")
        api_id = find_or_create_api(gateway, self._plan)
        role_arn = role.result()
        for function in self._plan.functions:
            done = deploy_function(functions, function, self._packages[function.name], role_arn)
            permit_api(functions, function.name, region, api_id)
            self._step("function", f"{function.name} in {region} {done}")
        deploy_routes(gateway, self._plan, region, api_id)
        api = deploy_domain(gateway, self._plan, region, api_id)
        self._step("api", f"{api_id} in {region}")
        return api

    def _step(self, step: str, detail: str) -> None:
        ms = round((time.monotonic() - self._began) * 1000)
        self._say({"event": "step", "step": step, "detail": detail, "ms": ms})
