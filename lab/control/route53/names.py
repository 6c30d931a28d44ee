"""Domain names as Route 53 shows them, and its sort order. How names are kept is the resolver's (`core.route53.name`).

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html
"""

from __future__ import annotations

from lab.control.aws_error import AwsError
from lab.core.route53.name import NameSyntaxError, to_text, to_wire


def kept(name: str) -> str:
    """A name as the lab keeps it: lower case, with a final dot. Raises AwsError for what is no domain name."""
    try:
        return to_text(to_wire(name.strip().lower()))
    except NameSyntaxError as error:
        raise AwsError("InvalidDomainName", f"{name!r} is not a valid domain name: {error}") from error


def shown(name: str) -> str:
    """A kept name as the API shows it: a wildcard's star is escaped."""
    return name.replace("*", "\\052")


def order(name: str) -> tuple[str, ...]:
    """What names are sorted by: their labels from the last to the first, in ASCII order."""
    return tuple(reversed(shown(name).rstrip(".").split(".")))


def lies_in(name: str, zone: str) -> bool:
    """Whether a kept name is the zone's own or below it."""
    return name == zone or name.endswith("." + zone)
