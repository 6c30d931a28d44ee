"""The AWS endpoint of the services that AWS has once for all regions: Route 53, IAM, STS, Global Accelerator.

Region faults spare it. Regional services are refused with the addresses where they are; so are requests that a web page
could have forged. https://docs.aws.amazon.com/general/latest/gr/rande.html#global-endpoints
"""

from __future__ import annotations

from collections.abc import Callable

from lab.control.dispatch import Dispatcher
from lab.control.protocol import new_request_id
from lab.core.aws_error import AwsError, error_answer
from lab.core.aws_request import BadSignature, scope_of, wire_protocol
from lab.core.forgery import forged, host_rule
from lab.core.topology import Topology
from lab.live.http_message import Request, Response

GLOBAL_SERVICES = (
    "globalaccelerator",
    "iam",
    "route53",
    "route53-recovery-cluster",
    "route53-recovery-control-config",
    "sts",
)
CODE_PATH = "/lab-function-code/"
"""Where the packages of functions can be fetched, by a path with their hash (as AWS signs such URLs)."""

ReadPackage = Callable[[str, str, str], bytes | None]


class GlobalEndpoint:
    """Answers the requests of BLOCK.0.1's AWS port."""

    def __init__(self, topology: Topology, dispatcher: Dispatcher, read_package: ReadPackage) -> None:
        self._topology, self._dispatcher, self._read_package = topology, dispatcher, read_package
        names = [f"{service}.amazonaws.com" for service in GLOBAL_SERVICES]
        names += [
            f"{s}.{code}.amazonaws.com" for s in GLOBAL_SERVICES for code in (*topology.region_codes, "us-west-2")
        ]
        self._rule = host_rule((*topology.names_of(topology.global_address), *names))

    def code_url(self, region: str, name: str, digest: str) -> str:
        """The URL of a function's package."""
        address, port = self._topology.global_address, self._topology.aws_port
        return f"http://{address}:{port}{CODE_PATH}{region}/{name}/{digest}.zip"

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        refused = forged(request.method, request.headers, self._rule)
        if refused is not None:
            return Response(refused.status, [("Content-Type", "text/plain")], f"{refused.message}\n".encode())
        if request.method == "GET" and request.path.startswith(CODE_PATH):
            return self._package(request.path.removeprefix(CODE_PATH))
        try:
            scope = scope_of(request.headers, request.query)
        except BadSignature as error:
            return _refuse("IncompleteSignature", str(error), "", request, 400)
        if scope is None:
            message = (
                "the request is not signed: sign it with any key (Signature Version 4), e.g. AWS_ACCESS_KEY_ID=lab"
            )
            return _refuse("MissingAuthenticationToken", message, "", request, 403)
        if scope.service not in GLOBAL_SERVICES:
            where = ", ".join(
                f"{region.code} at http://{region.address}:{self._topology.aws_port}"
                for region in self._topology.regions
            )
            message = (
                f"{scope.service} is a regional service and this is the endpoint of the global ones "
                f"({', '.join(GLOBAL_SERVICES)}); regional endpoints: {where}"
            )
            return _refuse("InvalidRequest", message, scope.service, request, 400)
        return await self._dispatcher.answer(scope.service, scope.region, request)

    def _package(self, path: str) -> Response:
        parts = path.removesuffix(".zip").split("/")
        data = self._read_package(parts[0], parts[1], parts[2]) if len(parts) == 3 else None
        if data is None:
            return Response(404, [("Content-Type", "text/plain")], b"no such package\n")
        return Response(200, [("Content-Type", "application/zip")], data)


def _refuse(code: str, message: str, service: str, request: Request, status: int) -> Response:
    made = error_answer(AwsError(code, message, status), wire_protocol(service, request.headers), new_request_id())
    return Response(made.status, made.headers, made.body)
