"""A bucket's website configuration: read, validated as S3 does, and which redirect it makes of a request.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-page-redirect.html. Rules without an error code are looked
at before the object, those with one after it was not found; the first that fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote
from xml.etree import ElementTree

from lab.core.aws_error import AwsError

RULES_MAX = 50
REDIRECT_STATUS = 301
_NAMESPACE = re.compile(r"\{[^}]*\}")
_REDIRECT_CODE = re.compile(r"30[1-9]|3[1-9][0-9]")
_ERROR_CODE = re.compile(r"[45][0-9][0-9]")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_KEY_SAFE = "/~"
_REPLACEMENT_SAFE = "/~#!?&=+%:@,;'()*$"
"""What single-page applications are redirected with (`#!/`) reaches the browser as it was configured."""


class WebsiteRefused(Exception):
    """S3 does not take a configuration; `error` is what it says."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.error = AwsError(code, message, 400)


@dataclass(frozen=True)
class RoutingRule:
    """One routing rule. None for a condition always holds; None for the rest leaves the request's own.

    `replace_prefix` stands for `key_prefix` (before the key without one), `replace_key` for the whole key.
    """

    key_prefix: str | None = None
    error_code: str | None = None
    host: str | None = None
    protocol: str | None = None
    replace_prefix: str | None = None
    replace_key: str | None = None
    status: int = REDIRECT_STATUS

    def new_path(self, key: str) -> str:
        """The path, percent-encoded and without its first slash, that a key is redirected to."""
        if self.replace_key is not None:
            return quote(self.replace_key, safe=_REPLACEMENT_SAFE)
        if self.replace_prefix is None:
            return quote(key, safe=_KEY_SAFE)
        rest = key.removeprefix(self.key_prefix or "")
        return quote(self.replace_prefix, safe=_REPLACEMENT_SAFE) + quote(rest, safe=_KEY_SAFE)


@dataclass(frozen=True)
class Website:
    """A website configuration. `redirect_host` None means that objects are served, `protocol` as requested."""

    index_suffix: str = "index.html"
    error_key: str | None = None
    redirect_host: str | None = None
    redirect_protocol: str | None = None
    rules: tuple[RoutingRule, ...] = ()

    def rule_for(self, key: str, error_code: int | None = None) -> RoutingRule | None:
        """The rule that a request for `key` (decoded, without an index) meets, before its object or after its error."""
        wanted = None if error_code is None else str(error_code)
        for rule in self.rules:
            if rule.error_code == wanted and key.startswith(rule.key_prefix or ""):
                return rule
        return None


def parse_website(body: bytes) -> Website:
    """A WebsiteConfiguration document. Raises WebsiteRefused for one that PutBucketWebsite refuses."""
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two are of unknown encodings
        raise WebsiteRefused("MalformedXML", f"The website configuration is no XML: {error}") from None
    if _tag(root) != "WebsiteConfiguration":
        raise WebsiteRefused("MalformedXML", f"Expected a WebsiteConfiguration, found {_tag(root)}")
    parts = {_tag(part): part for part in root}
    everything = parts.get("RedirectAllRequestsTo")
    if everything is not None:
        if len(parts) > 1:
            raise WebsiteRefused("MalformedXML", "RedirectAllRequestsTo stands alone in a website configuration")
        found = _texts(everything)
        if not found.get("HostName"):
            raise WebsiteRefused("MalformedXML", "RedirectAllRequestsTo needs a HostName")
        return Website(redirect_host=_host(found), redirect_protocol=_protocol(found))
    if "IndexDocument" not in parts:
        message = "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty"
        raise WebsiteRefused("InvalidArgument", message)
    suffix = _texts(parts["IndexDocument"]).get("Suffix", "")
    if not suffix or "/" in suffix:
        raise WebsiteRefused("InvalidArgument", "The IndexDocument Suffix is not well formed")
    error_key = _texts(parts["ErrorDocument"]).get("Key", "") if "ErrorDocument" in parts else None
    if error_key == "":
        raise WebsiteRefused("InvalidArgument", "The ErrorDocument Key is not well formed")
    return Website(suffix, error_key, rules=tuple(_rules(parts.get("RoutingRules"))))


def _rules(listed: ElementTree.Element | None) -> Iterator[RoutingRule]:
    if listed is None:
        return
    if len(listed) > RULES_MAX:
        raise WebsiteRefused("InvalidRequest", f"{len(listed)} website routing rules are more than {RULES_MAX}")
    for rule in listed:
        parts = {_tag(part): _texts(part) for part in rule}
        if not parts.get("Redirect"):
            raise WebsiteRefused("MalformedXML", "A routing rule needs a Redirect that says something")
        redirect, condition = parts["Redirect"], parts.get("Condition", {})
        if "Condition" in parts and not condition:
            message = "Condition cannot be empty. To redirect all requests leave the element out."
            raise WebsiteRefused("InvalidRequest", message)
        if "ReplaceKeyPrefixWith" in redirect and "ReplaceKeyWith" in redirect:
            message = "You can only define ReplaceKeyPrefixWith or ReplaceKeyWith but not both."
            raise WebsiteRefused("InvalidRequest", message)
        yield RoutingRule(
            condition.get("KeyPrefixEquals"),
            _code(condition, "HttpErrorCodeReturnedEquals", _ERROR_CODE, "4XX or 5XX"),
            _host(redirect),
            _protocol(redirect),
            redirect.get("ReplaceKeyPrefixWith"),
            redirect.get("ReplaceKeyWith"),
            int(_code(redirect, "HttpRedirectCode", _REDIRECT_CODE, "3XX except 300") or REDIRECT_STATUS),
        )


def _code(texts: dict[str, str], name: str, valid: re.Pattern[str], words: str) -> str | None:
    given = texts.get(name)
    if given is not None and not valid.fullmatch(given):
        raise WebsiteRefused("InvalidRequest", f"The {name} {given!r} is not valid. Valid codes are {words}.")
    return given


def _host(texts: dict[str, str]) -> str | None:
    given = texts.get("HostName")
    if given is not None and not _HOST.fullmatch(given):
        raise WebsiteRefused("InvalidRequest", f"The HostName {given!r} is no host's name.")
    return given


def _protocol(texts: dict[str, str]) -> str | None:
    given = texts.get("Protocol")
    if given is not None and given not in ("http", "https"):
        raise WebsiteRefused("InvalidRequest", f"Invalid protocol {given!r}, protocol can be http or https.")
    return given


def _texts(element: ElementTree.Element) -> dict[str, str]:
    return {_tag(child): child.text or "" for child in element}


def _tag(element: ElementTree.Element) -> str:
    return _NAMESPACE.sub("", element.tag)
