"""Whether a web page could have forged a request: wrong `Host`, foreign `Origin`, a form's body.

A page can make a browser send requests to loopback addresses, and a name that its owner points at them (DNS rebinding)
makes even the answers readable. Real clients (SDKs, CLI, curl) never look like that. What a port allows is its own
business; this file only judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[str, str]]

FORM_MEDIA_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""What an HTML form can send, and what a script can send to another origin without asking first."""


@dataclass(frozen=True)
class HostRule:
    """The names that a port answers to: exact ones, and every name that ends with one of `suffixes` (".example")."""

    names: frozenset[str]
    suffixes: tuple[str, ...] = ()

    def allows(self, host: str) -> bool:
        """Whether a name (lower case, without a port) is one of ours."""
        return host in self.names or host.endswith(self.suffixes)


@dataclass(frozen=True)
class Forged:
    """Why a request is refused. `status` is 421 for a wrong Host, else 403."""

    status: int
    message: str


def host_rule(addresses: Iterable[str], suffixes: Iterable[str] = ()) -> HostRule:
    """The rule of a port of the lab: its addresses, `localhost` names, and what `suffixes` adds."""
    return HostRule(frozenset({"localhost", *addresses}), (".localhost", *suffixes))


def aws_host_rule(addresses: Iterable[str], region: str) -> HostRule:
    """The rule of a region's AWS endpoint: its addresses, localhost names and AWS's own names of the region."""
    return host_rule(
        (
            *addresses,
            f"s3.{region}.amazonaws.com",
            f"s3-{region}.amazonaws.com",
        ),
        (f".{region}.amazonaws.com", f".{region}.api.aws"),
    )


def host_name(host: str) -> str:
    """A Host header's name in lower case, without its port and final dot."""
    name, separator, port = host.strip().lower().rpartition(":")
    if not separator or not port.isdigit():
        name = host.strip().lower()
    return name.rstrip(".")


def forged_host(headers: Headers, rule: HostRule) -> Forged | None:
    """Refuse a missing, repeated or unknown Host."""
    hosts = [value for name, value in headers if name.lower() == "host"]
    if len(hosts) != 1:
        return Forged(421, f"a request has one Host header, this one has {len(hosts)}")
    if rule.allows(host_name(hosts[0])):
        return None
    return Forged(421, f"Host {hosts[0]!r} is not a name of this address: call it by its address or its AWS name")


def forged_origin(headers: Headers) -> Forged | None:
    """Refuse what a browser sends on behalf of another site's page."""
    host, origin, fetch_site = "", None, None
    for name, value in headers:
        match name.lower():
            case "host":
                host = value.strip().lower()
            case "origin":
                origin = value.strip().lower()
            case "sec-fetch-site":
                fetch_site = value.strip().lower()
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return Forged(403, f"a request with the Origin {origin!r} is refused: web pages may not call this address")
    if fetch_site in ("cross-site", "same-site"):
        return Forged(403, "a request that another site's page started is refused")
    return None


def forged_form(method: str, headers: Headers) -> Forged | None:
    """Refuse a POST with a body type that an HTML form could send.

    A request with an `Authorization` header is never a form's: a script that sets it asks for permission first
    (CORS preflight), and the lab never gives it.
    """
    if method != "POST":
        return None
    media_type = ""
    for name, value in headers:
        lower = name.lower()
        if lower == "authorization":
            return None
        if lower == "content-type":
            media_type = value.partition(";")[0].strip().lower()
    if media_type in FORM_MEDIA_TYPES:
        return Forged(
            403, f"a body of type {media_type} is refused without a signature: send `Content-Type: application/json`"
        )
    return None


def forged(method: str, headers: Headers, rule: HostRule) -> Forged | None:
    """All three judgements: for AWS endpoints, path-form APIs and control."""
    return forged_host(headers, rule) or forged_origin(headers) or forged_form(method, headers)
