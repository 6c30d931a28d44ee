"""S3 static websites: which bucket a Host means, what its website configuration makes of a request, S3's error pages.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html. Simplified: routing rules and a redirect of
one object are not followed.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from lab.core.zone import Zones

_NAMESPACE = re.compile(r"\{[^}]*\}")
_ENDPOINT = re.compile(r"s3-website[.-]([a-z0-9-]+)\.amazonaws\.com\.?$")
_REASONS = {403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


@dataclass(frozen=True)
class Website:
    """A bucket's website configuration. `redirect_host` None means that objects are served, `protocol` as requested."""

    index_suffix: str = "index.html"
    error_key: str | None = None
    redirect_host: str | None = None
    redirect_protocol: str | None = None


def parse_website(body: bytes) -> Website:
    """A WebsiteConfiguration document. Raises ValueError for what is none."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ValueError(f"the website configuration is no XML: {error}") from None
    found = {}
    for parent in root:
        for child in parent:
            found[_NAMESPACE.sub("", parent.tag), _NAMESPACE.sub("", child.tag)] = child.text or ""
    return Website(
        found.get(("IndexDocument", "Suffix"), "index.html"),
        found.get(("ErrorDocument", "Key")),
        found.get(("RedirectAllRequestsTo", "HostName")),
        found.get(("RedirectAllRequestsTo", "Protocol")),
    )


def object_path(bucket: str, key: str) -> str:
    """The path of an object in S3's API."""
    return f"/{bucket}/{quote(key, safe='/~')}"


def key_of(path: str, website: Website) -> str:
    """The object that a request's path (percent-encoded) means; a path that ends with a slash means its index."""
    key = unquote(path.removeprefix("/"))
    return key + website.index_suffix if not key or key.endswith("/") else key


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
