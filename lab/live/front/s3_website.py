"""Serves S3 static websites on the data plane's port, from the buckets of the region's engine.

Which Host is a website and what its configuration means is `lab.core.s3_website`'s decision. Objects are served to
everyone: the lab enforces no bucket policies, so that what is missing is 404 and never 403.
"""

from __future__ import annotations

from urllib.parse import unquote

from lab.core.aws_route import s3_problem
from lab.core.s3_website import WebsiteHosts, error_page, key_of, location, object_path
from lab.core.s3_website_configuration import REDIRECT_STATUS, RoutingRule, Website, WebsiteRefused, parse_website
from lab.core.zone import Zones
from lab.live.documents import DocumentStore
from lab.live.front.engine_calls import EngineCalls, EngineFailed
from lab.live.front.injected_fault import InjectedFaults
from lab.live.http_message import Request, Response

_HTML = [("Content-Type", "text/html; charset=utf-8")]
_KEPT = frozenset({"cache-control", "content-disposition", "content-encoding", "content-language", "content-type"}) | {
    "etag",
    "expires",
    "last-modified",
}


class Websites:
    """The S3 websites of one region."""

    def __init__(self, region: str, store: DocumentStore, engine: EngineCalls, faults: InjectedFaults) -> None:
        self._region, self._store, self._engine, self._faults = region, store, engine, faults
        self._hosts: WebsiteHosts | None = None
        store.watch(Zones, self._forget)

    def _forget(self) -> None:
        self._hosts = None

    def bucket_of(self, host: str) -> str | None:
        """The bucket that a Host means; None if it is not S3's."""
        if self._hosts is None:
            self._hosts = WebsiteHosts(self._store.get(Zones), self._region)
        return self._hosts.bucket_of(host)

    async def answer(self, bucket: str, request: Request) -> Response | None:
        """Answer a request to a bucket's website."""

        async def call() -> Response:
            try:
                return await self._answer(bucket, request)
            except EngineFailed as failed:
                return _error(503, "ServiceUnavailable", failed.error.message)

        return await self._faults.around(
            "s3", "GetObject", call, lambda error: _error(error.http_status, error.code, error.message)
        )

    async def _answer(self, bucket: str, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        found = await self._get(f"/{bucket}?website")
        if found.status >= 500:
            return _error(503, "ServiceUnavailable", "Please reduce your request rate.")
        if found.status != 200:
            if b"NoSuchBucket" in found.body or found.status != 404:
                return _error(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)
            message = "The specified bucket does not have a website configuration"
            return _error(404, "NoSuchWebsiteConfiguration", message, BucketName=bucket)
        try:
            website = parse_website(found.body)
        except WebsiteRefused as refused:
            return _error(500, refused.error.code, refused.error.message, BucketName=bucket)
        if website.redirect_host is not None:
            place = f"{website.redirect_protocol or 'http'}://{website.redirect_host}{request.target}"
            return Response(REDIRECT_STATUS, [("Location", place)])
        asked = unquote(request.path.removeprefix("/"))
        rule = website.rule_for(asked)
        if rule is not None:
            return _redirect(rule, request)
        key = key_of(request.path, website)
        served = await self._get(object_path(bucket, key))
        elsewhere = served.header("x-amz-website-redirect-location")
        if served.status == 200 and elsewhere:
            return Response(REDIRECT_STATUS, [("Location", elsewhere)])
        if served.status == 200:
            return Response(200, _kept(served), served.body)
        folder = await self._get(object_path(bucket, f"{key}/{website.index_suffix}"))
        if folder.status == 200:
            return Response(302, [("Location", f"{request.path}/")])
        rule = website.rule_for(asked, 404)
        return await self._not_found(bucket, key, website) if rule is None else _redirect(rule, request)

    async def _not_found(self, bucket: str, key: str, website: Website) -> Response:
        if website.error_key is not None:
            page = await self._get(object_path(bucket, website.error_key))
            if page.status == 200:
                return Response(404, _kept(page), page.body)
        return _error(404, "NoSuchKey", "The specified key does not exist.", Key=key)

    async def _get(self, target: str) -> Response:
        problem = s3_problem(target.partition("?")[0], [], virtual_host=False)
        if problem is not None:
            return Response(404, [], b"NoSuchBucket")
        scope = f"Credential=lab/20260101/{self._region}/s3/aws4_request, SignedHeaders=host, Signature=0"
        headers = [("Authorization", f"AWS4-HMAC-SHA256 {scope}")]
        return await self._engine.forward(Request("GET", target, headers, b"", None, None), idempotent=True)


def _redirect(rule: RoutingRule, request: Request) -> Response:
    place = location(rule, request.header("host") or "", request.path, request.query)
    return Response(rule.status, [("Location", place)])


def _kept(response: Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.headers if name.lower() in _KEPT]


def _error(status: int, code: str, message: str, **details: str) -> Response:
    return Response(status, list(_HTML), error_page(status, code, message, **details))
