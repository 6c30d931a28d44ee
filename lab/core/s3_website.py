"""S3 static websites: which bucket a Host means, which object a path, where redirects lead, S3's error pages.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html
"""

from __future__ import annotations

import html
import re
from urllib.parse import quote, unquote

from lab.core.s3_website_configuration import RoutingRule, Website
from lab.core.zone import Zones

_ENDPOINT = re.compile(r"s3-website[.-]([a-z0-9-]+)\.amazonaws\.com\.?$")
_REASONS = {403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def object_path(bucket: str, key: str) -> str:
    """The path of an object in S3's API."""
    return f"/{bucket}/{quote(key, safe='/~')}"


def key_of(path: str, website: Website) -> str:
    """The object that a request's path (percent-encoded) means; a path that ends with a slash means its index."""
    key = unquote(path.removeprefix("/"))
    return key + website.index_suffix if not key or key.endswith("/") else key


def location(rule: RoutingRule, host: str, path: str, query: str) -> str:
    """Where a rule leads a request for a path (percent-encoded) at a Host."""
    key = unquote(path.removeprefix("/"))
    following = f"?{query}" if query else ""
    return f"{rule.protocol or 'http'}://{rule.host or host}/{rule.new_path(key)}{following}"


def error_page(status: int, code: str, message: str, **details: str) -> bytes:
    """S3's page for an error that the bucket has no page for."""
    title = f"{status} {_REASONS.get(status, 'Error')}"
    items = "".join(
        f"<li>{name}: {html.escape(value)}</li>\n"
        for name, value in (("Code", code), ("Message", message), *details.items())
    )
    page = (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n{items}</ul>\n<hr/>\n</body>\n"
    )
    return f"{page}</html>\n".encode()


class WebsiteHosts:
    """The Hosts that lead to S3 websites of one region: the endpoint's own, and names of the zones that lead to it."""

    def __init__(self, zones: Zones, region: str) -> None:
        self._region = region
        leads: dict[str, set[str]] = {}
        for zone in zones.zones:
            for record in zone.record_sets:
                targets = [record.alias.dns_name] if record.alias is not None else []
                targets += record.values if record.type == "CNAME" else ()
                for target in targets:
                    leads.setdefault(target.rstrip(".") + ".", set()).add(record.name)
        found = {target for target in leads if self._is_endpoint(target)}
        left = list(found)
        while left:
            for name in sorted(leads.get(left.pop(), set()) - found):
                found.add(name)
                left.append(name)
        self._names = {name.rstrip(".") for name in found}

    def bucket_of(self, host: str) -> str | None:
        """The bucket that a Host (lower case, no port) means; None if it is not S3's."""
        match = _ENDPOINT.search(host)
        if match is not None and match[1] == self._region:
            return host[: match.start()].rstrip(".") or host
        wildcard = "*." + host.partition(".")[2]
        return host if host in self._names or wildcard in self._names else None

    def _is_endpoint(self, target: str) -> bool:
        match = _ENDPOINT.search(target)
        return match is not None and match[1] == self._region
